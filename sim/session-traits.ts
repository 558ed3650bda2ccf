import type { Trace } from '../traces/trace.ts';
import type { Latencies } from './latency.ts';

/** What a session's cells carry with them: state, model and data set, from the trace or drawn. */
export class SessionTraits {
  private readonly trace: Trace;
  /** model and data set of each name in the trace, as numbers of the latency model */
  private readonly modelOfName: Int32Array;
  private readonly datasetOfName: Int32Array;
  private readonly drawnModel: Int32Array;
  private readonly drawnDataset: Int32Array;
  private readonly drawnBytes: Float64Array;

  constructor(trace: Trace, latencies: Latencies) {
    this.trace = trace;
    this.modelOfName = Int32Array.from(trace.models, (name) => latencies.modelNamed(name));
    this.datasetOfName = Int32Array.from(trace.datasets, (name) => latencies.datasetNamed(name));
    const { count } = trace.sessions;
    this.drawnModel = new Int32Array(count);
    this.drawnDataset = new Int32Array(count);
    this.drawnBytes = new Float64Array(count);
    for (let session = 0; session < count; session++) {
      this.drawnModel[session] = latencies.modelOf(session);
      this.drawnDataset[session] = latencies.datasetOf(session);
      this.drawnBytes[session] = latencies.stateBytes(session);
    }
  }

  /** Number of the model that a cell runs. */
  model(session: number, cell: number): number {
    const named = this.modelOfName[this.trace.cells.model[this.at(session, cell)]!]!;
    return named === -1 ? this.drawnModel[session]! : named;
  }

  /** Number of the data set that a cell reads. */
  dataset(session: number, cell: number): number {
    const named = this.datasetOfName[this.trace.cells.dataset[this.at(session, cell)]!]!;
    return named === -1 ? this.drawnDataset[session]! : named;
  }

  /** Bytes of large state after this cell; of the session's draw where the trace gives none. */
  stateBytes(session: number, cell: number): number {
    if (cell < 0) return this.drawnBytes[session]!;
    const given = this.trace.cells.stateBytes[this.at(session, cell)]!;
    return given < 0 ? this.drawnBytes[session]! : given;
  }

  private at(session: number, cell: number): number {
    return this.trace.sessions.firstCell[session]! + cell;
  }
}
