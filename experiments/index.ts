export type { Config, HostType, PartialConfig, ScheduledFault } from '../core/config/options.ts';
export { type ErrorCode, NbosError } from '../core/errors.ts';
export type { Policy } from '../core/policies/policy.ts';
export type { ReportName } from '../core/record/columns.ts';
export type { RunResult, RunTimings } from '../sim/simulate.ts';
export {
  type LoadedTrace,
  type LoadOptions,
  loadTrace,
  ReportTable,
  readReport,
  type Trace,
} from '../traces/index.ts';
export { resample, type SampleRequest, sample } from '../traces/sample.ts';
export { type SynthesisRequest, synthesize, synthesizeDemo } from '../traces/synthesize/index.ts';
export {
  type ComparedMeasure,
  type ComparedPolicy,
  type ComparedRun,
  type CompareOptions,
  type Comparison,
  compare,
} from './compare.ts';
export { type Matrix, parseExperiment, readExperiment } from './matrix.ts';
export { writeReport } from './report.ts';
export { type ExperimentOptions, type ExperimentOutcome, runExperiment } from './runner.ts';
export { type SimulateRequest, simulate } from './simulate.ts';
export { type Study, studyOf } from './study.ts';
