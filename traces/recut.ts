import { TraceBuilder } from './build.ts';
import type { Trace } from './trace.ts';
import { TraceCopy } from './trace-copy.ts';

const MS_PER_HOUR = 3_600_000;

export interface RecutOptions {
  /** cut where no cell runs for longer than this; 0 never cuts */
  readonly splitGapHours: number;
  /** cut where a cell asks for another number of GPUs than the one before */
  readonly splitOnGpuChange: boolean;
  /** a session after a cut opens so long before its first cell */
  readonly startPadMs: number;
  /** a session before a cut closes so long after its last cell ends */
  readonly endPadMs: number;
}

/**
 * Cuts sessions into several. The first piece opens and the last closes as the session did; pieces
 * are named `ID`, `ID.2`, `ID.3` …, and claim what their own cells need. The trace itself when there
 * is nothing to cut. A session's pieces may overlap by their pads.
 */
export function recutSessions(trace: Trace, options: RecutOptions): Trace {
  const { sessions, cells } = trace;
  const gapMs = options.splitGapHours > 0 ? options.splitGapHours * MS_PER_HOUR : Infinity;
  if (gapMs === Infinity && !options.splitOnGpuChange) return trace;
  const starts = Array.from({ length: sessions.count }, (_, s) => pieces(trace, s, gapMs, options));
  if (starts.every((list) => list.length === 1)) return trace;
  const copy = new TraceCopy(trace, new TraceBuilder());
  for (let s = 0; s < sessions.count; s++) {
    const last = sessions.firstCell[s + 1]!;
    const list = starts[s]!;
    list.forEach((from, i) => {
      const to = list[i + 1] ?? last;
      const change: { id?: string; from?: number; to?: number; startMs?: number; endMs?: number } =
        {};
      if (list.length > 1) Object.assign(change, { from, to });
      if (i > 0) {
        change.id = `${sessions.ids[s]!}.${i + 1}`;
        change.startMs = Math.max(0, cells.submitMs[from]! - options.startPadMs);
      }
      if (i < list.length - 1) change.endMs = endOf(trace, from, to) + options.endPadMs;
      copy.session(s, change);
    });
  }
  const { splitGapHours, splitOnGpuChange } = options;
  const gap = splitGapHours > 0 ? `cut at idle gaps above ${splitGapHours} h` : '';
  const gpus = splitOnGpuChange ? 'cut where the number of GPUs changes' : '';
  return copy.build([gap, gpus].filter((text) => text !== '').join(', '), trace.endMs);
}

/** First cell of each piece of session `s`; one piece for a session without cells. */
function pieces(trace: Trace, s: number, gapMs: number, options: RecutOptions): number[] {
  const { sessions, cells, shapes } = trace;
  const first = sessions.firstCell[s]!;
  const starts = [first];
  let busyUntil = Number.POSITIVE_INFINITY;
  let gpus = -1;
  for (let c = first; c < sessions.firstCell[s + 1]!; c++) {
    const own = shapes[cells.shape[c]!]!.gpuMillis;
    const submit = cells.submitMs[c]!;
    const changed = options.splitOnGpuChange && gpus >= 0 && own !== gpus;
    const idle = c > first && submit - busyUntil > gapMs;
    if (changed || idle) starts.push(c);
    const end = submit + cells.durationMs[c]!;
    busyUntil = c === first ? end : Math.max(busyUntil, end);
    gpus = own;
  }
  return starts;
}

function endOf({ cells }: Trace, from: number, to: number): number {
  let end = 0;
  for (let c = from; c < to; c++) end = Math.max(end, cells.submitMs[c]! + cells.durationMs[c]!);
  return end;
}
