import { subscriptionRatio } from '../core/record/totals.ts';
import type { State } from '../core/state.ts';
import { limitAt } from '../core/subscription.ts';
import type { CsvWriter } from '../traces/csv.ts';
import { type Oracle, wholeHostGpus } from '../traces/oracle.ts';

/** Writes timeline.csv: a row at each multiple of the interval, the state before that moment. */
export class Timeline {
  private next = 0;
  private readonly writer: CsvWriter;
  private readonly intervalMs: number;
  private readonly oracle: Oracle;
  private readonly endMs: number;
  private step = -1;

  /** `endMs`: the last moment that a row is written for, even when nothing happens until then. */
  constructor(writer: CsvWriter, intervalMs: number, oracle: Oracle, endMs: number) {
    this.writer = writer;
    this.intervalMs = intervalMs;
    this.oracle = oracle;
    this.endMs = endMs;
  }

  /** Writes the rows of all moments up to `at`. */
  before(at: number, state: State | undefined): void {
    while (this.next <= at) {
      if (state !== undefined) this.sample(this.next, state);
      this.next += this.intervalMs;
    }
  }

  finish(state: State | undefined): void {
    this.before(this.endMs, state);
  }

  private oracleGpuMillis(at: number): number {
    const { timesMs, gpuMillis } = this.oracle;
    while (this.step + 1 < timesMs.length && timesMs[this.step + 1]! <= at) this.step++;
    return this.step === -1 ? 0 : gpuMillis[this.step]!;
  }

  private sample(at: number, state: State): void {
    const { totals, config } = state;
    const oracle = this.oracleGpuMillis(at);
    const gpus = Math.max(1, state.hostTypes[0]!.gpus);
    this.writer.row([
      at,
      totals.hosts,
      state.pending.length,
      totals.provisionedGpuMillis / 1000,
      totals.reservedGpuMillis / 1000,
      totals.committedGpuMillis / 1000,
      totals.demandedGpuMillis / 1000,
      totals.subscribedGpuMillis / 1000,
      subscriptionRatio(totals, config.replicas),
      limitAt(state, at),
      totals.sessionsOpen,
      totals.running,
      state.queue.size,
      state.placementQueue.length,
      totals.poolContainers,
      oracle / 1000,
      wholeHostGpus(oracle, gpus) / gpus,
    ]);
  }
}
