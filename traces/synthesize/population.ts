import { vectorForGpus } from '../../core/resources.ts';
import { TraceBuilder } from '../build.ts';
import type { Trace } from '../trace.ts';
import { drawSizes, type SessionSizes } from './counts.ts';
import { normalsOf, stratifiedNormals, streamOf } from './draws.ts';
import { type CellTimes, fitLives } from './fit.ts';
import { drawGpus, type GpuPlan } from './gpus.ts';
import { GPU_CHOICES, type Profile } from './profiles.ts';
import { drawStarts } from './starts.ts';
import { columnAt, ScoreToValue } from './tables.ts';

export interface PopulationRequest {
  readonly profile: Profile;
  readonly sessions: number;
  /** length of the trace, hours, at least 720 */
  readonly hours: number;
  readonly seed: number;
  /** scale cell counts to this total */
  readonly cells?: number | undefined;
  /** think times are multiplied by this and rounded */
  readonly gapFactor: number;
}

/** The files are 30 days long; no session of theirs is longer. */
export const FILE_HOURS = 720;
/** Sessions of a longer trace begin anywhere in it. */
const EVEN_PLACES = 0.6;
const MINUTE_MS = 60_000;
/** A session opens this long before its first cell, as in the importer of the real file. */
const START_PAD_MIN = 2;
/** Phases of dense and of sparse work last about 50 cells: correlation of a phase with the next cell's. */
const PHASE_MEMORY = 0.98;
const PHASE_NEWS = Math.sqrt(1 - PHASE_MEMORY ** 2);

/**
 * Sessions over `hours` hours: cell counts first; then for each session its tendency to long runs
 * and long absences, negatively correlated; its cells' durations and think times by inversion of
 * the tables; swaps until all fit; GPUs; and a start where it fits.
 */
export function synthesizePopulation(request: PopulationRequest): Trace {
  const { profile, sessions, hours, seed } = request;
  const sizes = drawSizes(profile, sessions, request.cells, streamOf(seed, 'sizes'));
  const tendency = stratifiedNormals(sessions, streamOf(seed, 'duration-tendency'));
  const times = drawTimes(request, sizes, tendency);
  const limits = drawLimits(request, streamOf(seed, 'limits'));
  const lives = fitLives(times, sizes, limits, streamOf(seed, 'fit'));
  const gpus = drawGpus(
    profile,
    sizes,
    tendency,
    normalsOf(streamOf(seed, 'gpu-tendency')),
    streamOf(seed, 'gpu-changes'),
  );
  const starts = drawStarts(
    times,
    sizes,
    lives,
    {
      earliestMin: START_PAD_MIN,
      spanMin: Math.floor(hours * 60) - 1,
      weekdayPreference: profile.weekdayPreference,
      edgePreference: hours > FILE_HOURS ? EVEN_PLACES : profile.edgePreference,
    },
    streamOf(seed, 'starts'),
  );
  return assemble(request, sizes, times, gpus, starts, lives);
}

/** The longest life of each session, minutes: up to 7 % less than what there is. */
function drawLimits({ sessions, hours }: PopulationRequest, uniform: () => number): Float64Array {
  const most = Math.min(hours, FILE_HOURS) * 60 - START_PAD_MIN - 1;
  return Float64Array.from({ length: sessions }, () =>
    Math.floor(most * (0.93 + 0.07 * uniform())),
  );
}

function drawTimes(
  { profile, sessions, seed, gapFactor }: PopulationRequest,
  sizes: SessionSizes,
  tendency: Float64Array,
): CellTimes {
  const total = sizes.firstCell[sessions]!;
  const duration = new Uint32Array(total);
  const think = new Uint32Array(total);
  const durations = new ScoreToValue(profile, profile.durationMin, profile.durationBySize);
  const thinks = new ScoreToValue(profile, profile.thinkMin, profile.thinkBySize);
  const absence = stratifiedNormals(sessions, streamOf(seed, 'think-tendency'));
  const durationNormal = normalsOf(streamOf(seed, 'durations'));
  const thinkNormal = normalsOf(streamOf(seed, 'thinks'));
  const { sessionCorrelation: rs, cellCorrelation: rc, phaseShare: share } = profile;
  const [phase, fresh] = [Math.sqrt(share), Math.sqrt(1 - share)];
  const ownShare = Math.sqrt(1 - rc * rc);
  for (let s = 0; s < sessions; s++) {
    const d = effectAt(profile.durationBySize, sizes.rank[s]!);
    const t = effectAt(profile.thinkBySize, sizes.rank[s]!);
    const durationMean = d.mean + d.between * tendency[s]!;
    const thinkMean =
      t.mean + t.between * (rs * tendency[s]! + Math.sqrt(1 - rs * rs) * absence[s]!);
    const end = sizes.firstCell[s + 1]!;
    let slowDuration = durationNormal();
    let slowThink = thinkNormal();
    for (let c = sizes.firstCell[s]!; c < end; c++) {
      const e = phase * slowDuration + fresh * durationNormal();
      const f = phase * slowThink + fresh * thinkNormal();
      duration[c] = durations.value(durationMean + d.within * e);
      if (c + 1 === end) break;
      slowDuration = PHASE_MEMORY * slowDuration + PHASE_NEWS * durationNormal();
      slowThink = PHASE_MEMORY * slowThink + PHASE_NEWS * thinkNormal();
      const away = rc * e + ownShare * f;
      think[c] = Math.round(thinks.value(thinkMean + t.within * away) * gapFactor);
    }
  }
  return { duration, think };
}

function effectAt(effect: Profile['thinkBySize'], rank: number) {
  const deviation = columnAt(effect, rank, 2);
  const between = Math.min(deviation, columnAt(effect, rank, 3));
  const within = Math.sqrt(deviation * deviation - between * between);
  return { mean: columnAt(effect, rank, 1), between, within };
}

function assemble(
  { profile, hours, seed }: PopulationRequest,
  sizes: SessionSizes,
  times: CellTimes,
  gpus: GpuPlan,
  starts: Float64Array,
  lives: Float64Array,
): Trace {
  const sessions = starts.length;
  const offset = streamOf(seed, 'offsets');
  const firstMs = Float64Array.from(
    starts,
    (minute) => minute * MINUTE_MS + Math.floor(offset() * MINUTE_MS),
  );
  const order = Uint32Array.from({ length: sessions }, (_, s) => s);
  order.sort((a, b) => firstMs[a]! - firstMs[b]! || a - b);
  const digits = String(sessions).length;
  const shapes = GPU_CHOICES.map((gpus) => vectorForGpus(gpus * 1000));
  const builder = new TraceBuilder();
  for (let k = 0; k < sessions; k++) {
    const s = order[k]!;
    let atMs = firstMs[s]!;
    const session = builder.addSession({
      id: `s${String(k + 1).padStart(digits, '0')}`,
      startMs: atMs - START_PAD_MIN * MINUTE_MS,
      endMs: atMs + lives[s]! * MINUTE_MS,
    });
    const from = sizes.firstCell[s]!;
    const changeAt = from + gpus.changeAt[s]!;
    for (let c = from; c < sizes.firstCell[s + 1]!; c++) {
      const durationMs = times.duration[c]! * MINUTE_MS;
      const shape = shapes[c < changeAt ? gpus.before[s]! : gpus.after[s]!]!;
      builder.addCell({ session, submitMs: atMs, durationMs, shape });
      atMs += durationMs + times.think[c]! * MINUTE_MS;
    }
  }
  return builder.build({
    name: `${profile.name}-${sessions}-${seed}`,
    source: `synthetic, profile ${profile.name}, seed ${seed}`,
    licence: 'MIT',
    endMs: Math.round(hours * 60) * MINUTE_MS,
  });
}
