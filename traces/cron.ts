import type { Trace } from './trace.ts';

/** fewest gaps that say anything */
const MIN_GAPS = 100;
/** shorter intervals are loops in a notebook, and minute-rounded data is full of them */
const MIN_INTERVAL_MS = 300_000;
/** a gap is "the same" within this share of the interval */
const TOLERANCE = 0.02;
const MIN_SHARE = 0.5;

export interface CronLikeSource {
  /** user, or session where users are not given */
  readonly name: string;
  readonly intervalMs: number;
  /** share of the source's gaps of at least 5 minutes that are this interval */
  readonly share: number;
  readonly cells: number;
}

/**
 * Sources at least half of whose gaps between submissions (of those of 5 minutes and more, at least
 * 100) are one interval, within 2 %: timers rather than people.
 */
export function cronLikeSources(trace: Trace): CronLikeSource[] {
  const found: CronLikeSource[] = [];
  for (const [name, submissions] of submissionsBySource(trace)) {
    if (submissions.length <= MIN_GAPS) continue;
    const gaps = longGaps(submissions.sort());
    if (gaps.length < MIN_GAPS) continue;
    const { intervalMs, near } = mostCommon(gaps);
    const share = near / gaps.length;
    if (share >= MIN_SHARE) found.push({ name, intervalMs, share, cells: submissions.length });
  }
  return found;
}

function* submissionsBySource(trace: Trace): Generator<[string, Float64Array]> {
  const { sessions, cells, users } = trace;
  const ofUser = new Map<number, number[]>();
  for (let s = 0; s < sessions.count; s++) {
    const from = sessions.firstCell[s]!;
    const to = sessions.firstCell[s + 1]!;
    const user = sessions.user[s]!;
    if (user === 0) {
      yield [`session "${sessions.ids[s]!}"`, cells.submitMs.slice(from, to)];
      continue;
    }
    const list = ofUser.get(user) ?? [];
    for (let c = from; c < to; c++) list.push(cells.submitMs[c]!);
    ofUser.set(user, list);
  }
  for (const [user, list] of ofUser) yield [`user "${users[user]!}"`, Float64Array.from(list)];
}

function longGaps(sorted: Float64Array): Float64Array {
  const gaps: number[] = [];
  for (let i = 1; i < sorted.length; i++) {
    const gap = sorted[i]! - sorted[i - 1]!;
    if (gap >= MIN_INTERVAL_MS) gaps.push(gap);
  }
  return Float64Array.from(gaps).sort();
}

/** The gap with most others within the tolerance above it: a window slid over the sorted gaps. */
function mostCommon(gaps: Float64Array): { intervalMs: number; near: number } {
  let near = 0;
  let start = 0;
  let from = 0;
  for (let to = 0; to < gaps.length; to++) {
    while (gaps[to]! > gaps[from]! * (1 + TOLERANCE)) from++;
    if (to - from + 1 > near) {
      near = to - from + 1;
      start = from;
    }
  }
  return { intervalMs: gaps[start + (near >> 1)]!, near };
}
