import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  bootstrapInterval,
  pairedDifferences,
  studentQuantile,
  thinCdf,
  tInterval,
} from '../../experiments/statistics.ts';

function near(actual: number, expected: number, tolerance: number, what: string): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${what}: ${actual} instead of ${expected}`);
}

test("Student's quantiles equal the printed tables", () => {
  near(studentQuantile(0.975, 1), 12.7062, 1e-4, 't(1)');
  near(studentQuantile(0.975, 4), 2.7764, 1e-4, 't(4)');
  near(studentQuantile(0.95, 19), 1.7291, 1e-4, 't(19)');
  near(studentQuantile(0.995, 30), 2.75, 1e-4, 't(30)');
  near(studentQuantile(0.025, 10), -2.2281, 1e-4, 'left tail');
  near(studentQuantile(0.975, 1e6), 1.96, 1e-3, 'normal limit');
});

test('a t interval is the textbook one', () => {
  // mean 3, s = 1.5811, t(4) = 2.7764: half width 1.9632
  const interval = tInterval([1, 2, 3, 4, 5]);
  near(interval.mean, 3, 1e-12, 'mean');
  near(interval.low, 3 - 1.96324, 1e-4, 'low');
  near(interval.high, 3 + 1.96324, 1e-4, 'high');
});

test('one value has no interval, none has no mean', () => {
  assert.ok(Number.isNaN(tInterval([4]).low));
  assert.is(tInterval([4]).mean, 4);
  assert.ok(Number.isNaN(bootstrapInterval([]).mean));
});

test('the bootstrap repeats with its seed and agrees with t on even data', () => {
  const values = Array.from({ length: 60 }, (_, i) => (i * 37) % 60);
  const one = bootstrapInterval(values, { seed: 5 });
  assert.equal(one, bootstrapInterval(values, { seed: 5 }));
  assert.not.equal(one, bootstrapInterval(values, { seed: 6 }));
  const t = tInterval(values);
  near(one.low, t.low, 0.5, 'low');
  near(one.high, t.high, 0.5, 'high');
});

test('an interval covers the mean about as often as it says', () => {
  let covered = 0;
  for (let trial = 0; trial < 300; trial++) {
    // Sums of the digits of a linear congruential sequence: near enough to normal, mean 6.
    let x = trial * 7919 + 1;
    const sample = Array.from({ length: 20 }, () => {
      let sum = 0;
      for (let k = 0; k < 12; k++) sum += (x = (x * 16807) % 2147483647) / 2147483647;
      return sum;
    });
    const { low, high } = tInterval(sample);
    if (low <= 6 && 6 <= high) covered++;
  }
  assert.ok(covered > 270 && covered < 300, `${covered} of 300 cover the mean`);
});

test('paired differences need pairs', () => {
  assert.equal([...pairedDifferences([5, 7], [1, 2])], [4, 5]);
  assert.throws(() => pairedDifferences([1], []), /pairs of 1 and 0/);
});

test('a thinned distribution keeps its ends, its order and its values', () => {
  const sorted = Float64Array.from({ length: 10_000 }, (_, i) => i);
  const points = thinCdf(sorted, 200);
  assert.ok(points.length <= 202 && points.length > 150);
  assert.equal(points[0], { x: 0, y: 1 / 10_000 });
  assert.equal(points.at(-1), { x: 9999, y: 1 });
  for (const [i, point] of points.entries()) {
    near(point.y, (point.x + 1) / 10_000, 1e-12, 'rank');
    if (i > 0) assert.ok(point.x > points[i - 1]!.x && point.y > points[i - 1]!.y);
  }
  assert.ok(points.filter((p) => p.y > 0.99).length > 5, 'the tail is drawn');
  assert.equal(thinCdf([7]), [{ x: 7, y: 1 }]);
  assert.equal(thinCdf([]), []);
});

test.run();
