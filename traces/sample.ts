import { NbosError } from '../core/errors.ts';
import { TraceBuilder } from './build.ts';
import { formatDuration } from './duration.ts';
import { openSteps } from './measures.ts';
import { streamOf, type Uniform } from './synthesize/draws.ts';
import type { Trace } from './trace.ts';
import { TraceCopy } from './trace-copy.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
/** A session that a cut opens begins this long before its first cell, as in the importer. */
const START_PAD_MS = 2 * MINUTE_MS;

/**
 * The part of a trace in [fromMs, toMs): every session open in it, idle ones too, from max(from,
 * start) to min(to, end), with the cells submitted in it; time 0 is `fromMs` and the trace ends at
 * `toMs`. Cells keep their whole duration: what they run after the end is outside the horizon.
 * Sessions keep what they claim.
 *
 * @throws NbosError trace-unreachable when the window is not inside the trace or holds no session
 */
export function windowOf(trace: Trace, fromMs: number, toMs: number): Trace {
  if (!(fromMs >= 0 && toMs > fromMs && toMs <= trace.endMs))
    throw new NbosError(
      'trace-unreachable',
      `the window from ${hours(fromMs)} to ${hours(toMs)} is not inside the ` +
        `trace "${trace.name}" of ${hours(trace.endMs)}`,
      'Choose a shorter or earlier window.',
    );
  return copyWindow(trace, fromMs, toMs, sessionsOpenIn(trace, fromMs, toMs));
}

export interface SampleRequest {
  /** length of the window; default the whole trace */
  readonly windowMs?: number | undefined;
  /** start of the window; default drawn from the seed, on a whole minute */
  readonly fromMs?: number | undefined;
  /** most GPUs reserved at one moment by the sessions kept; default no limit */
  readonly peakGpus?: number | undefined;
  readonly seed: number;
}

/**
 * A window of a trace with as many sessions as stay within `peakGpus`: sessions are drawn in random
 * order until the next would lift the peak of reserved GPUs above it.
 *
 * @throws NbosError trace-unreachable when not one session fits, or the window is too long
 */
export function sample(trace: Trace, request: SampleRequest): Trace {
  const { windowMs = trace.endMs, peakGpus } = request;
  const slackMin = Math.floor((trace.endMs - windowMs) / MINUTE_MS);
  const place = streamOf(request.seed, 'window');
  const fromMs = request.fromMs ?? Math.floor(place() * (Math.max(0, slackMin) + 1)) * MINUTE_MS;
  const window = windowOf(trace, fromMs, fromMs + windowMs);
  if (peakGpus === undefined) return window;
  const order = shuffledSessions(window, streamOf(request.seed, 'sessions'));
  const kept = longestWithin(window, order, peakGpus * 1000);
  if (kept === 0)
    throw new NbosError(
      'trace-unreachable',
      `no session of trace "${trace.name}" reserves at most ${peakGpus} GPUs`,
      'Allow a higher peak.',
    );
  return copyWindow(window, 0, window.endMs, order.subarray(0, kept).sort());
}

/** The most GPUs that the sessions of a trace reserve at one moment. */
export function peakReservedGpus(trace: Trace): number {
  return peakGpuMillis(trace) / 1000;
}

/**
 * A bootstrap of a trace: as many sessions, drawn with replacement, at their own times; the second
 * and later copies of a session have the ids `id#2`, `id#3` …
 */
export function resample(trace: Trace, seed: number): Trace {
  const uniform = streamOf(seed, 'resample');
  const copies = new Uint32Array(trace.sessions.count);
  for (let k = 0; k < copies.length; k++) copies[Math.floor(uniform() * copies.length)]!++;
  const copy = new TraceCopy(trace, new TraceBuilder());
  for (let s = 0; s < copies.length; s++) {
    for (let k = 1; k <= copies[s]!; k++) {
      copy.session(s, k === 1 ? {} : { id: `${trace.sessions.ids[s]}#${k}` });
    }
  }
  return copy.build(`bootstrap with seed ${seed}`, trace.endMs);
}

/**
 * Multiplies every think time by `factor`, rounded to ms; what precedes a session's first cell and
 * follows its last reply stays as it was, and so do overlaps. The trace ends with its last session.
 */
export function scaleGaps(trace: Trace, factor: number): Trace {
  requirePositive('gap factor', factor);
  const { sessions, cells } = trace;
  const copy = new TraceCopy(trace, new TraceBuilder());
  for (let s = 0; s < sessions.count; s++) {
    const from = sessions.firstCell[s]!;
    const to = sessions.firstCell[s + 1]!;
    let shiftMs = 0;
    const shifts = new Float64Array(to - from);
    for (let c = from + 1; c < to; c++) {
      const think = cells.submitMs[c]! - cells.submitMs[c - 1]! - cells.durationMs[c - 1]!;
      if (think > 0) shiftMs += Math.round(think * factor) - think;
      shifts[c - from] = shiftMs;
    }
    copy.session(s, {
      endMs: sessions.endMs[s]! + shiftMs,
      submitMs: (c) => cells.submitMs[c]! + shifts[c - from]!,
    });
  }
  return copy.build(`think times x ${factor}`);
}

export interface SplitRequest {
  /** cut where nothing ran for longer than this; default never */
  readonly gapMs?: number | undefined;
  /** cut where the next cell uses another number of GPUs */
  readonly onGpuChange?: boolean | undefined;
  /** a part after a cut opens so long before its first cell; default 2 minutes */
  readonly startPadMs?: number | undefined;
  /** a part before a cut closes so long after its last reply; default 0 */
  readonly endPadMs?: number | undefined;
}

/**
 * Cuts sessions in two or more. Each part after the first opens `startPadMs` before its first cell,
 * or at the last reply before it if that is later; each but the last closes `endPadMs` after its
 * last reply. Parts have the ids `id.1`, `id.2` … and claim the maximum over their own cells, but
 * for sessions that claim more than their cells need, whose parts all do.
 */
export function splitSessions(trace: Trace, request: SplitRequest): Trace {
  const { sessions } = trace;
  const copy = new TraceCopy(trace, new TraceBuilder());
  for (let s = 0; s < sessions.count; s++) {
    const cuts = cutsOf(trace, s, request);
    if (cuts.length === 0) copy.session(s, {});
    else copyParts(trace, copy, s, cuts, request);
  }
  const cut = [
    ...(request.gapMs === undefined ? [] : [`idle > ${request.gapMs / HOUR_MS} h`]),
    ...(request.onGpuChange ? ['GPU changes'] : []),
  ];
  return copy.build(cut.length > 0 ? `cut at ${cut.join(' and ')}` : '', trace.endMs);
}

/** Closes every session `endPadMs` later; the trace ends no earlier than before. */
export function padSessions(trace: Trace, endPadMs: number): Trace {
  const copy = new TraceCopy(trace, new TraceBuilder());
  for (let s = 0; s < trace.sessions.count; s++) {
    copy.session(s, { endMs: trace.sessions.endMs[s]! + endPadMs });
  }
  return copy.build(endPadMs > 0 ? `ends + ${formatDuration(endPadMs)}` : '', trace.endMs);
}

function sessionsOpenIn(trace: Trace, fromMs: number, toMs: number): Uint32Array {
  const { count, startMs, endMs } = trace.sessions;
  return Uint32Array.from({ length: count }, (_, s) => s).filter(
    (s) =>
      startMs[s]! < toMs &&
      (endMs[s]! > fromMs || (startMs[s] === endMs[s] && startMs[s]! >= fromMs)),
  );
}

/** Copies the given sessions (ascending) as they are in [fromMs, toMs), moved to time 0. */
export function copyWindow(
  trace: Trace,
  fromMs: number,
  toMs: number,
  kept: ArrayLike<number>,
): Trace {
  const { sessions, cells } = trace;
  if (kept.length === 0)
    throw new NbosError(
      'trace-unreachable',
      `no session of trace "${trace.name}" is open between ${hours(fromMs)} and ${hours(toMs)}`,
      'Choose another window.',
    );
  const copy = new TraceCopy(trace, new TraceBuilder());
  for (let k = 0; k < kept.length; k++) {
    const s = kept[k]!;
    let from = sessions.firstCell[s]!;
    let to = sessions.firstCell[s + 1]!;
    while (from < to && cells.submitMs[from]! < fromMs) from++;
    while (to > from && cells.submitMs[to - 1]! >= toMs) to--;
    copy.session(s, {
      startMs: Math.max(0, sessions.startMs[s]! - fromMs),
      endMs: Math.min(toMs, sessions.endMs[s]!) - fromMs,
      from,
      to,
      submitMs: (c) => cells.submitMs[c]! - fromMs,
      keepShape: true,
    });
  }
  const whole = fromMs === 0 && toMs === trace.endMs;
  const what = `${kept.length} sessions of the window from ${fromMs} to ${toMs} ms`;
  return copy.build(whole ? `${kept.length} sessions of it` : what, toMs - fromMs);
}

function shuffledSessions(trace: Trace, uniform: Uniform): Uint32Array {
  const order = Uint32Array.from({ length: trace.sessions.count }, (_, s) => s);
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(uniform() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

function peakGpuMillis(trace: Trace, only?: ArrayLike<number>): number {
  let peak = 0;
  for (const gpuMillis of openSteps(trace, only).gpuMillis) peak = Math.max(peak, gpuMillis);
  return peak;
}

/** How many sessions from the front of `order` reserve at most `limit` together at any moment. */
function longestWithin(trace: Trace, order: Uint32Array, limit: number): number {
  let low = 0;
  let high = order.length;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (peakGpuMillis(trace, order.subarray(0, middle)) <= limit) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The cells of session `s` at which a new part begins. */
function cutsOf(trace: Trace, s: number, { gapMs, onGpuChange }: SplitRequest): number[] {
  const { sessions, cells, shapes } = trace;
  const cuts: number[] = [];
  let replyMs = 0;
  for (let c = sessions.firstCell[s]!; c < sessions.firstCell[s + 1]!; c++) {
    if (c > sessions.firstCell[s]!) {
      const idle = gapMs !== undefined && cells.submitMs[c]! - replyMs > gapMs;
      const gpus = shapes[cells.shape[c]!]!.gpuMillis;
      const changed = onGpuChange && gpus !== shapes[cells.shape[c - 1]!]!.gpuMillis;
      if (idle || changed) cuts.push(c);
    }
    replyMs = Math.max(replyMs, cells.submitMs[c]! + cells.durationMs[c]!);
  }
  return cuts;
}

function copyParts(
  trace: Trace,
  copy: TraceCopy,
  s: number,
  cuts: readonly number[],
  { startPadMs = START_PAD_MS, endPadMs = 0 }: SplitRequest,
): void {
  const { sessions, cells } = trace;
  const bounds = [sessions.firstCell[s]!, ...cuts, sessions.firstCell[s + 1]!];
  const keepShape = copy.claimsMore(s);
  let startMs = sessions.startMs[s]!;
  let replyMs = startMs;
  for (let k = 0; k + 1 < bounds.length; k++) {
    const [from, to] = [bounds[k]!, bounds[k + 1]!];
    for (let c = from; c < to; c++) {
      replyMs = Math.max(replyMs, cells.submitMs[c]! + cells.durationMs[c]!);
    }
    const id = `${sessions.ids[s]}.${k + 1}`;
    if (k + 2 === bounds.length) {
      copy.session(s, { id, startMs, endMs: sessions.endMs[s]!, from, to, keepShape });
      return;
    }
    // Where runs overlap, the next cell is submitted before the last reply.
    const submitMs = cells.submitMs[to]!;
    const nextMs = Math.min(submitMs, Math.max(replyMs, submitMs - startPadMs));
    const closeMs = Math.min(replyMs + endPadMs, Math.max(nextMs, replyMs));
    copy.session(s, { id, startMs, endMs: closeMs, from, to, keepShape });
    startMs = nextMs;
  }
}

function hours(ms: number): string {
  return `${+(ms / HOUR_MS).toFixed(3)} h`;
}

function requirePositive(what: string, value: number): void {
  if (!(value > 0 && Number.isFinite(value)))
    throw new NbosError('usage', `${what}: expected a positive number, found ${value}`);
}
