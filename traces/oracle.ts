import { assert } from '../core/errors.ts';
import type { Trace } from './trace.ts';

/**
 * The GPUs that would be busy if every cell of a trace had started at its submission with no delay
 * and run for its duration: a step function, right-continuous, 0 before the first step.
 */
export interface Oracle {
  /** ms, strictly ascending: the moments at which the sum changes */
  readonly timesMs: Float64Array;
  /** milli-GPUs in use from `timesMs[i]` up to `timesMs[i + 1]`; the last is 0 */
  readonly gpuMillis: Float64Array;
}

/**
 * Builds the oracle from a trace's own times, never from what a policy made of them. A cell holds
 * its GPUs over [submit, submit + duration). O(n log n) in the number of cells.
 */
export function oracleOf(trace: Trace): Oracle {
  const { count, submitMs, durationMs, shape } = trace.cells;
  const { counts, codeOfShape } = gpuCounts(trace);
  const starts = new Float64Array(count);
  const ends = new Float64Array(count);
  let used = 0;
  for (let c = 0; c < count; c++) {
    const { gpuMillis } = trace.shapes[shape[c]!]!;
    if (durationMs[c]! <= 0 || gpuMillis <= 0) continue;
    const code = codeOfShape[shape[c]!]!;
    starts[used] = submitMs[c]! * CODES + code;
    ends[used++] = (submitMs[c]! + durationMs[c]!) * CODES + code;
  }
  return merge(starts.subarray(0, used).sort(), ends.subarray(0, used).sort(), counts);
}

/** Room for the number of a GPU count beside a time in one exact double, so that both sort as one. */
const CODES = 2 ** 12;

/** The distinct GPU counts of a trace, and the number of that of each shape. */
function gpuCounts(trace: Trace): { counts: readonly number[]; codeOfShape: Uint16Array } {
  const counts = [...new Set(trace.shapes.map((shape) => shape.gpuMillis))];
  assert(counts.length <= CODES, `a trace with ${counts.length} different GPU counts`);
  const codeOfShape = Uint16Array.from(trace.shapes, (shape) => counts.indexOf(shape.gpuMillis));
  return { counts, codeOfShape };
}

/** Runs through the sorted starts and ends at once, keeping the sum where it changes. */
function merge(starts: Float64Array, ends: Float64Array, counts: readonly number[]): Oracle {
  const times = new Float64Array(2 * starts.length);
  const sums = new Float64Array(2 * starts.length);
  let kept = 0;
  let sum = 0;
  let before = 0;
  let s = 0;
  for (let e = 0; e < ends.length; ) {
    const start = s < starts.length ? starts[s]! : Number.POSITIVE_INFINITY;
    const edge = Math.min(start, ends[e]!);
    const at = Math.floor(edge / CODES);
    const gpuMillis = counts[edge - at * CODES]!;
    if (edge === start) {
      sum += gpuMillis;
      s++;
    } else {
      sum -= gpuMillis;
      e++;
    }
    if (kept > 0 && times[kept - 1] === at) {
      sums[kept - 1] = sum;
    } else {
      if (kept > 0 && sums[kept - 1] === before) kept--;
      before = kept === 0 ? 0 : sums[kept - 1]!;
      times[kept] = at;
      sums[kept++] = sum;
    }
  }
  if (kept > 0 && sums[kept - 1] === before) kept--;
  return { timesMs: times.slice(0, kept), gpuMillis: sums.slice(0, kept) };
}

/** Milli-GPUs in use at `atMs`. */
export function oracleAt(oracle: Oracle, atMs: number): number {
  const i = lastAtOrBefore(oracle.timesMs, atMs);
  return i < 0 ? 0 : oracle.gpuMillis[i]!;
}

/** The integral over [0, untilMs), in GPU-ms (1 GPU busy for 1 ms). */
export function oracleGpuMs(oracle: Oracle, untilMs: number): number {
  return integrate(oracle, untilMs, (gpuMillis) => gpuMillis / 1000);
}

/**
 * The integral over [0, untilMs) in GPU-ms when only whole hosts of `gpusPerHost` GPUs can be had:
 * at each moment the GPUs in use are rounded up to a multiple of `gpusPerHost`.
 */
export function oracleHostGpuMs(oracle: Oracle, untilMs: number, gpusPerHost: number): number {
  return integrate(oracle, untilMs, (gpuMillis) => wholeHostGpus(gpuMillis, gpusPerHost));
}

/** GPUs of the whole hosts that `gpuMillis` milli-GPUs need. */
export function wholeHostGpus(gpuMillis: number, gpusPerHost: number): number {
  return Math.ceil(gpuMillis / (1000 * gpusPerHost)) * gpusPerHost;
}

/** The most milli-GPUs in use at one moment. */
export function oraclePeakGpuMillis(oracle: Oracle): number {
  let peak = 0;
  for (const gpuMillis of oracle.gpuMillis) if (gpuMillis > peak) peak = gpuMillis;
  return peak;
}

function integrate(oracle: Oracle, untilMs: number, gpusOf: (gpuMillis: number) => number): number {
  const { timesMs, gpuMillis } = oracle;
  let sum = 0;
  for (let i = 0; i + 1 < timesMs.length && timesMs[i]! < untilMs; i++) {
    const from = Math.max(0, timesMs[i]!);
    const to = Math.min(untilMs, timesMs[i + 1]!);
    if (to > from) sum += (to - from) * gpusOf(gpuMillis[i]!);
  }
  return sum;
}

/** Index of the last entry of ascending `times` that is at most `atMs`; -1 if there is none. */
function lastAtOrBefore(times: Float64Array, atMs: number): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (times[middle]! <= atMs) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
