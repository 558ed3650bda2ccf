import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  exponential,
  logNormal,
  pick,
  QuantileTable,
  STREAMS,
  type Stream,
  uniform,
  uniformBetween,
} from '../../sim/draws.ts';
import { normal } from '../../sim/normal.ts';

const SAMPLES = 200_000;
const ALL_STREAMS = Object.values(STREAMS);

/** Draws of consecutive keys: `cells` of each session, as a replay asks for them. */
function sample(seed: number, stream: Stream, draw: (u: number) => number): Float64Array {
  return Float64Array.from({ length: SAMPLES }, (_, i) =>
    draw(uniform(seed, stream, i >> 7, i & 127, 0)),
  );
}

function moments(values: Float64Array): { mean: number; sd: number } {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  const squares = values.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  return { mean, sd: Math.sqrt(squares / (values.length - 1)) };
}

/** `value` is within five standard errors of `expected`. */
function near(value: number, expected: number, standardError: number, what: string): void {
  const errors = Math.abs(value - expected) / standardError;
  assert.ok(errors < 5, `${what}: ${value}, expected ${expected}, ${errors} standard errors off`);
}

test('pinned: a change of any of these changes every result ever published', () => {
  assert.is(uniform(1, STREAMS.gatewayHop, 0, 0, 0), 0.10387850075494498);
  assert.is(uniform(1, STREAMS.coldStart, 12, 3, 1), 0.916358825401403);
  assert.is(uniform(2147483647, STREAMS.yield, -1, 2147483647, 5), 0.9225935387657955);
  assert.is(logNormal(uniform(42, STREAMS.stateBytes, 7, 0, 0), 100, 0.99), 36.40783793405495);
});

test('stream numbers are distinct', () => {
  assert.is(new Set(ALL_STREAMS).size, ALL_STREAMS.length);
});

test('a draw does not depend on what was drawn before it', () => {
  const draw = (i: number) => uniform(9, STREAMS.stateRead, i, i * 3, i & 1);
  const forward = Array.from({ length: 1000 }, (_, i) => draw(i));
  const backward = Array.from({ length: 1000 }, (_, i) => draw(999 - i)).reverse();
  assert.equal(forward, backward);
});

test('each of the five words of a key matters', () => {
  const base = [5, STREAMS.yield, 6, 7, 8] as const;
  const seen = new Set([uniform(...base)]);
  seen.add(uniform(6, STREAMS.yield, 6, 7, 8));
  seen.add(uniform(5, STREAMS.arrival, 6, 7, 8));
  seen.add(uniform(5, STREAMS.yield, 7, 7, 8));
  seen.add(uniform(5, STREAMS.yield, 6, 8, 8));
  seen.add(uniform(5, STREAMS.yield, 6, 7, 9));
  assert.is(seen.size, 6);
});

test('uniform: never 0 nor 1, moments, and even over 256 bins for every stream', () => {
  for (const stream of ALL_STREAMS) {
    const values = sample(1, stream, (u) => u);
    const { mean, sd } = moments(values);
    near(mean, 0.5, sd / Math.sqrt(SAMPLES), `mean of stream ${stream}`);
    near(sd * sd, 1 / 12, Math.sqrt(1 / 180 / SAMPLES), `variance of stream ${stream}`);
    const bins = new Float64Array(256);
    for (const u of values) {
      assert.ok(u > 0 && u < 1);
      bins[Math.floor(u * 256)]!++;
    }
    const expected = SAMPLES / 256;
    const chiSquare = bins.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
    near(chiSquare, 255, Math.sqrt(2 * 255), `chi-square of stream ${stream}`);
  }
});

test('uniform: no correlation between neighbouring keys, streams and seeds', () => {
  const bound = (what: string, other: (a: number, b: number, c: number) => number) => {
    let sum = 0;
    for (let i = 0; i < SAMPLES; i++) {
      const [a, b] = [i >> 7, i & 127];
      sum += (uniform(1, STREAMS.stateRead, a, b, 0) - 0.5) * (other(a, b, 0) - 0.5);
    }
    near(sum / SAMPLES, 0, 1 / 12 / Math.sqrt(SAMPLES), what);
  };
  bound('session', (a, b, c) => uniform(1, STREAMS.stateRead, a + 1, b, c));
  bound('cell', (a, b, c) => uniform(1, STREAMS.stateRead, a, b + 1, c));
  bound('attempt', (a, b, c) => uniform(1, STREAMS.stateRead, a, b, c + 1));
  bound('stream', (a, b, c) => uniform(1, STREAMS.stateWrite, a, b, c));
  bound('next stream', (a, b, c) => uniform(1, STREAMS.stateReadFailure, a, b, c));
  bound('seed', (a, b, c) => uniform(2, STREAMS.stateRead, a, b, c));
});

test('uniformBetween and pick stay in their ranges, ends included', () => {
  assert.is(uniformBetween(0.25, 2, 6), 3);
  assert.is(uniformBetween(0.5, 7, 7), 7);
  const counts = [0, 0, 0];
  for (const i of sample(4, STREAMS.model, (u) => pick(u, 3))) counts[i]!++;
  for (const count of counts) {
    near(count / SAMPLES, 1 / 3, Math.sqrt(2 / 9 / SAMPLES), 'share of a pick');
  }
});

test('exponential and log-normal: moments and quantiles', () => {
  const gaps = moments(sample(1, STREAMS.arrival, (u) => exponential(u, 20)));
  near(gaps.mean, 20, 20 / Math.sqrt(SAMPLES), 'exponential mean');
  near(gaps.sd, 20, (20 * Math.sqrt(2)) / Math.sqrt(SAMPLES), 'exponential deviation');
  const logs = moments(sample(1, STREAMS.coldStart, (u) => Math.log(logNormal(u, 15_000, 0.25))));
  near(logs.mean, Math.log(15_000), 0.25 / Math.sqrt(SAMPLES), 'log-normal median');
  near(logs.sd, 0.25, 0.25 / Math.sqrt(2 * SAMPLES), 'log-normal sigma');
  assert.is(logNormal(0.5, 15_000, 0.25), 15_000);
  assert.is(logNormal(0.3, 15_000, 0), 15_000);
});

test('normal: published percentage points', () => {
  const points = [
    [0.5, 0],
    [0.75, 0.6744897501960817],
    [0.9, 1.2815515655446004],
    [0.95, 1.6448536269514722],
    [0.975, 1.959963984540054],
    [0.99, 2.3263478740408408],
    [0.999, 3.090232306167813],
  ] as const;
  for (const [p, z] of points) {
    assert.ok(Math.abs(normal(p) - z) < 2e-14, `${p}: ${normal(p)}`);
    assert.ok(Math.abs(normal(1 - p) + z) < 2e-14, `${1 - p}: ${normal(1 - p)}`);
  }
});

test('normal: the distribution function gives the share back, into the far tail', () => {
  const shares = [1e-300, 1e-40, 1.2e-11, 1.4e-11, 1.2e-10, 1e-6, 0.001, 0.02];
  for (let p = 0.03; p < 0.5; p += 0.005) shares.push(p);
  for (const p of shares) {
    const back = normalBelow(normal(p));
    // The tail's share changes by a factor of z for each unit of z.
    const bound = 4e-16 * (10 + normal(p) ** 2);
    assert.ok(Math.abs(back / p - 1) < bound, `${p}: ${back}`);
  }
});

/** P(Z < z) for z < 0: the Taylor series near 0, Laplace's continued fraction in the tail. */
function normalBelow(z: number): number {
  const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
  if (z > -1) {
    let term = z;
    let sum = z;
    for (let k = 1; k < 80; k++) sum += term *= (z * z) / (2 * k + 1);
    return 0.5 + density * sum;
  }
  let fraction = -z;
  for (let k = 400; k > 0; k--) fraction = -z + k / fraction;
  return density / fraction;
}

test('quantile table: its points, log-linear between, constant outside', () => {
  const table = new QuantileTable(
    [
      [10, 2],
      [50, 8],
      [90, 32],
    ],
    'points',
  );
  const values = [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99].map((u) => table.at(u));
  const expected = [2, 2, 4, 8, 16, 32, 32];
  values.forEach((value, i) => {
    assert.ok(Math.abs(value - expected[i]!) < 1e-12, `${value} ${expected[i]}`);
  });
});

test('quantile table: zeros are linear, and one point is a constant', () => {
  const table = new QuantileTable(
    [
      [0, 0],
      [50, 0],
      [100, 10],
    ],
    'points',
  );
  assert.equal(
    [0.2, 0.5, 0.75].map((u) => table.at(u)),
    [0, 0, 5],
  );
  assert.is(new QuantileTable([[50, 3]], 'points').at(0.01), 3);
});

test('quantile table: refuses points without sense, naming the option', () => {
  const bad: [number, number][][] = [
    [],
    [[-1, 5]],
    [[101, 5]],
    [
      [50, 5],
      [50, 6],
    ],
    [
      [50, 5],
      [60, 4],
    ],
    [[0, -1]],
    [[0, NaN]],
    [[NaN, 1]],
  ];
  for (const points of bad) {
    assert.throws(
      () => new QuantileTable(points, 'raftCommitMs'),
      (error: { code: string; message: string }) =>
        error.code === 'config-bad-value' && error.message.includes('raftCommitMs'),
    );
  }
});

test.run();
