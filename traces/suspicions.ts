import { openSteps } from './measures.ts';
import type { Trace } from './trace.ts';

/** A cluster of equal hosts. */
export interface ClusterSize {
  readonly hosts: number;
  readonly gpusPerHost: number;
}

export interface TraceWarning {
  readonly code:
    | 'time-backwards'
    | 'overlap'
    | 'duplicate-cells'
    | 'duplicate-sessions'
    | 'cron-like'
    | 'oversize'
    | 'overload'
    | 'reservation-overload';
  readonly message: string;
}

const SECOND_MS = 1_000;
/** A source is cron-like from this many submissions on … */
const LEAST_SUBMISSIONS = 100;
/** … when this share of them is followed by another exactly one period later … */
const PERIODIC_SHARE = 0.5;
/** … and that is so many times what chance would give at the source's own rate. */
const OVER_CHANCE = 5;
const LEAST_PERIOD_MS = 60 * SECOND_MS;
const TOLERANCE_MS = 1.5 * SECOND_MS;
const MOST_NAMED = 3;

/** What makes a trace doubtful as a workload of people, or impossible on a cluster. */
export function warningsOf(trace: Trace, cluster?: ClusterSize): TraceWarning[] {
  return [
    ...orderWarnings(trace),
    ...duplicateSessionWarnings(trace),
    ...cronWarnings(trace),
    ...(cluster === undefined ? [] : clusterWarnings(trace, cluster)),
  ];
}

function orderWarnings({ sessions, cells }: Trace): TraceWarning[] {
  let backwards = 0;
  let overlaps = 0;
  let duplicates = 0;
  for (let s = 0; s < sessions.count; s++) {
    for (let c = sessions.firstCell[s]! + 1; c < sessions.firstCell[s + 1]!; c++) {
      const before = cells.submitMs[c - 1]!;
      const submit = cells.submitMs[c]!;
      if (submit < before) backwards++;
      else if (
        submit === before &&
        cells.durationMs[c] === cells.durationMs[c - 1] &&
        cells.shape[c] === cells.shape[c - 1]
      )
        duplicates++;
      else if (submit < before + cells.durationMs[c - 1]!) overlaps++;
    }
  }
  return [
    ...counted('time-backwards', backwards, 'are submitted before the cell ahead of them'),
    ...counted('overlap', overlaps, 'are submitted while the cell ahead of them still runs'),
    ...counted('duplicate-cells', duplicates, 'equal the cell ahead of them in every column'),
  ];
}

function counted(code: TraceWarning['code'], count: number, what: string): TraceWarning[] {
  return count === 0 ? [] : [{ code, message: `${count} cells ${what}` }];
}

function duplicateSessionWarnings({ sessions, cells }: Trace): TraceWarning[] {
  const seen = new Map<string, number>();
  let copies = 0;
  let example = '';
  for (let s = 0; s < sessions.count; s++) {
    const from = sessions.firstCell[s]!;
    const to = sessions.firstCell[s + 1]!;
    if (from === to) continue;
    let [submits, durations] = [0, 0];
    for (let c = from; c < to; c++) {
      submits += cells.submitMs[c]! * (1 + c - from);
      durations += cells.durationMs[c]! * (1 + c - from);
    }
    const key = `${sessions.user[s]}/${to - from}/${submits}/${durations}/${sessions.shape[s]}`;
    const first = seen.get(key);
    if (first === undefined) {
      seen.set(key, s);
      continue;
    }
    if (copies++ === 0) example = `"${sessions.ids[s]}" of "${sessions.ids[first]}"`;
  }
  const message = `${copies} sessions repeat another's cells exactly, such as ${example}`;
  return copies === 0 ? [] : [{ code: 'duplicate-sessions', message }];
}

/** Sources (users where the trace names them, else sessions) that submit like clockwork. */
function cronWarnings(trace: Trace): TraceWarning[] {
  const found: string[] = [];
  for (const [name, submits] of sourcesOf(trace)) {
    const period = periodOf(submits);
    if (period > 0) found.push(`${name} every ${Math.round(period / SECOND_MS)} s`);
  }
  if (found.length === 0) return [];
  const more = found.length > MOST_NAMED ? ` and ${found.length - MOST_NAMED} more` : '';
  const named = found.slice(0, MOST_NAMED).join(', ');
  return [
    { code: 'cron-like', message: `submits like clockwork, not like people: ${named}${more}` },
  ];
}

function* sourcesOf({ sessions, cells, users }: Trace): Generator<[string, Float64Array]> {
  const byUser = new Map<number, number[]>();
  for (let s = 0; s < sessions.count; s++) {
    const [from, to] = [sessions.firstCell[s]!, sessions.firstCell[s + 1]!];
    const user = sessions.user[s]!;
    if (user === 0) {
      if (to - from >= LEAST_SUBMISSIONS)
        yield [`session "${sessions.ids[s]}"`, cells.submitMs.slice(from, to).sort()];
      continue;
    }
    let submits = byUser.get(user);
    if (submits === undefined) byUser.set(user, (submits = []));
    for (let c = from; c < to; c++) submits.push(cells.submitMs[c]!);
  }
  for (const [user, submits] of byUser) {
    if (submits.length >= LEAST_SUBMISSIONS)
      yield [`user "${users[user]}"`, Float64Array.from(submits).sort()];
  }
}

/** The period of a source in ms, 0 if it has none. `submits` is ascending. */
function periodOf(submits: Float64Array): number {
  const counts = new Map<number, number>();
  let best = 0;
  for (let i = 1; i < submits.length; i++) {
    const gap = Math.round((submits[i]! - submits[i - 1]!) / SECOND_MS) * SECOND_MS;
    if (gap < LEAST_PERIOD_MS) continue;
    const count = (counts.get(gap) ?? 0) + 1;
    counts.set(gap, count);
    if (count > (counts.get(best) ?? 0)) best = gap;
  }
  if (best === 0) return 0;
  const period = meanGapNear(submits, best);
  let hits = 0;
  let j = 0;
  for (let i = 0; i < submits.length; i++) {
    const due = submits[i]! + period;
    while (j < submits.length && submits[j]! < due - TOLERANCE_MS) j++;
    if (j < submits.length && submits[j]! <= due + TOLERANCE_MS) hits++;
  }
  const share = hits / submits.length;
  const span = submits.at(-1)! - submits[0]!;
  // Times in whole minutes meet by chance far more often than times in seconds.
  const grain = submits.every((t) => (t - submits[0]!) % 60_000 === 0) ? 60_000 : 2 * TOLERANCE_MS;
  const chance = (submits.length * grain) / span;
  return share >= PERIODIC_SHARE && share >= OVER_CHANCE * chance ? period : 0;
}

/** The mean of the gaps around `near`, which is in whole seconds: clocks do not tick in whole seconds. */
function meanGapNear(submits: Float64Array, near: number): number {
  let [sum, count] = [0, 0];
  for (let i = 1; i < submits.length; i++) {
    const gap = submits[i]! - submits[i - 1]!;
    if (Math.abs(gap - near) > 2 * TOLERANCE_MS) continue;
    sum += gap;
    count++;
  }
  return sum / count;
}

function clusterWarnings(trace: Trace, cluster: ClusterSize): TraceWarning[] {
  const { sessions, cells, shapes, endMs } = trace;
  const capacity = cluster.hosts * cluster.gpusPerHost;
  const hostMillis = cluster.gpusPerHost * 1000;
  let oversize = 0;
  let work = 0;
  for (let c = 0; c < cells.count; c++) {
    const gpuMillis = shapes[cells.shape[c]!]!.gpuMillis;
    if (gpuMillis > hostMillis) oversize++;
    work += (gpuMillis / 1000) * Math.min(cells.durationMs[c]!, endMs - cells.submitMs[c]!);
  }
  const large = sessions.shape.filter((s) => shapes[s]!.gpuMillis > hostMillis).length;
  const warnings: TraceWarning[] = [];
  if (oversize > 0 || large > 0)
    warnings.push({
      code: 'oversize',
      message:
        `${oversize} cells and ${large} sessions need more than the ${cluster.gpusPerHost} GPUs ` +
        'of a host and can never be placed',
    });
  const load = work / endMs / capacity;
  if (load >= 1)
    warnings.push({
      code: 'overload',
      message:
        `the cells keep ${(load * 100).toFixed(0)} % of ${capacity} GPUs busy: queues grow to the ` +
        'end of the trace and never drain',
    });
  const reserved = peakOf(trace);
  if (reserved > capacity)
    warnings.push({
      code: 'reservation-overload',
      message:
        `sessions reserve up to ${reserved} GPUs at once, ${capacity} are there: policies that ` +
        'reserve for whole sessions will queue them',
    });
  return warnings;
}

function peakOf(trace: Trace): number {
  let peak = 0;
  for (const gpuMillis of openSteps(trace).gpuMillis) peak = Math.max(peak, gpuMillis);
  return peak / 1000;
}
