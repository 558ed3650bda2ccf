import type { SessionSizes } from './counts.ts';
import type { Uniform } from './draws.ts';
import { GPU_CHANGE_BY_SIZE, GPU_CHOICES, type Profile } from './profiles.ts';
import { columnAt, normalCdf, valueAt } from './tables.ts';

/** The GPU choice (index into GPU_CHOICES) of each session, and where it changes. */
export interface GpuPlan {
  readonly before: Uint8Array;
  readonly after: Uint8Array;
  /** first cell, counted in the session, that uses `after` */
  readonly changeAt: Uint32Array;
}

const SIZE_BINS = 400;
const WEIGHT_ROUNDS = 40;

/**
 * Draws GPU counts so that cells have the profile's mix. Sessions come in size order, and what
 * earlier ones used too much or too little of shifts the odds of the next (error diffusion), so the
 * mix is off by no more than about one session's cells.
 */
export function drawGpus(
  profile: Profile,
  sizes: SessionSizes,
  durationScore: Float64Array,
  normal: () => number,
  uniform: Uniform,
): GpuPlan {
  const n = sizes.rank.length;
  const plan = { before: new Uint8Array(n), after: new Uint8Array(n), changeAt: sizes.cells };
  const changeAt = Uint32Array.from(sizes.cells);
  const weights = mixWeights(profile);
  const owed = [0, 0, 0];
  const rho = profile.gpuCorrelation;
  for (let s = 0; s < n; s++) {
    const cells = sizes.cells[s]!;
    const odds = oddsAt(profile, weights, sizes.rank[s]!);
    for (let g = 0; g < 3; g++) owed[g]! += odds[g]! * cells;
    const score = rho * durationScore[s]! + Math.sqrt(1 - rho * rho) * normal();
    const first = pick(owed, normalCdf(score), -1);
    let second = first;
    let change = cells;
    if (cells > 1 && uniform() < columnAt(GPU_CHANGE_BY_SIZE, sizes.rank[s]!, 1)) {
      second = pick(owed, uniform(), first);
      change = 1 + Math.floor(uniform() * (cells - 1));
    }
    plan.before[s] = first;
    plan.after[s] = second;
    changeAt[s] = change;
    owed[first]! -= change;
    owed[second]! -= cells - change;
  }
  return { ...plan, changeAt };
}

/** The choice at rank `u` among those owed something, in order of size; `not` is left out. */
function pick(owed: readonly number[], u: number, not: number): number {
  let total = 0;
  for (let g = 0; g < 3; g++) if (g !== not) total += Math.max(owed[g]!, 1e-9);
  let left = u * total;
  let last = -1;
  for (let g = 0; g < 3; g++) {
    if (g === not) continue;
    last = g;
    left -= Math.max(owed[g]!, 1e-9);
    if (left <= 0) return g;
  }
  return last;
}

function oddsAt(profile: Profile, weights: readonly number[], rank: number): number[] {
  const odds = GPU_CHOICES.map((_, g) => columnAt(profile.gpuBySize, rank, g + 1) * weights[g]!);
  const sum = odds[0]! + odds[1]! + odds[2]!;
  return odds.map((o) => o / sum);
}

/** Factors on the size tendencies that give the profile's mix over all cells. */
function mixWeights(profile: Profile): number[] {
  const weights = [1, 1, 1];
  for (let round = 0; round < WEIGHT_ROUNDS; round++) {
    const used = [0, 0, 0];
    let total = 0;
    for (let bin = 0; bin < SIZE_BINS; bin++) {
      const rank = (bin + 0.5) / SIZE_BINS;
      const cells = valueAt(profile.cells, rank);
      total += cells;
      const odds = oddsAt(profile, weights, rank);
      for (let g = 0; g < 3; g++) used[g]! += cells * odds[g]!;
    }
    for (let g = 0; g < 3; g++) weights[g]! *= (profile.gpuMix[g]! * total) / used[g]!;
  }
  return weights;
}
