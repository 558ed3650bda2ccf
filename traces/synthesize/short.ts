import { NbosError } from '../../core/errors.ts';
import { gapsOf, gpuTimeOf } from '../measures.ts';
import { quantileSorted, sortedCopy } from '../quantiles.ts';
import { copyWindow, padSessions, sample, splitSessions, windowOf } from '../sample.ts';
import type { Trace } from '../trace.ts';
import { shuffle, streamOf } from './draws.ts';
import { FILE_HOURS, synthesizePopulation } from './population.ts';
import type { Profile, StepTable } from './profiles.ts';
import { valueAt } from './tables.ts';

export interface WindowRequest {
  readonly profile: Profile;
  readonly sessions: number;
  readonly hours: number;
  readonly seed: number;
  readonly gapFactor: number;
  readonly peakGpus: number | undefined;
  readonly busyShare: readonly [least: number, most: number] | undefined;
}

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
/**
 * In two days of production data sessions live 21 h (median) and 25.7 % of the reserved GPU time is
 * busy, far from the month-long sessions of the files: so notebooks idle for 8 h count as left, and
 * stay open for 20 h after their last reply.
 */
const LEFT_AFTER_MS = 8 * HOUR_MS;
const OPEN_AFTER_MS = 20 * HOUR_MS;
/** Windows keep this far from the ends of the month, where sessions are cut. */
const MARGIN_HOURS = 48;
const POPULATIONS = 8;
const DRAWS = 60;
/** Enough acceptable draws to choose the most typical from; one draw of many sessions is typical. */
const CHOICE = 5;
const LARGE = 300;
/** GPU-weighted share of reserved time that is busy in two days of production data. */
const TYPICAL_SHARE = 0.257;
const SESSIONS_TOLERANCE = 0.1;

/**
 * A window of a 720-hour population. Draws of population, window and sessions follow one another,
 * all derived from the seed, until five meet the conditions; of those, the one whose durations,
 * think times and busy share are nearest the published ones is taken. No cell is ever changed to
 * meet a condition.
 */
export function synthesizeWindow(request: WindowRequest): Trace {
  const choice = request.sessions > LARGE ? 1 : CHOICE;
  const met: Trace[] = [];
  const misses = new Misses();
  for (let p = 0; p < POPULATIONS && met.length < choice; p++) {
    const population = populationFor(request, p);
    for (let d = 0; d < DRAWS && met.length < choice; d++) {
      const drawn = drawWindow(request, population, streamOf(request.seed, `window-${p}-${d}`));
      if (drawn === undefined) break;
      if (meets(request, drawn, misses)) met.push(drawn);
    }
  }
  if (met.length === 0) refuse(request, misses);
  let best = met[0]!;
  for (const trace of met) {
    if (distanceTo(request.profile, trace) < distanceTo(request.profile, best)) best = trace;
  }
  return renamed(request, best);
}

/** Sessions of a month, cut where notebooks were left, enough of them for the window. */
function populationFor(request: WindowRequest, attempt: number): Trace {
  const { profile, hours, seed, gapFactor } = request;
  // About 3 of 10 are open at a moment, and 0.5 % open in an hour; more where that was too few.
  const needed = request.sessions / (0.29 + 0.005 * hours);
  const whole = synthesizePopulation({
    profile,
    sessions: Math.ceil((1.3 + attempt / 2) * needed) + 20,
    hours: FILE_HOURS,
    seed: seed + attempt * 0x100000000,
    gapFactor,
  });
  return padSessions(splitSessions(whole, { gapMs: LEFT_AFTER_MS }), OPEN_AFTER_MS);
}

/** One draw of a window and of sessions in it; undefined when it has too few. */
function drawWindow(
  { sessions, hours, peakGpus }: WindowRequest,
  population: Trace,
  uniform: () => number,
): Trace | undefined {
  const windowMs = Math.round(hours * 60) * MINUTE_MS;
  const margin = Math.min(MARGIN_HOURS, (FILE_HOURS - hours) / 2);
  const places = (FILE_HOURS - hours - 2 * margin) * 60;
  const fromMs = Math.floor(margin * 60 + uniform() * places) * MINUTE_MS;
  const seed = Math.floor(uniform() * 0x100000000);
  if (peakGpus !== undefined) return sample(population, { windowMs, fromMs, peakGpus, seed });
  const window = windowOf(population, fromMs, fromMs + windowMs);
  if (window.sessions.count < sessions) return undefined;
  const order = Uint32Array.from({ length: window.sessions.count }, (_, s) => s);
  const kept = shuffle(order, uniform).subarray(0, sessions).sort();
  return copyWindow(window, 0, window.endMs, kept);
}

class Misses {
  count = 0;
  least = Number.POSITIVE_INFINITY;
  most = Number.NEGATIVE_INFINITY;
  fewest = Number.POSITIVE_INFINITY;
  largest = 0;

  note(share: number, sessions: number): void {
    this.count++;
    this.least = Math.min(this.least, share);
    this.most = Math.max(this.most, share);
    this.fewest = Math.min(this.fewest, sessions);
    this.largest = Math.max(this.largest, sessions);
  }
}

function meets({ sessions, peakGpus, busyShare }: WindowRequest, t: Trace, m: Misses): boolean {
  const { reservedGpuMs, busyGpuMs } = gpuTimeOf(t);
  const share = busyGpuMs / reservedGpuMs;
  m.note(share, t.sessions.count);
  if (busyShare !== undefined && !(share >= busyShare[0] && share <= busyShare[1])) return false;
  if (peakGpus === undefined) return true;
  const open = t.sessions.startMs.filter((start) => start === 0).length;
  const off = Math.abs(t.sessions.count - sessions) / sessions;
  return off <= SESSIONS_TOLERANCE && (sessions === 1 || (open > 0 && open < t.sessions.count));
}

/** How far a draw is from the published numbers, as a sum of squared log ratios. */
function distanceTo(profile: Profile, trace: Trace): number {
  if (trace.cells.count === 0) return Number.POSITIVE_INFINITY;
  const durations = quantileDistance(profile.durationMin, trace.cells.durationMs);
  const thinks = quantileDistance(profile.thinkMin, gapsOf(trace).thinkMs);
  const { reservedGpuMs, busyGpuMs } = gpuTimeOf(trace);
  const share = Math.log(busyGpuMs / reservedGpuMs / TYPICAL_SHARE) ** 2;
  return durations + (Number.isNaN(thinks) ? 0 : thinks) + 2 * share;
}

function quantileDistance(table: StepTable, valuesMs: Float64Array): number {
  const sorted = sortedCopy(valuesMs);
  let sum = 0;
  for (const p of [0.25, 0.5, 0.75, 0.9]) {
    const minutes = quantileSorted(sorted, p) / MINUTE_MS;
    sum += Math.log((minutes + 1) / (valueAt(table, p) + 1)) ** 2;
  }
  return sum;
}

function renamed({ profile, sessions, hours, seed }: WindowRequest, trace: Trace): Trace {
  const source = `synthetic, profile ${profile.name}, ${hours} h, seed ${seed}`;
  return { ...trace, name: `${profile.name}-${hours}h-${sessions}-${seed}`, source };
}

function refuse({ sessions, peakGpus, busyShare, hours }: WindowRequest, misses: Misses): never {
  const wanted = [
    `about ${sessions} sessions in ${hours} h`,
    ...(peakGpus === undefined ? [] : [`at most ${peakGpus} GPUs reserved`]),
    ...(busyShare === undefined
      ? []
      : [`${percent(busyShare[0])} to ${percent(busyShare[1])} busy`]),
  ];
  const found =
    misses.count === 0
      ? 'no window holds as many sessions'
      : `${misses.count} draws have ${misses.fewest} to ${misses.largest} sessions, ` +
        `${percent(misses.least)} to ${percent(misses.most)} busy`;
  throw new NbosError(
    'trace-unreachable',
    `no draw meets ${wanted.join(', ')}: ${found}`,
    'Ask for what these draws have, or try another seed.',
  );
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
