import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { vectorForGpus } from '../../core/resources.ts';
import { TraceBuilder } from '../../traces/build.ts';
import { DESCRIBED_QUANTILES, type Description, describe } from '../../traces/describe.ts';
import { descriptionText } from '../../traces/describe-text.ts';
import { resample } from '../../traces/sample.ts';
import { synthesize } from '../../traces/synthesize/index.ts';
import type { Trace } from '../../traces/trace.ts';
import { testOnTrace } from '../skip.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

function distribution(d: Description, measure: string) {
  const found = d.distributions.find((row) => row.measure === measure);
  assert.ok(found, `no measure "${measure}"`);
  return found!;
}

function codes(d: Description): string[] {
  return d.warnings.map((warning) => warning.code);
}

/** Two sessions of an hour each: 8 GPUs busy for 15 of 60 min, then 1 GPU for 30 of 60 min. */
function small(): Trace {
  const builder = new TraceBuilder();
  const a = builder.addSession({ id: 'a', startMs: 0, endMs: HOUR_MS });
  for (const start of [0, 20, 40]) {
    const times = { submitMs: start * MINUTE_MS, durationMs: 5 * MINUTE_MS };
    builder.addCell({ session: a, ...times, shape: vectorForGpus(8_000) });
  }
  const b = builder.addSession({ id: 'b', startMs: HOUR_MS, endMs: 2 * HOUR_MS });
  const times = { submitMs: HOUR_MS, durationMs: 30 * MINUTE_MS };
  builder.addCell({ session: b, ...times, shape: vectorForGpus(1_000) });
  builder.addSession({ id: 'c', startMs: HOUR_MS, endMs: HOUR_MS });
  return builder.build({ name: 'small', source: 'test' });
}

test('a small trace, counted by hand', () => {
  const d = describe(small(), { hosts: 2, gpusPerHost: 8 });
  assert.equal([d.sessions, d.sessionsWithoutCells, d.cells, d.hours], [3, 1, 4, 2]);
  assert.is(distribution(d, 'cell duration').quantiles[2], 5);
  assert.is(distribution(d, 'cell duration').max, 30);
  assert.is(distribution(d, 'cell duration').mean, 45 / 4);
  assert.equal(distribution(d, 'gap between submissions').quantiles, Array(7).fill(20));
  assert.equal(distribution(d, 'think time').quantiles, Array(7).fill(15));
  assert.is(distribution(d, 'busy share of a session').mean, (0.25 + 0.5) / 2);
  assert.is(distribution(d, 'open sessions').mean, 1);
  assert.is(distribution(d, 'reserved GPUs').mean, 4.5);
  assert.is(distribution(d, 'busy GPUs').mean, (15 * 8 + 30) / 120);
  // 15 min at 8 GPUs, 30 at 1, 75 at none.
  assert.equal(distribution(d, 'busy GPUs').quantiles, [0, 0, 0, 1, 8, 8, 8]);
  assert.equal(d.gpuShares, [
    { gpus: 1, share: 0.25 },
    { gpus: 8, share: 0.75 },
  ]);
  assert.is(d.busyGpuHours, 2.5);
  assert.is(d.wholeHostGpuHours, 2 + 4);
  assert.is(d.reservedGpuHours, 9);
  assert.is(d.gpuChangeShare, 0);
  assert.is(d.load!.peakReservedShare, 0.5);
  assert.is(d.load!.busyShare, 1.25 / 16);
  assert.equal(codes(d), []);
});

test('warns of a cluster that is too small', () => {
  const trace = synthesize({ profile: 'adobe-15s', sessions: 100, hours: 720, seed: 1 });
  assert.equal(codes(describe(trace, { hosts: 1_000, gpusPerHost: 8 })), []);
  assert.equal(codes(describe(trace, { hosts: 20, gpusPerHost: 8 })), ['reservation-overload']);
  const tiny = codes(describe(trace, { hosts: 2, gpusPerHost: 4 }));
  assert.equal(tiny, ['oversize', 'overload', 'reservation-overload']);
});

test('warns of sources that submit like clockwork, not of people', () => {
  const builder = new TraceBuilder();
  for (let i = 0; i < 300; i++) {
    const startMs = i * 600_000 + (i % 3) * 500;
    const session = builder.addSession({
      id: `job${i}`,
      user: 'cron',
      startMs,
      endMs: startMs + MINUTE_MS,
    });
    builder.addCell({ session, submitMs: startMs, durationMs: 1_000, shape: vectorForGpus(1_000) });
  }
  const d = describe(builder.build({ name: 'cron', source: 'test' }));
  assert.equal(codes(d), ['cron-like']);
  assert.match(d.warnings[0]!.message, 'user "cron" every 600 s');
});

test('warns of duplicates and of overlaps', () => {
  const trace = synthesize({ profile: 'adobe-60s', sessions: 50, hours: 720, seed: 1 });
  assert.equal(codes(describe(trace)), []);
  assert.equal(codes(describe(resample(trace, 1))), ['duplicate-sessions']);
  const builder = new TraceBuilder();
  const session = builder.addSession({ id: 'a', startMs: 0, endMs: HOUR_MS });
  for (const submitMs of [0, 0, 5]) {
    builder.addCell({ session, submitMs, durationMs: 10, shape: vectorForGpus(1_000) });
  }
  const d = describe(builder.build({ name: 'twice', source: 'test' }));
  assert.equal(codes(d), ['overlap', 'duplicate-cells']);
});

test('warns of time running backwards in a trace that was not built with checks', () => {
  const trace = small();
  trace.cells.submitMs[1] = 50 * MINUTE_MS;
  assert.ok(codes(describe(trace)).includes('time-backwards'));
});

test('the text names every measure, percentile and warning', () => {
  const d = describe(small(), { hosts: 1, gpusPerHost: 4 });
  const text = descriptionText(d);
  for (const row of d.distributions) assert.match(text, row.measure);
  for (const p of DESCRIBED_QUANTILES) assert.match(text, `p${p * 100}`);
  for (const warning of d.warnings) assert.match(text, `warning: ${warning.code}`);
  assert.not.match(text, 'NaN');
  assert.not.match(text, 'undefined');
});

test('a trace without any cell can be described', () => {
  const builder = new TraceBuilder();
  builder.addSession({ id: 'idle', startMs: 0, endMs: HOUR_MS });
  const text = descriptionText(describe(builder.build({ name: 'idle', source: 'test' })));
  assert.match(text, '1 sessions (1 without cells), 0 cells');
  assert.not.match(text, 'NaN');
});

testOnTrace(test, 'tiresias.csv.gz', 'the real file gives the published table', async (path) => {
  const { loadTrace } = await import('../../traces/load.ts');
  const { trace } = await loadTrace(path);
  const d = describe(trace, { hosts: 80, gpusPerHost: 8 });
  assert.equal([d.sessions, d.cells], [344, 100_131]);
  const at = (measure: string) =>
    distribution(d, measure).quantiles.map((value) => +value.toFixed(2));
  assert.equal(at('cell duration'), [1, 2, 2, 6, 20, 40, 220]);
  assert.equal(at('gap between submissions'), [2, 3, 5, 10, 29, 70, 939]);
  assert.equal(at('think time').slice(1, 5), [0, 1, 3, 7]);
  assert.equal(at('cells of a session').map(Math.round), [1, 9, 55, 245, 898, 1357, 2734]);
  assert.is(Math.round(d.busyGpuHours), 191_449);
  assert.is(Math.round(distribution(d, 'busy GPUs').mean), 266);
  assert.ok(Math.abs(distribution(d, 'busy GPUs').max - 504) <= 2);
  assert.is(Math.round(d.topPercentShare * 100), 59);
  assert.equal(
    d.gpuShares.map(({ gpus, share }) => [gpus, Math.round(share * 100)]),
    [
      [1, 21],
      [4, 32],
      [8, 47],
    ],
  );
});

testOnTrace(test, 'philly.csv.gz', 'finds the cron job among the batch jobs', async (path) => {
  const { loadTrace } = await import('../../traces/load.ts');
  const d = describe((await loadTrace(path)).trace);
  const cron = d.warnings.find((warning) => warning.code === 'cron-like');
  assert.match(cron?.message ?? '', 'user "11cb48" every 600 s');
});

test.run();
