export type { Observer } from './engine.ts';
export type { Explained } from './recorder.ts';
export {
  type RunResult,
  type RunTimings,
  type SimulateOptions,
  simulate,
} from './simulate.ts';
export type { Summary } from './summary.ts';
