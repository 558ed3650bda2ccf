import { delayOf, type Execution, STEPS } from '../core/books/execution-book.ts';
import { tctOf } from '../core/record/cell-row.ts';
import { floats } from '../traces/growable.ts';
import { quantileSorted } from '../traces/quantiles.ts';

/** GPU sizes that delays are told by: at most 1, at most 4, more; milli-GPUs. */
const SIZE_BOUNDS = [1000, 4000] as const;

/** What summary.csv says of completed cells: exact, from one column per measure. */
export class CellStatistics {
  completed = 0;
  immediate = 0;
  /** completed cells after the first of their session, and those of them that reused */
  repeated = 0;
  reused = 0;
  readonly stepSums = new Float64Array(STEPS.length);
  private readonly delay = floats();
  private readonly tct = floats();
  private readonly slowdown = floats();
  private readonly bySize = [floats(), floats(), floats()];

  add(execution: Readonly<Execution>, gpuMillis: number, durationMs: number, first: boolean): void {
    const delay = delayOf(execution);
    const tct = tctOf(execution);
    this.completed++;
    if (execution.immediate) this.immediate++;
    if (!first) {
      this.repeated++;
      if (execution.reused) this.reused++;
    }
    for (let step = 0; step < STEPS.length; step++) {
      this.stepSums[step]! += execution.steps[step]!;
    }
    this.delay.push(delay);
    this.tct.push(tct);
    if (durationMs > 0) this.slowdown.push(tct / durationMs);
    const size = gpuMillis <= SIZE_BOUNDS[0] ? 0 : gpuMillis <= SIZE_BOUNDS[1] ? 1 : 2;
    this.bySize[size]!.push(delay);
  }

  /** The measures by their names in summary.csv; null where there is nothing to measure. */
  measures(): Record<string, number | null> {
    const delay = this.delay.take().sort();
    const tct = this.tct.take().sort();
    const slowdown = this.slowdown.take().sort();
    const measures: Record<string, number | null> = {
      immediate_share: share(this.immediate, this.completed),
      reuse_share: share(this.reused, this.repeated),
    };
    for (const p of [50, 90, 95, 99]) {
      measures[`delay_p${p}_ms`] = quantile(delay, p);
      measures[`tct_p${p}_ms`] = quantile(tct, p);
    }
    measures['delay_mean_ms'] = meanOf(delay);
    measures['tct_mean_ms'] = meanOf(tct);
    measures['slowdown_p50'] = quantile(slowdown, 50);
    measures['slowdown_p99'] = quantile(slowdown, 99);
    for (const [step, name] of STEPS.entries()) {
      measures[`${name}_mean_ms`] = share(this.stepSums[step]!, this.completed);
    }
    for (const [index, gpus] of [1, 4, 8].entries()) {
      const sorted = this.bySize[index]!.take().sort();
      measures[`delay_p50_${gpus}gpu_ms`] = quantile(sorted, 50);
    }
    return measures;
  }
}

function share(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole;
}

function quantile(sorted: Float64Array, percent: number): number | null {
  return sorted.length === 0 ? null : quantileSorted(sorted, percent / 100);
}

function meanOf(values: Float64Array): number | null {
  if (values.length === 0) return null;
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}
