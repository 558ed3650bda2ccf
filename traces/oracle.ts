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
  const edges = new Float64Array(2 * count);
  let used = 0;
  for (let c = 0; c < count; c++) {
    if (durationMs[c]! <= 0 || trace.shapes[shape[c]!]!.gpuMillis <= 0) continue;
    edges[used++] = submitMs[c]!;
    edges[used++] = submitMs[c]! + durationMs[c]!;
  }
  const times = distinctInPlace(edges.subarray(0, used).sort());
  const sums = new Float64Array(times.length);
  for (let c = 0; c < count; c++) {
    const gpuMillis = trace.shapes[shape[c]!]!.gpuMillis;
    if (durationMs[c]! <= 0 || gpuMillis <= 0) continue;
    sums[lastAtOrBefore(times, submitMs[c]!)]! += gpuMillis;
    sums[lastAtOrBefore(times, submitMs[c]! + durationMs[c]!)]! -= gpuMillis;
  }
  return withoutFlatSteps(times, sums);
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

function distinctInPlace(sorted: Float64Array): Float64Array {
  let kept = 0;
  for (let i = 0; i < sorted.length; i++) {
    if (kept === 0 || sorted[i] !== sorted[kept - 1]) sorted[kept++] = sorted[i]!;
  }
  return sorted.subarray(0, kept);
}

/** Turns changes into running sums and drops moments at which nothing changes. */
function withoutFlatSteps(times: Float64Array, changes: Float64Array): Oracle {
  let kept = 0;
  let sum = 0;
  for (let i = 0; i < times.length; i++) {
    if (changes[i] === 0) continue;
    sum += changes[i]!;
    times[kept] = times[i]!;
    changes[kept++] = sum;
  }
  return { timesMs: times.slice(0, kept), gpuMillis: changes.slice(0, kept) };
}
