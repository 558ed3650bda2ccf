import type { Profile, SizeEffect, StepTable } from './profiles.ts';

/**
 * The value at rank `u` (0 … 1): the smallest whole number v with P(X ≤ v) ≥ u, log-linear between
 * the points of the table. The first point is an atom: every rank up to it gets its value.
 */
export function valueAt(table: StepTable, u: number): number {
  const percent = u * 100;
  let k = 0;
  while (k < table.length - 1 && table[k]![0] < percent) k++;
  const [toPercent, toValue] = table[k]!;
  if (k === 0) return toValue;
  const [fromPercent, fromValue] = table[k - 1]!;
  const t = Math.min(1, Math.max(0, (percent - fromPercent) / (toPercent - fromPercent)));
  const value = (fromValue + 1) * ((toValue + 1) / (fromValue + 1)) ** t - 1;
  return Math.min(toValue, Math.max(fromValue, Math.ceil(value - 1e-9)));
}

/** Linear interpolation of column `column` of rows that begin with an ascending position. */
export function columnAt(
  rows: readonly (readonly number[])[],
  position: number,
  column: number,
): number {
  const last = rows.length - 1;
  if (position <= rows[0]![0]!) return rows[0]![column]!;
  if (position >= rows[last]![0]!) return rows[last]![column]!;
  let k = 1;
  while (rows[k]![0]! < position) k++;
  const from = rows[k - 1]!;
  const to = rows[k]!;
  const t = (position - from[0]!) / (to[0]! - from[0]!);
  return from[column]! + t * (to[column]! - from[column]!);
}

/** Standard normal distribution function (Abramowitz and Stegun 26.2.17, error below 7.5e-8). */
export function normalCdf(z: number): number {
  const x = Math.abs(z);
  const t = 1 / (1 + 0.2316419 * x);
  const poly =
    t *
    (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const tail = 0.3989422804014327 * Math.exp(-0.5 * x * x) * poly;
  return z >= 0 ? 1 - tail : tail;
}

const SCORE_RANGE = 8;
const SCORE_STEPS = 256;
const SIZE_BINS = 400;

/**
 * Turns a score into a value so that, over all cells of a large trace, values have exactly the
 * marginal of the table, whatever the scores' dependence on session size: the score's distribution
 * is a mixture of normals weighted by the cells of each size, and its rank there is looked up.
 */
export class ScoreToValue {
  private readonly values: Float64Array;

  constructor(profile: Profile, table: StepTable, effect: SizeEffect) {
    const steps = 2 * SCORE_RANGE * SCORE_STEPS;
    const ranks = new Float64Array(steps);
    let weightSum = 0;
    for (let bin = 0; bin < SIZE_BINS; bin++) {
      const size = (bin + 0.5) / SIZE_BINS;
      const weight = valueAt(profile.cells, size);
      const mean = columnAt(effect, size, 1);
      const deviation = columnAt(effect, size, 2);
      weightSum += weight;
      for (let i = 0; i < steps; i += 8) {
        ranks[i]! += weight * normalCdf((scoreOf(i) - mean) / deviation);
      }
    }
    this.values = new Float64Array(steps);
    for (let i = 0; i < steps; i++) {
      const low = i & ~7;
      const next = low + 8 < steps ? ranks[low + 8]! : weightSum;
      const rank = ranks[low]! + ((next - ranks[low]!) * (i - low)) / 8;
      this.values[i] = valueAt(table, Math.min(1, rank / weightSum));
    }
  }

  value(score: number): number {
    const i = Math.round((score + SCORE_RANGE) * SCORE_STEPS);
    const top = this.values.length - 1;
    return this.values[i < 0 ? 0 : i > top ? top : i]!;
  }
}

function scoreOf(i: number): number {
  return i / SCORE_STEPS - SCORE_RANGE;
}
