import { NbosError } from '../core/errors.ts';
import { hash4 } from '../core/hash.ts';
import { normal } from './normal.ts';

/**
 * What a draw is for. Two streams are independent of each other; the numbers are part of every
 * result, so a new stream takes a new number and none is ever reused.
 */
export const STREAMS = {
  gatewayHop: 1,
  replyHop: 2,
  stateCommit: 3,
  election: 4,
  migrationCommit: 5,
  coldStart: 6,
  prewarmedStart: 7,
  slowStart: 8,
  hostStart: 9,
  hostStop: 10,
  stateBytes: 11,
  stateRead: 12,
  stateReadFailure: 13,
  stateWrite: 14,
  stateWriteFailure: 15,
  category: 16,
  model: 17,
  dataset: 18,
  datasetDownload: 19,
  hostLoss: 20,
  deviceExclusion: 21,
  excludedDevice: 22,
  containerCrash: 23,
  crashedReplica: 24,
  scaleOutFailure: 25,
  containerFailure: 26,
  yield: 27,
  arrival: 28,
  service: 29,
  renewal: 30,
} as const;

export type Stream = (typeof STREAMS)[keyof typeof STREAMS];

const TWO_32 = 4_294_967_296;
/** An odd multiplier (2^32 / golden ratio) that spreads small stream numbers over the word. */
const SPREAD = 0x9e3779b1;

/**
 * A uniform number in (0, 1), never 0 nor 1: a pure function of its arguments, so that the same
 * thing has the same draw whatever was drawn before it. 2^32 equally spaced values.
 * @param a, b, c the key, integers of 32 bits: (session, cell, attempt), or an ordinal and zeros
 */
export function uniform(seed: number, stream: Stream, a: number, b: number, c: number): number {
  return (hash4(seed ^ Math.imul(stream, SPREAD), a, b, c) + 0.5) / TWO_32;
}

/** The number at share `u` of the way from `least` to `most`. */
export function uniformBetween(u: number, least: number, most: number): number {
  return least + u * (most - least);
}

/** One of 0 … count - 1, equally likely, for a uniform `u`. */
export function pick(u: number, count: number): number {
  return Math.floor(u * count);
}

/** Exponential by inversion. */
export function exponential(u: number, mean: number): number {
  return -Math.log(u) * mean;
}

/** Log-normal by inversion: `sigma` is the standard deviation of the logarithm. */
export function logNormal(u: number, median: number, sigma: number): number {
  return median * Math.exp(sigma * normal(u));
}

/**
 * A quantile function given by points (percent, value), log-linear between them (linear where a
 * value is 0), constant before the first and after the last.
 */
export class QuantileTable {
  readonly #shares: Float64Array;
  readonly #values: Float64Array;
  /** ln(next value / value) per share; 0 where there is no next or the value is 0 */
  readonly #growths: Float64Array;

  /**
   * @param option the option that the points come from, for the message
   * @throws NbosError config-bad-value when there is no point, a percentage is outside 0 … 100 or
   *   does not grow, or a value is negative or shrinks
   */
  constructor(points: readonly (readonly [percent: number, value: number])[], option: string) {
    checkPoints(points, option);
    this.#shares = Float64Array.from(points, ([percent]) => percent / 100);
    this.#values = Float64Array.from(points, ([, value]) => value);
    this.#growths = Float64Array.from(points, ([percent, value], i) => {
      const next = points[i + 1];
      if (next === undefined || value === 0) return 0;
      return (Math.log(next[1] / value) * 100) / (next[0] - percent);
    });
  }

  /** The value at share `u` in (0, 1). */
  at(u: number): number {
    const shares = this.#shares;
    const values = this.#values;
    let next = 0;
    while (next < shares.length && shares[next]! <= u) next++;
    if (next === 0) return values[0]!;
    const last = next - 1;
    if (next === shares.length) return values[last]!;
    const value = values[last]!;
    const beyond = u - shares[last]!;
    if (value > 0) return value * Math.exp(this.#growths[last]! * beyond);
    return (values[next]! * beyond) / (shares[next]! - shares[last]!);
  }
}

function checkPoints(points: readonly (readonly [number, number])[], option: string): void {
  const bad = (what: string) =>
    new NbosError(
      'config-bad-value',
      `option ${option}: ${what}`,
      'Give points [percent, value] with percent from 0 to 100, both growing.',
    );
  if (points.length === 0) throw bad('has no points');
  let [before, least] = [-1, 0];
  for (const [percent, value] of points) {
    if (!(percent > before && percent <= 100)) throw bad(`percent ${percent} after ${before}`);
    if (!(value >= least && value < Infinity)) throw bad(`value ${value} after ${least}`);
    [before, least] = [percent, value];
  }
}
