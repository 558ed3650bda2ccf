import type { Config } from '../core/config/options.ts';
import type { ReportName } from '../core/record/columns.ts';
import type { CsvWriter } from '../traces/csv.ts';
import type { Oracle } from '../traces/oracle.ts';
import { RunFolder } from '../traces/run-folder.ts';
import type { RecorderTargets } from './recorder.ts';
import { type EndedRun, writeHosts, writeSessions, writeSummary } from './reports.ts';
import type { SimulateOptions } from './simulate.ts';
import type { Summary } from './summary.ts';
import { Timeline } from './timeline.ts';

/** Reports that a run writes unless told otherwise: all but events.csv. */
export const DEFAULT_REPORTS: readonly ReportName[] = [
  'cells.csv',
  'sessions.csv',
  'hosts.csv',
  'timeline.csv',
  'summary.csv',
];

/** The run folder of one run, or nothing when none is asked for. */
export class Output {
  private readonly options: SimulateOptions;
  private readonly wanted: ReadonlySet<ReportName>;
  private readonly folder: RunFolder | undefined;
  private streams: CsvWriter[] = [];

  /** @throws NbosError file-exists, file-unwritable */
  constructor(options: SimulateOptions) {
    this.options = options;
    this.wanted = new Set(options.reports ?? DEFAULT_REPORTS);
    if (options.out === undefined) return;
    this.folder = RunFolder.create(options.out, { replace: options.replace ?? false });
  }

  private csv(name: ReportName): CsvWriter | undefined {
    return this.wanted.has(name) ? this.folder?.csv(name) : undefined;
  }

  /** Opens the reports that are written while the run goes on. */
  open(config: Config, oracle: Oracle, horizonMs: number): RecorderTargets {
    const cells = this.csv('cells.csv');
    const events = this.csv('events.csv');
    const rows = this.csv('timeline.csv');
    this.streams = [cells, events, rows].filter((writer) => writer !== undefined);
    const timeline = rows && new Timeline(rows, config.timelineMs, oracle, horizonMs);
    return { cells, events, timeline };
  }

  /** Closes those and writes the others. */
  close(run: EndedRun, summary: Summary): void {
    for (const writer of this.streams) writer.close();
    writeSessions(this.csv('sessions.csv'), run);
    writeHosts(this.csv('hosts.csv'), run);
    writeSummary(this.csv('summary.csv'), summary);
  }

  /** Writes run.json, which makes the folder a finished run. */
  finish(outcome: Readonly<Record<string, unknown>>): void {
    const { trace, policy, config, provenance } = this.options;
    this.folder?.finish({
      ...provenance,
      trace: { name: trace.name, hash: trace.hash, cells: trace.cells.count },
      policy: policy.name,
      config,
      reports: [...this.wanted],
      ...outcome,
    });
  }

  /** Removes what is half-written. */
  abort(): void {
    this.folder?.abort();
  }
}
