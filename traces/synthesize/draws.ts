import { randomNormal } from 'd3-random';
import seedrandom from 'seedrandom';

/** Uniform numbers in [0, 1). */
export type Uniform = () => number;

/** The named stream of a seed: the same name and seed give the same numbers everywhere. */
export function streamOf(seed: number, name: string): Uniform {
  return seedrandom.alea(`${seed}/${name}`);
}

export function normalsOf(uniform: Uniform): () => number {
  return randomNormal.source(uniform)(0, 1);
}

/** Shuffles in place (Fisher and Yates). */
export function shuffle<T extends { length: number; [i: number]: number }>(
  values: T,
  uniform: Uniform,
): T {
  for (let i = values.length - 1; i > 0; i--) {
    const j = Math.floor(uniform() * (i + 1));
    const kept = values[i]!;
    values[i] = values[j]!;
    values[j] = kept;
  }
  return values;
}

/**
 * Standard normal draws for `count` sessions in size order, stratified among neighbours: each block
 * of 50 takes one draw from each fiftieth of the distribution, in random order.
 */
export function stratifiedNormals(count: number, uniform: Uniform): Float64Array {
  const draws = new Float64Array(count);
  for (let from = 0; from < count; from += STRATA) {
    const size = Math.min(STRATA, count - from);
    const block = draws.subarray(from, from + size);
    for (let i = 0; i < size; i++) block[i] = normalQuantile((i + uniform()) / size);
    shuffle(block, uniform);
  }
  return draws;
}

const STRATA = 50;

/** Inverse of the standard normal distribution function (Acklam's rational approximation). */
export function normalQuantile(p: number): number {
  if (p <= 0) return -8;
  if (p >= 1) return 8;
  if (p < LOW) {
    const q = Math.sqrt(-2 * Math.log(p));
    return horner(TAIL_TOP, q) / (horner(TAIL_BOTTOM, q) * q + 1);
  }
  if (p > 1 - LOW) return -normalQuantile(1 - p);
  const q = p - 0.5;
  const r = q * q;
  return (horner(MIDDLE_TOP, r) * q) / (horner(MIDDLE_BOTTOM, r) * r + 1);
}

const LOW = 0.02425;
const MIDDLE_TOP = [
  -3.969683028665376e1, 2.209460984245205e2, -2.759285104469687e2, 1.38357751867269e2,
  -3.066479806614716e1, 2.506628277459239,
];
const MIDDLE_BOTTOM = [
  -5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1,
  -1.328068155288572e1,
];
const TAIL_TOP = [
  -7.784894002430293e-3, -3.223964580411365e-1, -2.400758277161838, -2.549732539343734,
  4.374664141464968, 2.938163982698783,
];
const TAIL_BOTTOM = [
  7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416,
];

function horner(coefficients: readonly number[], x: number): number {
  let sum = 0;
  for (const c of coefficients) sum = sum * x + c;
  return sum;
}
