/** What the figures draw, as plain columns; `report.ts` reads them from run folders. */

export interface TimelineColumns {
  readonly timeMs: Float64Array;
  readonly provisionedGpus: Float64Array;
  readonly reservedGpus: Float64Array;
  readonly committedGpus: Float64Array;
  readonly demandedGpus: Float64Array;
  readonly subscriptionRatio: Float64Array;
  readonly subscriptionLimit: Float64Array;
  readonly sessionsOpen: Float64Array;
  readonly executionsRunning: Float64Array;
  readonly oracleGpus: Float64Array;
  readonly hosts: Float64Array;
}

export interface RunColumns {
  /** shown in legends; the policy, or the policy and what else varies */
  readonly label: string;
  readonly policy: string;
  readonly replicas: number;
  readonly timeline: TimelineColumns;
  /** of completed cells, ms, ascending */
  readonly delaysMs: Float64Array;
  readonly tctsMs: Float64Array;
  /** the row of summary.csv; numbers where the column is numeric */
  readonly summary: Readonly<Record<string, string | number>>;
  readonly money: MoneyRates;
}

export interface MoneyRates {
  /** the provider's cost of a GPU-hour, $ */
  readonly costPerGpuHour: number;
  readonly userPriceFactor: number;
  readonly standbyRate: number;
}

/** At most `limit` indexes of 0 … n - 1, evenly spread, first and last included. */
export function thinIndexes(n: number, limit = 600): number[] {
  if (n <= limit) return Array.from({ length: n }, (_, i) => i);
  return Array.from({ length: limit }, (_, i) => Math.round((i * (n - 1)) / (limit - 1)));
}

/**
 * Maxima and last values over `limit` equal slices of a step series: a thinned line with its peaks.
 */
export function thinPeaks(
  x: Float64Array,
  y: Float64Array,
  limit = 500,
): { x: number; y: number }[] {
  const n = x.length;
  if (n <= limit) return Array.from(x, (value, i) => ({ x: value, y: y[i]! }));
  const points: { x: number; y: number }[] = [];
  for (let slice = 0; slice < limit; slice++) {
    const from = Math.floor((slice * n) / limit);
    const to = Math.floor(((slice + 1) * n) / limit);
    let peak = from;
    for (let i = from; i < to; i++) if (y[i]! > y[peak]!) peak = i;
    points.push({ x: x[peak]!, y: y[peak]! });
    if (to - 1 > peak) points.push({ x: x[to - 1]!, y: y[to - 1]! });
  }
  return points;
}

/** Running integral of a sampled step series, in (unit of y) x hours. */
export function integrateHours(timeMs: Float64Array, y: Float64Array): Float64Array {
  const total = new Float64Array(timeMs.length);
  for (let i = 1; i < timeMs.length; i++) {
    total[i] = total[i - 1]! + (y[i - 1]! * (timeMs[i]! - timeMs[i - 1]!)) / 3_600_000;
  }
  return total;
}

/** Hours, or days when the span is long: the unit that an axis of time carries. */
export function timeAxis(endMs: number): { unit: 'hours' | 'days'; perMs: number } {
  return endMs > 5 * 86_400_000
    ? { unit: 'days', perMs: 1 / 86_400_000 }
    : { unit: 'hours', perMs: 1 / 3_600_000 };
}

export function numberOf(run: RunColumns, column: string): number {
  const value = run.summary[column];
  return typeof value === 'number' ? value : Number.NaN;
}
