import { hash4 } from '../core/hash.ts';
import { mean as meanOf, quantileSorted, sortedCopy } from '../traces/quantiles.ts';

/** A mean with the bounds of its confidence interval; all NaN for no value, bounds NaN for one. */
export interface Interval {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
  /** values it rests on */
  readonly count: number;
}

export interface IntervalOptions {
  /** share of repetitions whose interval holds the true mean, 0 … 1; default 0.95 */
  readonly confidence?: number;
}

export interface BootstrapOptions extends IntervalOptions {
  /** resamples drawn; default 2,000 */
  readonly resamples?: number;
  /** seed of the draws; default 1 */
  readonly seed?: number;
}

const BOOTSTRAP_STREAM = 0x626f6f74;

/** Sample standard deviation (n - 1); NaN below two values. */
export function deviationOf(values: ArrayLike<number>): number {
  if (values.length < 2) return Number.NaN;
  const mean = meanOf(values);
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i]! - mean) ** 2;
  return Math.sqrt(squares / (values.length - 1));
}

/** Student's t interval of a mean: right for values that are roughly normal, and for few of them. */
export function tInterval(values: ArrayLike<number>, options: IntervalOptions = {}): Interval {
  const count = values.length;
  const mean = meanOf(values);
  if (count < 2) return { mean, low: Number.NaN, high: Number.NaN, count };
  const t = studentQuantile(0.5 + (options.confidence ?? 0.95) / 2, count - 1);
  const half = (t * deviationOf(values)) / Math.sqrt(count);
  return { mean, low: mean - half, high: mean + half, count };
}

/** Percentile bootstrap interval of a mean: no assumption on the shape. The same seed, the same result. */
export function bootstrapInterval(
  values: ArrayLike<number>,
  options: BootstrapOptions = {},
): Interval {
  const bounds = bootstrapBounds(values, meanOf, options);
  return { mean: meanOf(values), ...bounds, count: values.length };
}

/**
 * Percentile bootstrap bounds of any statistic of the values, such as a quantile; NaN for fewer
 * than two values.
 */
export function bootstrapBounds(
  values: ArrayLike<number>,
  statistic: (resample: Float64Array) => number,
  options: BootstrapOptions = {},
): { low: number; high: number } {
  const count = values.length;
  if (count < 2) return { low: Number.NaN, high: Number.NaN };
  const { confidence = 0.95, resamples = 2000, seed = 1 } = options;
  const found = new Float64Array(resamples);
  const resample = new Float64Array(count);
  for (let b = 0; b < resamples; b++) {
    for (let i = 0; i < count; i++)
      resample[i] = values[Math.floor((hash4(seed, BOOTSTRAP_STREAM, b, i) / 2 ** 32) * count)]!;
    found[b] = statistic(resample);
  }
  const sorted = sortedCopy(found);
  return {
    low: quantileSorted(sorted, (1 - confidence) / 2),
    high: quantileSorted(sorted, (1 + confidence) / 2),
  };
}

/** Differences `a[i] - b[i]`; both have one value per seed, in the same order. */
export function pairedDifferences(a: ArrayLike<number>, b: ArrayLike<number>): Float64Array {
  if (a.length !== b.length) throw new RangeError(`pairs of ${a.length} and ${b.length} values`);
  return Float64Array.from(a, (value, i) => value - b[i]!);
}

/**
 * The q-quantile of Student's t with `degrees` degrees of freedom, by bisection on its distribution
 * function (through the regularised incomplete beta function).
 */
export function studentQuantile(q: number, degrees: number): number {
  if (q < 0.5) return -studentQuantile(1 - q, degrees);
  let high = 2;
  while (studentCdf(high, degrees) < q && high < 1e12) high *= 2;
  let low = 0;
  for (let step = 0; step < 100; step++) {
    const middle = (low + high) / 2;
    if (studentCdf(middle, degrees) < q) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

function studentCdf(t: number, degrees: number): number {
  return 1 - incompleteBeta(degrees / (degrees + t * t), degrees / 2, 0.5) / 2;
}

/** Regularised incomplete beta function I_x(a, b), by Lentz's continued fraction. */
function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const front = Math.exp(
    logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(1 - x),
  );
  if (x < (a + 1) / (a + b + 2)) return (front * betaFraction(x, a, b)) / a;
  return 1 - (front * betaFraction(1 - x, b, a)) / b;
}

function betaFraction(x: number, a: number, b: number): number {
  const tiny = 1e-300;
  let c = 1;
  let d = 1 / nonZero(1 - ((a + b) * x) / (a + 1), tiny);
  let result = d;
  for (let m = 1; m <= 300; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / nonZero(1 + even * d, tiny);
    c = nonZero(1 + even / c, tiny);
    result *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / nonZero(1 + odd * d, tiny);
    c = nonZero(1 + odd / c, tiny);
    result *= d * c;
    if (Math.abs(d * c - 1) < 1e-14) break;
  }
  return result;
}

function nonZero(value: number, tiny: number): number {
  return Math.abs(value) < tiny ? tiny : value;
}

/** ln Γ(x) for x > 0: Stirling's series after shifting x above 10. */
function logGamma(x: number): number {
  let shift = 0;
  let y = x;
  while (y < 10) {
    shift += Math.log(y);
    y++;
  }
  const inverse = 1 / (y * y);
  const series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / y;
  return (y - 0.5) * Math.log(y) - y + Math.log(2 * Math.PI) / 2 + series - shift;
}

export interface CurvePoint {
  readonly x: number;
  readonly y: number;
}

/**
 * The empirical distribution function of `sorted` with at most about `limit` points: evenly spaced
 * in rank, and closer in both tails, so that a figure shows p99.9 as well as the middle.
 */
export function thinCdf(sorted: ArrayLike<number>, limit = 300): CurvePoint[] {
  const n = sorted.length;
  if (n === 0) return [];
  const ranks = new Set<number>([0, n - 1]);
  for (let i = 0; i < limit; i++) {
    const share = (i + 0.5) / limit;
    // Half the points are even in rank, half follow a cosine that crowds them at both ends.
    const eased = i % 2 === 0 ? share : (1 - Math.cos(Math.PI * share)) / 2;
    ranks.add(Math.min(n - 1, Math.floor(eased * n)));
  }
  const points: CurvePoint[] = [];
  for (const rank of [...ranks].sort((a, b) => a - b)) {
    points.push({ x: sorted[rank]!, y: (rank + 1) / n });
  }
  return points;
}
