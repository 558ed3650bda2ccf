import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { mean, quantileSorted, sortedCopy } from '../../traces/quantiles.ts';

/** The definition, written for clarity: 1-based order statistics at h = (n - 1)p + 1. */
function naive(values: readonly number[], p: number): number {
  const x = [...values].sort((a, b) => a - b);
  const h = (x.length - 1) * p + 1;
  const k = Math.floor(h);
  const low = x[k - 1]!;
  const high = x[Math.min(k, x.length - 1)]!;
  return low + (h - k) * (high - low);
}

const values = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1 });
const share = fc.double({ min: 0, max: 1, noNaN: true });

test('quantiles agree with the definition', () => {
  fc.assert(
    fc.property(values, share, (list, p) => {
      const found = quantileSorted(sortedCopy(list), p);
      assert.ok(Math.abs(found - naive(list, p)) <= 1e-6, `${found} ${naive(list, p)}`);
    }),
    { seed: 21 },
  );
});

test('quantiles are bounded, ordered, and exact at the ends', () => {
  fc.assert(
    fc.property(values, share, share, (list, a, b) => {
      const sorted = sortedCopy(list);
      const low = quantileSorted(sorted, Math.min(a, b));
      const high = quantileSorted(sorted, Math.max(a, b));
      assert.ok(low <= high);
      assert.is(quantileSorted(sorted, 0), sorted[0]);
      assert.is(quantileSorted(sorted, 1), sorted[sorted.length - 1]);
      assert.ok(low >= sorted[0]! && high <= sorted[sorted.length - 1]!);
    }),
    { seed: 22 },
  );
});

test("R's own examples", () => {
  const ten = Float64Array.from({ length: 10 }, (_, i) => i + 1);
  // quantile(1:10, c(0.1, 0.25, 0.5, 0.99))
  assert.equal(
    [0.1, 0.25, 0.5, 0.99].map((p) => Number(quantileSorted(ten, p).toFixed(10))),
    [1.9, 3.25, 5.5, 9.91],
  );
  assert.ok(Number.isNaN(quantileSorted(new Float64Array(0), 0.5)));
  assert.is(mean([1, 2, 6]), 3);
  assert.ok(Number.isNaN(mean([])));
});

test('copies are sorted as numbers and leave the source alone', () => {
  const source = [10, 9, -1];
  assert.equal([...sortedCopy(source)], [-1, 9, 10]);
  assert.equal(source, [10, 9, -1]);
});

test.run();
