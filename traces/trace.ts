import type { ResourceVector } from '../core/resources.ts';

/**
 * A workload in memory, as columns. Cells are grouped by session and in time order inside one, so
 * the cells of session `s` are `sessions.firstCell[s] … sessions.firstCell[s + 1] - 1`; sessions are
 * ordered by (start, id). Times are ms since the start of the trace. Never mutated once built.
 */
export interface Trace {
  readonly name: string;
  /** where the data comes from, one line; printed in reports */
  readonly source: string;
  readonly licence: string;
  /** SHA-256 over the columns: the identity of the workload in run.json and in result keys */
  readonly hash: string;
  /** end of the trace, ms: the last session's end, or the end of the window it was cut to */
  readonly endMs: number;
  /** the distinct resource vectors; `shape` columns index this list */
  readonly shapes: readonly Readonly<ResourceVector>[];
  /** distinct names; columns of the same stem index these lists, 0 is '' (not given) */
  readonly gpuTypes: readonly string[];
  readonly users: readonly string[];
  readonly models: readonly string[];
  readonly datasets: readonly string[];
  readonly sessions: SessionColumns;
  readonly cells: CellColumns;
}

export interface SessionColumns {
  readonly count: number;
  readonly ids: readonly string[];
  readonly startMs: Float64Array;
  readonly endMs: Float64Array;
  /** index into `shapes`: the maximum over the session's cells unless the trace says more */
  readonly shape: Uint32Array;
  readonly gpuType: Uint16Array;
  readonly user: Uint32Array;
  /** length count + 1 */
  readonly firstCell: Uint32Array;
}

export interface CellColumns {
  readonly count: number;
  readonly submitMs: Float64Array;
  readonly durationMs: Float64Array;
  readonly shape: Uint32Array;
  /** mean utilisation of the cell's GPUs, %, 0 … 100; 255 is not given */
  readonly utilizationPct: Uint8Array;
  readonly model: Uint16Array;
  readonly dataset: Uint16Array;
  /** bytes of large state that the session holds after this cell; -1 is not given */
  readonly stateBytes: Float64Array;
}

/** What an importer dropped, changed or found odd: a code, what it means, how often, an example. */
export interface ImportNote {
  readonly code: string;
  readonly message: string;
  readonly count: number;
  /** place of the first one: file:row:column */
  readonly first: string;
}
