export { findStudy, STUDIES } from './find.ts';
export type { StudyOptions } from './workloads.ts';
