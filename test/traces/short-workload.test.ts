import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NbosError } from '../../core/errors.ts';
import { gapsOf, gpuTimeOf } from '../../traces/measures.ts';
import { quantileSorted, sortedCopy } from '../../traces/quantiles.ts';
import { peakReservedGpus } from '../../traces/sample.ts';
import { synthesize, synthesizeDemo } from '../../traces/synthesize/index.ts';
import type { Trace } from '../../traces/trace.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

function busyShare(trace: Trace): number {
  const { reservedGpuMs, busyGpuMs } = gpuTimeOf(trace);
  return busyGpuMs / reservedGpuMs;
}

test('the demonstration meets its conditions for every seed', () => {
  for (let seed = 1; seed <= 8; seed++) {
    const trace = synthesizeDemo({ seed });
    assert.is(trace.endMs, 17.5 * HOUR_MS);
    const { count, startMs, endMs } = trace.sessions;
    assert.ok(count >= 45 && count <= 55, `${count} sessions`);
    assert.ok(peakReservedGpus(trace) <= 228 && peakReservedGpus(trace) > 200);
    const share = busyShare(trace);
    assert.ok(share >= 0.24 && share <= 0.28, `busy ${share}`);
    const open = startMs.filter((start) => start === 0).length;
    assert.ok(open > 0 && open < count, `${open} of ${count} open at 0`);
    for (let s = 0; s < count; s++) assert.ok(endMs[s]! <= trace.endMs);
    for (const submit of trace.cells.submitMs) assert.ok(submit >= 0 && submit < trace.endMs);
    assert.ok(trace.cells.count >= 300, `${trace.cells.count} cells`);
  }
});

test('the demonstration is the same for the same seed', () => {
  assert.is(synthesizeDemo({ seed: 3 }).hash, synthesizeDemo({ seed: 3 }).hash);
  assert.is.not(synthesizeDemo({ seed: 3 }).hash, synthesizeDemo({ seed: 4 }).hash);
});

test('a short trace has the durations and think times of its profile', () => {
  for (const profile of ['adobe-15s', 'adobe-60s'] as const) {
    const trace = synthesize({ profile, sessions: 800, hours: 17.5, seed: 1 });
    assert.is(trace.sessions.count, 800);
    const at = (values: Float64Array, p: number): number =>
      quantileSorted(sortedCopy(values), p) / MINUTE_MS;
    const [duration, think] =
      profile === 'adobe-15s'
        ? [
            [2, 6],
            [1, 3],
          ]
        : [
            [5, 11],
            [3, 7],
          ];
    const { thinkMs } = gapsOf(trace);
    [0.5, 0.75].forEach((p, i) => {
      assert.ok(Math.abs(at(trace.cells.durationMs, p) - duration![i]!) <= 1, `duration ${p}`);
      assert.ok(Math.abs(at(thinkMs, p) - think![i]!) <= 1, `think ${p}`);
    });
    const share = busyShare(trace);
    assert.ok(share > 0.15 && share < 0.35, `busy ${share}`);
  }
});

test('refuses what no draw can meet, and says what draws have', () => {
  const asked = { profile: 'adobe-15s', sessions: 10, hours: 17.5, seed: 1 } as const;
  for (const conditions of [{ busyShare: [0.99, 1] }, { peakGpus: 8 }, { peakGpus: 0 }]) {
    assert.throws(
      () => synthesize({ ...asked, ...(conditions as { peakGpus: number }) }),
      (error: unknown) => error instanceof NbosError && error.code === 'trace-unreachable',
    );
  }
});

test.run();
