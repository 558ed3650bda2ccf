import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NbosError } from '../../core/errors.ts';
import {
  busyShares,
  dispersionOf,
  gapsOf,
  gpuChangeShare,
  gpuTimeOf,
  meanGapBySize,
  topPercentShare,
} from '../../traces/measures.ts';
import { quantileSorted, sortedCopy } from '../../traces/quantiles.ts';
import {
  type ProfileName,
  type SynthesisRequest,
  synthesize,
} from '../../traces/synthesize/index.ts';
import type { Trace } from '../../traces/trace.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const PS = [0.25, 0.5, 0.75, 0.9, 0.95];

/** The published numbers of each file, minutes; quantiles at PS, as many as are published. */
const PUBLISHED = {
  'adobe-15s': {
    duration: [2, 2, 6, 20, 40],
    gap: [3, 5, 10, 29, 70],
    think: [0, 1, 3, 7],
    cells: [9, 55, 245, 898, 1357],
    gpus: { 1: 0.2115, 4: 0.3203, 8: 0.4682 },
    meanDuration: 20,
    gpuHoursPerSession: 191_449 / 345,
    cellsPerSession: 100_131 / 345,
    busyShare: 0.25,
    meanGaps: [2744, 840, 232, 50, 18],
  },
  'adobe-60s': {
    duration: [3, 5, 11, 32, 95],
    gap: [7, 11, 23, 98, 550],
    think: [1, 3, 7, 35],
    cells: [5, 17, 76, 206, 424],
    gpus: { 1: 0.49, 4: 0.2, 8: 0.31 },
    meanDuration: 55,
    gpuHoursPerSession: 155_502 / 340,
    cellsPerSession: 30_909 / 340,
    busyShare: 0.16,
    meanGaps: undefined,
  },
} as const;

function within(found: number, wanted: number, share: number, what: string): void {
  const off = Math.abs(found / wanted - 1);
  assert.ok(off <= share + 1e-9, `${what}: found ${found}, wanted ${wanted} within ${share}`);
}

/** Within 10 % of the table at every quantile; where the table says 0, at most 1. */
function matches(values: Float64Array, scale: number, table: readonly number[], what: string) {
  const sorted = sortedCopy(values);
  table.forEach((wanted, i) => {
    const found = quantileSorted(sorted, PS[i]!) / scale;
    if (wanted === 0) assert.ok(found <= 1, `${what} p${PS[i]! * 100}: ${found}`);
    else within(found, wanted, 0.1, `${what} p${PS[i]! * 100}`);
  });
}

function cellCounts({ sessions }: Trace): Float64Array {
  const { count, firstCell } = sessions;
  return Float64Array.from({ length: count }, (_, s) => firstCell[s + 1]! - firstCell[s]!);
}

function gpuShares(trace: Trace): Record<number, number> {
  const shares: Record<number, number> = {};
  for (const shape of trace.cells.shape) {
    const gpus = trace.shapes[shape]!.gpuMillis / 1000;
    shares[gpus] = (shares[gpus] ?? 0) + 1 / trace.cells.count;
  }
  return shares;
}

/** Submissions per weekday over submissions per weekend day, in the whole weeks of the trace. */
function weekdayEffect(trace: Trace): number {
  const days = Math.floor(trace.endMs / DAY_MS / 7) * 7;
  let [weekdays, weekends] = [0, 0];
  for (const submit of trace.cells.submitMs) {
    const day = Math.floor(submit / DAY_MS);
    if (day >= days) continue;
    // Day 0 is a Tuesday.
    if (day % 7 === 4 || day % 7 === 5) weekends++;
    else weekdays++;
  }
  return weekdays / 5 / (weekends / 2);
}

const MONTH = { sessions: 5_000, hours: 720, seed: 1 } as const;
const months = new Map<ProfileName, Trace>();
function monthOf(profile: ProfileName): Trace {
  let trace = months.get(profile);
  if (trace === undefined) months.set(profile, (trace = synthesize({ profile, ...MONTH })));
  return trace;
}

for (const profile of ['adobe-15s', 'adobe-60s'] as const) {
  const wanted = PUBLISHED[profile];

  test(`${profile}: durations, gaps, think times and cells per session are the table's`, () => {
    const trace = monthOf(profile);
    const { gapMs, thinkMs } = gapsOf(trace);
    matches(trace.cells.durationMs, MINUTE_MS, wanted.duration, 'duration');
    matches(gapMs, MINUTE_MS, wanted.gap, 'gap');
    matches(thinkMs, MINUTE_MS, wanted.think, 'think time');
    matches(cellCounts(trace), 1, wanted.cells, 'cells per session');
    within(trace.cells.count / MONTH.sessions, wanted.cellsPerSession, 0.05, 'mean cells');
  });

  test(`${profile}: GPU mix within 2 points, a third of the sessions change, GPU-hours`, () => {
    const trace = monthOf(profile);
    const shares = gpuShares(trace);
    assert.equal(Object.keys(shares), ['1', '4', '8']);
    for (const gpus of [1, 4, 8] as const) {
      const off = Math.abs(shares[gpus]! - wanted.gpus[gpus]);
      assert.ok(off <= 0.02, `${gpus} GPUs: off by ${off}`);
    }
    const changing = gpuChangeShare(trace);
    assert.ok(changing > 0.28 && changing < 0.38, `${changing} change`);
    const gpuHours = gpuTimeOf(trace).busyGpuMs / HOUR_MS / MONTH.sessions;
    within(gpuHours, wanted.gpuHoursPerSession, 0.15, 'GPU-hours');
  });

  test(`${profile}: the heavy tail is kept`, () => {
    const trace = monthOf(profile);
    within(topPercentShare(trace), 0.59, 0.06, 'share of the longest 1 %');
    const { durationMs } = trace.cells;
    const sum = durationMs.reduce((total, duration) => total + duration, 0);
    within(sum / durationMs.length / MINUTE_MS, wanted.meanDuration, 0.1, 'mean duration');
  });

  test(`${profile}: bursty by hour and day, Poisson by the minute, weekdays busier`, () => {
    const trace = monthOf(profile);
    const minute = dispersionOf(trace, MINUTE_MS);
    assert.ok(minute > 0.9 && minute < 1.35, `by minute ${minute}`);
    const hour = dispersionOf(trace, HOUR_MS);
    assert.ok(hour >= 6 && hour <= 19, `by hour ${hour}`);
    const day = dispersionOf(trace, DAY_MS);
    assert.ok(day >= 96 && day <= 440, `by day ${day}`);
    within(weekdayEffect(trace), 1.2, 0.08, 'weekday effect');
  });

  test(`${profile}: gaps fall with session size, sessions fit and are as busy as published`, () => {
    const trace = monthOf(profile);
    const gaps = meanGapBySize(trace);
    for (let k = 1; k < gaps.length; k++) assert.ok(gaps[k]! < gaps[k - 1]! / 1.8);
    wanted.meanGaps?.forEach((mean, k) => {
      within(gaps[k]!, mean, 0.2, `mean gap of size class ${k}`);
    });
    within(quantileSorted(sortedCopy(busyShares(trace)), 0.5), wanted.busyShare, 0.15, 'busy');
    const { startMs, endMs } = trace.sessions;
    assert.is(trace.endMs, 720 * HOUR_MS);
    for (let s = 0; s < trace.sessions.count; s++) {
      assert.ok(startMs[s]! >= 0 && endMs[s]! <= trace.endMs);
    }
  });
}

test('one cell after another, whole minutes apart, inside its session', () => {
  const { cells, sessions } = monthOf('adobe-15s');
  for (let s = 0; s < sessions.count; s++) {
    const [from, to] = [sessions.firstCell[s]!, sessions.firstCell[s + 1]!];
    assert.ok(to > from);
    assert.is(cells.submitMs[from]! - sessions.startMs[s]!, 2 * MINUTE_MS);
    for (let c = from; c < to; c++) {
      const reply = cells.submitMs[c]! + cells.durationMs[c]!;
      assert.is(cells.durationMs[c]! % MINUTE_MS, 0);
      if (c + 1 === to) assert.is(reply, sessions.endMs[s]!);
      else assert.ok(reply <= cells.submitMs[c + 1]!);
      assert.is((cells.submitMs[c]! - cells.submitMs[from]!) % MINUTE_MS, 0);
    }
  }
  const offsets = new Set(sessions.startMs.map((start) => start % MINUTE_MS));
  assert.ok(offsets.size > 4_000, 'sessions begin at moments of their own');
});

test('a file-sized trace is bursty like the file', () => {
  const hours: number[] = [];
  const days: number[] = [];
  for (let seed = 1; seed <= 8; seed++) {
    const trace = synthesize({ profile: 'adobe-15s', sessions: 345, hours: 720, seed });
    hours.push(dispersionOf(trace, HOUR_MS));
    days.push(dispersionOf(trace, DAY_MS));
  }
  const middle = (values: number[]) => quantileSorted(sortedCopy(values), 0.5);
  assert.ok(middle(hours) >= 6 && middle(hours) <= 19, `by hour ${hours}`);
  assert.ok(middle(days) >= 96 && middle(days) <= 440, `by day ${days}`);
});

test('the same seed gives the same trace, another seed another', () => {
  const request = { profile: 'adobe-15s', sessions: 100, hours: 720 } as const;
  const hash = synthesize({ ...request, seed: 5 }).hash;
  assert.is(synthesize({ ...request, seed: 5 }).hash, hash);
  assert.is.not(synthesize({ ...request, seed: 6 }).hash, hash);
});

test('a given number of cells is met exactly, and gaps scale', () => {
  const request = { profile: 'adobe-15s', sessions: 2_000, hours: 720, seed: 1 } as const;
  const small = synthesize({ ...request, cells: 100_000 });
  assert.is(small.cells.count, 100_000);
  assert.is(small.sessions.count, 2_000);
  const wide = synthesize({ ...request, cells: 100_000, gapFactor: 0.5 });
  const thinks = (trace: Trace) => gapsOf(trace).thinkMs.reduce((sum, think) => sum + think, 0);
  within(thinks(wide) / thinks(small), 0.5, 0.02, 'think time');
  assert.is(synthesize({ ...request, cells: 2_000 }).cells.count, 2_000);
});

test('a trace longer than the files spreads its sessions over it', () => {
  const trace = synthesize({ profile: 'adobe-60s', sessions: 400, hours: 1_440, seed: 1 });
  assert.is(trace.endMs, 1_440 * HOUR_MS);
  const first = trace.sessions.startMs.filter((start) => start < 360 * HOUR_MS).length;
  assert.ok(first > 50 && first < 250, `${first} sessions start in the first quarter`);
});

const REFUSED: readonly [string, NbosError['code'], Partial<SynthesisRequest>][] = [
  ['a profile that does not exist', 'usage', { profile: 'adobe-5s' as ProfileName }],
  ['no session', 'usage', { sessions: 0 }],
  ['half a session', 'usage', { sessions: 1.5 }],
  ['no time', 'usage', { hours: 0 }],
  ['NaN hours', 'usage', { hours: Number.NaN }],
  ['a negative seed', 'usage', { seed: -1 }],
  ['fewer cells than sessions', 'usage', { cells: 10 }],
  ['a peak in a month', 'usage', { peakGpus: 100 }],
  ['cells in a day', 'usage', { hours: 24, cells: 1_000 }],
  ['sessions that cannot fit', 'trace-unreachable', { sessions: 20, cells: 2_000_000 }],
];
for (const [what, code, change] of REFUSED) {
  test(`refuses ${what}`, () => {
    const request = { profile: 'adobe-15s', sessions: 50, hours: 720, seed: 1 } as const;
    assert.throws(
      () => synthesize({ ...request, ...change }),
      (error: unknown) => error instanceof NbosError && error.code === code,
    );
  });
}

test.run();
