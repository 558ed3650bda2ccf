/** What a live run left: enough to write its run folder. */
export interface LiveRun {
  /** becomes the run folder */
  folder: string;
  /** take the place of a finished run there */
  replace: boolean;
  /** the exported journal, NDJSON */
  journal: string;
  /** name of the workload */
  name: string;
  /** members to add to run.json: how to repeat the run */
  provenance: Readonly<Record<string, unknown>>;
}

/**
 * Writes journal.ndjson and the reports of a live run, with the simulator's columns. Given to the
 * commands from outside: reports of a replayed journal are made by what lies above live and sim.
 */
export type WriteRun = (run: LiveRun) => Promise<{
  /** the row of summary.csv */
  summary: Readonly<Record<string, string | number>>;
  warnings: readonly string[];
}>;
