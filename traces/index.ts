export { type CellInput, type SessionInput, TraceBuilder, type TraceMeta } from './build.ts';
export { type CheckResult, checkTrace, type Finding } from './check.ts';
export { CsvWriter, escapeCsv, readTable, type Table, type TableRow } from './csv.ts';
export { detectFormat } from './detect.ts';
export { readOpenbNodes } from './formats/openb.ts';
export {
  IMPORT_OPTIONS,
  type ImportOption,
  type ImportOptionName,
  type ImportOptions,
  TRACE_FORMATS,
  type TraceFormat,
} from './import-options.ts';
export { type LoadedTrace, type LoadOptions, loadTrace } from './load.ts';
export { type WriteOptions, writeNativeTrace } from './native-writer.ts';
export { fitToHosts, type OversizePolicy } from './oversize.ts';
export { mean, quantileSorted, sortedCopy } from './quantiles.ts';
export { ReportTable, RunFolder, type RunRecord, readReport, readRun } from './run-folder.ts';
export type { CellColumns, ImportNote, SessionColumns, Trace } from './trace.ts';
