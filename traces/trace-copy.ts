import { equalVectors, maxOf, type ResourceVector } from '../core/resources.ts';
import type { TraceBuilder } from './build.ts';
import type { Trace } from './trace.ts';

export interface SessionTimes {
  readonly startMs?: number;
  readonly endMs?: number;
}

/** What differs in the copy of a session; everything left out stays as it is. */
export interface SessionChange extends SessionTimes {
  readonly id?: string;
  /** first cell kept and the one after the last, as indexes into the trace's cells */
  readonly from?: number;
  readonly to?: number;
  /** new submission time of a cell of the trace */
  readonly submitMs?: (cell: number) => number;
  /** claim what the session claimed, though the cells kept need less; default when all are kept */
  readonly keepShape?: boolean;
}

/** Makes a new trace of sessions of another, changed on the way. */
export class TraceCopy {
  readonly #trace: Trace;
  readonly #builder: TraceBuilder;

  constructor(trace: Trace, builder: TraceBuilder) {
    this.#trace = trace;
    this.#builder = builder;
  }

  session(s: number, change: SessionChange): void {
    const { sessions, cells, shapes, models, datasets } = this.#trace;
    const { from = sessions.firstCell[s]!, to = sessions.firstCell[s + 1]! } = change;
    const all = from === sessions.firstCell[s] && to === sessions.firstCell[s + 1];
    const shape = shapes[sessions.shape[s]!]!;
    const session = this.#builder.addSession({
      id: change.id ?? sessions.ids[s]!,
      startMs: change.startMs ?? sessions.startMs[s]!,
      endMs: change.endMs ?? sessions.endMs[s]!,
      gpuType: this.#trace.gpuTypes[sessions.gpuType[s]!]!,
      user: this.#trace.users[sessions.user[s]!]!,
      ...((change.keepShape ?? all) ? { shape } : {}),
    });
    for (let c = from; c < to; c++) {
      this.#builder.addCell({
        session,
        submitMs: change.submitMs?.(c) ?? cells.submitMs[c]!,
        durationMs: cells.durationMs[c]!,
        shape: shapes[cells.shape[c]!]!,
        utilizationPct: cells.utilizationPct[c]!,
        model: models[cells.model[c]!]!,
        dataset: datasets[cells.dataset[c]!]!,
        stateBytes: cells.stateBytes[c]!,
      });
    }
  }

  /** Whether session `s` claims more than the maximum over its cells. */
  claimsMore(s: number): boolean {
    const { sessions, cells, shapes } = this.#trace;
    let most: Readonly<ResourceVector> = shapes[cells.shape[sessions.firstCell[s]!]!]!;
    for (let c = sessions.firstCell[s]!; c < sessions.firstCell[s + 1]!; c++) {
      most = maxOf(most, shapes[cells.shape[c]!]!);
    }
    return !equalVectors(most, shapes[sessions.shape[s]!]!);
  }

  /** @param what what was done to the trace, for its source line; '' for nothing */
  build(what: string, endMs?: number): Trace {
    const { name, source, licence } = this.#trace;
    return this.#builder.build({
      name,
      source: what === '' ? source : `${source}; ${what}`,
      licence,
      ...(endMs === undefined ? {} : { endMs }),
    });
  }
}
