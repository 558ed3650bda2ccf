import { sortedCopy } from './quantiles.ts';
import type { Trace } from './trace.ts';

const MINUTE_MS = 60_000;

/** Times between the cells of one session, ms, in the order of the cells. */
export interface GapColumns {
  /** submission to next submission */
  readonly gapMs: Float64Array;
  /** reply to next submission at the trace's own times; negative where runs overlap */
  readonly thinkMs: Float64Array;
}

export function gapsOf(trace: Trace): GapColumns {
  const { sessions, cells } = trace;
  const gapMs = new Float64Array(cells.count);
  const thinkMs = new Float64Array(cells.count);
  let used = 0;
  for (let s = 0; s < sessions.count; s++) {
    for (let c = sessions.firstCell[s]!; c + 1 < sessions.firstCell[s + 1]!; c++) {
      const gap = cells.submitMs[c + 1]! - cells.submitMs[c]!;
      gapMs[used] = gap;
      thinkMs[used++] = gap - cells.durationMs[c]!;
    }
  }
  return { gapMs: gapMs.subarray(0, used), thinkMs: thinkMs.subarray(0, used) };
}

/**
 * The share of each session's time in which a cell runs, of the sessions with cells: durations over
 * the time from opening to closing or to the last reply, whichever is later; at most 1.
 */
export function busyShares(trace: Trace): Float64Array {
  const { sessions, cells } = trace;
  const shares = new Float64Array(sessions.count);
  let used = 0;
  for (let s = 0; s < sessions.count; s++) {
    let busy = 0;
    let end = sessions.endMs[s]!;
    for (let c = sessions.firstCell[s]!; c < sessions.firstCell[s + 1]!; c++) {
      busy += cells.durationMs[c]!;
      end = Math.max(end, cells.submitMs[c]! + cells.durationMs[c]!);
    }
    const life = end - sessions.startMs[s]!;
    if (busy > 0 && life > 0) shares[used++] = Math.min(1, busy / life);
  }
  return shares.subarray(0, used);
}

/** GPU-ms up to the trace's end: what sessions reserve while open, and what their cells use. */
export interface GpuTime {
  readonly reservedGpuMs: number;
  readonly busyGpuMs: number;
}

export function gpuTimeOf(trace: Trace): GpuTime {
  const { sessions, cells, shapes, endMs } = trace;
  let reserved = 0;
  let busy = 0;
  for (let s = 0; s < sessions.count; s++) {
    const open = Math.min(endMs, sessions.endMs[s]!) - sessions.startMs[s]!;
    reserved += Math.max(0, open) * shapes[sessions.shape[s]!]!.gpuMillis;
  }
  for (let c = 0; c < cells.count; c++) {
    const ran = Math.min(cells.durationMs[c]!, endMs - cells.submitMs[c]!);
    busy += Math.max(0, ran) * shapes[cells.shape[c]!]!.gpuMillis;
  }
  return { reservedGpuMs: reserved / 1000, busyGpuMs: busy / 1000 };
}

/** A count of something over time, as steps: `values[i]` holds from `timesMs[i]` to the next. */
export interface Steps {
  readonly timesMs: Float64Array;
  readonly values: Float64Array;
}

/**
 * Open sessions and the GPUs they reserve over time; each holds its claim over [start, end). With
 * `only`, of those sessions.
 */
export function openSteps(
  trace: Trace,
  only?: ArrayLike<number>,
): Steps & { gpuMillis: Float64Array } {
  const { sessions, shapes } = trace;
  const n = only?.length ?? sessions.count;
  const at = (i: number): number => only?.[i] ?? i;
  const opens = Uint32Array.from({ length: n }, (_, i) => at(i));
  const closes = opens.slice();
  opens.sort((a, b) => sessions.startMs[a]! - sessions.startMs[b]!);
  closes.sort((a, b) => sessions.endMs[a]! - sessions.endMs[b]!);
  const timesMs = new Float64Array(2 * n);
  const values = new Float64Array(2 * n);
  const gpuMillis = new Float64Array(2 * n);
  let [used, open, gpus, o, c] = [0, 0, 0, 0, 0];
  while (c < n) {
    const opening = o < n ? sessions.startMs[opens[o]!]! : Number.POSITIVE_INFINITY;
    const closing = sessions.endMs[closes[c]!]!;
    const time = Math.min(opening, closing);
    // A session that opens and closes at one moment is counted in before it is counted out.
    while (o < n && sessions.startMs[opens[o]!]! === time) {
      open++;
      gpus += shapes[sessions.shape[opens[o++]!]!]!.gpuMillis;
    }
    while (c < n && sessions.endMs[closes[c]!]! === time) {
      open--;
      gpus -= shapes[sessions.shape[closes[c++]!]!]!.gpuMillis;
    }
    timesMs[used] = time;
    values[used] = open;
    gpuMillis[used++] = gpus;
  }
  return {
    timesMs: timesMs.slice(0, used),
    values: values.slice(0, used),
    gpuMillis: gpuMillis.slice(0, used),
  };
}

/** Quantiles of a step function over the time in [0, endMs), each moment weighing the same. */
export function timeQuantiles(steps: Steps, endMs: number, ps: readonly number[]): number[] {
  const { timesMs, values } = steps;
  const held = new Map<number, number>([[0, Math.min(endMs, timesMs[0] ?? endMs)]]);
  for (let i = 0; i < timesMs.length; i++) {
    const ms = Math.min(endMs, timesMs[i + 1] ?? endMs) - Math.max(0, timesMs[i]!);
    if (ms > 0) held.set(values[i]!, (held.get(values[i]!) ?? 0) + ms);
  }
  const parts = [...held].filter(([, ms]) => ms > 0).sort(([a], [b]) => a - b);
  return ps.map((p) => {
    let left = p * endMs;
    for (const [value, ms] of parts) {
      left -= ms;
      if (left <= 0) return value;
    }
    return parts.at(-1)?.[0] ?? 0;
  });
}

/** Variance over mean of the number of submissions in whole bins of `binMs`; 1 is Poisson. */
export function dispersionOf(trace: Trace, binMs: number): number {
  const bins = Math.floor(trace.endMs / binMs);
  const counts = new Float64Array(bins);
  for (const submit of trace.cells.submitMs) {
    const bin = Math.floor(submit / binMs);
    if (bin < bins) counts[bin]!++;
  }
  let sum = 0;
  for (const count of counts) sum += count;
  const mean = sum / bins;
  let squares = 0;
  for (const count of counts) squares += (count - mean) ** 2;
  return bins > 1 && mean > 0 ? squares / (bins - 1) / mean : Number.NaN;
}

/** Share of all run time that the longest 1 % of the cells hold. */
export function topPercentShare(trace: Trace): number {
  const sorted = sortedCopy(trace.cells.durationMs);
  let all = 0;
  for (const duration of sorted) all += duration;
  let top = 0;
  for (let i = sorted.length - Math.ceil(sorted.length / 100); i < sorted.length; i++) {
    top += sorted[i]!;
  }
  return all > 0 ? top / all : Number.NaN;
}

/** Share of the sessions with cells in which not all cells use the same number of GPUs. */
export function gpuChangeShare(trace: Trace): number {
  const { sessions, cells, shapes } = trace;
  let changing = 0;
  let counted = 0;
  for (let s = 0; s < sessions.count; s++) {
    const from = sessions.firstCell[s]!;
    const to = sessions.firstCell[s + 1]!;
    if (from === to) continue;
    counted++;
    const first = shapes[cells.shape[from]!]!.gpuMillis;
    for (let c = from + 1; c < to; c++) {
      if (shapes[cells.shape[c]!]!.gpuMillis === first) continue;
      changing++;
      break;
    }
  }
  return changing / counted;
}

/** Bounds of the classes of sessions by cell count: three quarters, up to p90, top tenth. */
export const SIZE_CLASSES = [0, 0.25, 0.5, 0.75, 0.9, 1] as const;

/** Mean gap in minutes inside each class of sessions by cell count, smallest first. */
export function meanGapBySize(trace: Trace): number[] {
  const { sessions, cells } = trace;
  const { firstCell } = sessions;
  const order = Uint32Array.from({ length: sessions.count }, (_, s) => s).filter(
    (s) => firstCell[s + 1]! > firstCell[s]!,
  );
  const size = (s: number): number => firstCell[s + 1]! - firstCell[s]!;
  order.sort((a, b) => size(a) - size(b) || a - b);
  return SIZE_CLASSES.slice(1).map((to, k) => {
    let sum = 0;
    let gaps = 0;
    const from = Math.floor(SIZE_CLASSES[k]! * order.length);
    for (const s of order.subarray(from, Math.floor(to * order.length))) {
      sum += cells.submitMs[firstCell[s + 1]! - 1]! - cells.submitMs[firstCell[s]!]!;
      gaps += size(s) - 1;
    }
    return sum / gaps / MINUTE_MS;
  });
}
