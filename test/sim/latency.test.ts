import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { resolveConfig } from '../../core/config/config.ts';
import type { PartialConfig } from '../../core/config/options.ts';
import { Latencies, POOL } from '../../sim/latency.ts';
import { quantileSorted } from '../../traces/quantiles.ts';

const SAMPLES = 100_000;
const GB = 1e9;

function latencies(options: PartialConfig = {}): Latencies {
  return new Latencies(resolveConfig(options));
}

/** Sorted draws for the keys of a replay: 64 cells of each session. */
function draws(draw: (session: number, cell: number) => number): Float64Array {
  return Float64Array.from({ length: SAMPLES }, (_, i) => draw(i >> 6, i & 63)).sort();
}

/** `value` is within `share` of `expected`. */
function within(value: number, expected: number, share: number, what: string): void {
  assert.ok(Math.abs(value - expected) <= share * expected, `${what}: ${value}, not ${expected}`);
}

test('Raft commits have the quantiles of the table, and one replica commits at once', () => {
  const l = latencies();
  for (const replicas of [3, 5]) {
    const commits = draws((s, c) => l.raftCommitMs(replicas, s, c, 0));
    const elections = draws((s, c) => l.electionMs(replicas, s, c, 0));
    for (const values of [commits, elections]) {
      assert.is(values[0], 2);
      within(values[SAMPLES - 1]!, 400, 0.01, 'most');
      // A quarter of the way between the logarithms of 2 and 8: their geometric mean.
      within(quantileSorted(values, 0.25), 4, 0.01, 'p25');
      within(quantileSorted(values, 0.5), 8, 0.01, 'p50');
      within(quantileSorted(values, 0.9), 54.8, 0.05, 'p90');
      within(quantileSorted(values, 0.95), 66.7, 0.03, 'p95');
      within(quantileSorted(values, 0.99), 268, 0.08, 'p99');
    }
  }
  assert.is(l.raftCommitMs(1, 3, 4, 0), 0);
  assert.is(l.electionMs(1, 3, 4, 0), 0);
  assert.is(l.migrationCommitsMs(1, 3, 4, 0), 0);
});

test('three and five replicas see the same draw, two attempts see two', () => {
  const l = latencies();
  const pairs = draws((s, c) => Number(l.raftCommitMs(3, s, c, 0) === l.raftCommitMs(5, s, c, 0)));
  assert.is(pairs[0], 1);
  const attempts = draws((s, c) =>
    Number(l.raftCommitMs(3, s, c, 0) === l.raftCommitMs(3, s, c, 1)),
  );
  assert.is(attempts[0], 0);
});

test('a migration makes as many commits as the option says', () => {
  const mean = (values: Float64Array) => values.reduce((sum, x) => sum + x, 0) / values.length;
  const one = mean(draws((s, c) => latencies().raftCommitMs(3, s, c, 0)));
  for (const migrationCommits of [0, 1, 3]) {
    const l = latencies({ migrationCommits });
    const sums = draws((s, c) => l.migrationCommitsMs(3, s, c, 0));
    within(mean(sums), migrationCommits * one, 0.03, `${migrationCommits} commits`);
  }
});

test('hops are whole ms from the least to the most', () => {
  const l = latencies();
  for (const hops of [
    draws((s, c) => l.gatewayHopMs(s, c, 0)),
    draws((s, c) => l.replyHopMs(s, c, 0)),
  ]) {
    assert.equal([...new Set(hops)], [1, 2, 3, 4, 5]);
  }
});

test('cold starts are log-normal with the given median and sigma, prewarmed ones uniform', () => {
  const l = latencies();
  const cold = draws((s, c) => l.coldStartMs(s, c, 0));
  within(quantileSorted(cold, 0.5), 15_000, 0.01, 'cold p50');
  within(quantileSorted(cold, 0.841345), 15_000 * Math.exp(0.25), 0.01, 'cold, one sigma');
  const warm = draws((s, c) => l.prewarmedStartMs(s, c, 0));
  assert.is(warm[0], 100);
  assert.is(warm[SAMPLES - 1], 500);
  within(quantileSorted(warm, 0.25), 200, 0.02, 'prewarmed p25');
  assert.is.not(l.coldStartMs(POOL, 1, 0), l.coldStartMs(POOL, 2, 0));
});

test('slow starts multiply their share of the starts', () => {
  const usual = latencies();
  const mixed = latencies({ slowStartShare: 0.2, slowStartFactor: 4 });
  let slow = 0;
  for (let i = 0; i < SAMPLES; i++) {
    const factor = mixed.coldStartMs(i, 0, 0) / usual.coldStartMs(i, 0, 0);
    if (factor > 1.5) slow++;
    assert.ok(Math.abs(factor - 1) < 1e-3 || Math.abs(factor - 4) < 1e-3, `${factor}`);
  }
  within(slow, 0.2 * SAMPLES, 0.03, 'slow starts');
});

test('hosts start and stop in a normal time, never below 0', () => {
  const l = latencies();
  const starts = draws((s, c) => l.hostStartMs(s * 64 + c));
  within(quantileSorted(starts, 0.5), 15_000, 0.005, 'start p50');
  within(quantileSorted(starts, 0.841345), 17_000, 0.005, 'start, one deviation');
  const stops = draws((s, c) => l.hostStopMs(s * 64 + c));
  within(quantileSorted(stops, 0.5), 10_000, 0.005, 'stop p50');
  const wide = latencies({ hostStartMeanMs: 10, hostStartSdMs: 1000 });
  assert.is(draws((s, c) => wide.hostStartMs(s * 64 + c))[0], 0);
});

test('large state: median 100 MB, p99 near 1 GB, a whole number of bytes', () => {
  const l = latencies();
  const sizes = draws((s, c) => l.stateBytes(s * 64 + c));
  within(quantileSorted(sizes, 0.5), 100e6, 0.02, 'p50');
  within(quantileSorted(sizes, 0.99), 1e9, 0.05, 'p99');
  assert.ok(sizes.every((size) => Number.isInteger(size)));
});

test('a GB is read in 4 s and written in 5.7 s, give or take the variation', () => {
  const l = latencies();
  const reads = draws((s, c) => l.stateReadMs(GB, s, c, 0));
  within(reads[0]!, 4000 / 1.05, 0.001, 'fastest read');
  within(reads[SAMPLES - 1]!, 4000 / 0.95, 0.001, 'slowest read');
  within(quantileSorted(reads, 0.5), 4000, 0.002, 'read p50');
  const writes = draws((s, c) => l.stateWriteMs(GB, s, c, 0));
  within(quantileSorted(writes, 0.5), GB / 175e6 / 1e-3, 0.002, 'write p50');
  assert.is(l.stateReadMs(0, 1, 1, 0), 0);
  assert.is(latencies({ storeVariationPct: 0 }).stateWriteMs(175e6, 1, 1, 0), 1000);
});

test('a transfer that fails is repeated once: twice the time', () => {
  const storeVariationPct = 0;
  const never = latencies({ storeVariationPct });
  const always = latencies({ storeVariationPct, storeFailureShare: 1 });
  assert.is(never.stateReadMs(GB, 2, 3, 0), 4000);
  assert.is(always.stateReadMs(GB, 2, 3, 0), 8000);
  assert.is(always.stateWriteMs(175e6, 2, 3, 0), 2000);
  const some = latencies({ storeVariationPct, storeFailureShare: 0.1 });
  const failed = draws((s, c) => Number(some.stateReadMs(GB, s, c, 0) === 8000));
  within(
    failed.reduce((sum, x) => sum + x, 0),
    0.1 * SAMPLES,
    0.05,
    'failed reads',
  );
});

test('a session draws its category first, then a model and a data set of it', () => {
  const l = latencies();
  const models = new Map<string, number>();
  const pairs = new Set<string>();
  for (let session = 0; session < SAMPLES; session++) {
    const model = l.models[l.modelOf(session)]!;
    models.set(model, (models.get(model) ?? 0) + 1);
    pairs.add(`${model} on ${l.datasets[l.datasetOf(session)]}`);
  }
  within(models.get('Deep Speech 2')!, SAMPLES / 3, 0.03, 'speech');
  within(models.get('GPT-2')!, SAMPLES / 6, 0.03, 'GPT-2');
  within(models.get('VGG-16')!, SAMPLES / 9, 0.03, 'VGG-16');
  assert.is(pairs.size, 3 * 2 + 2 * 2 + 1);
  assert.ok(pairs.has('BERT on IMDb') && pairs.has('Deep Speech 2 on LibriSpeech'));
});

test('models and data sets of one’s own make a category of their own', () => {
  const l = latencies({ modelSizesMb: { Llama: 16_000 }, datasetSizesMb: { Pile: 800_000 } });
  assert.is(l.modelOf(5), 0);
  assert.is(l.datasetOf(5), 0);
  assert.is(l.modelNamed('Llama'), 0);
  assert.is(l.modelNamed('BERT'), -1);
  assert.is(l.datasetNamed('Pile'), 0);
  const bare = latencies({ modelSizesMb: {}, datasetSizesMb: {} });
  assert.equal([bare.modelOf(1), bare.datasetOf(1)], [-1, -1]);
  assert.is(bare.deviceLoadMs(-1), 174);
  assert.equal([bare.deviceUnloadMs(-1), bare.datasetDownloadMs(-1, 1, 1)], [0, 0]);
  assert.is(latencies({ datasetSizesMb: {} }).datasetOf(3), -1);
});

test('device load is CUDA’s start and the parameters; data sets come at the store’s rate', () => {
  const l = latencies({ storeVariationPct: 0 });
  assert.is(l.deviceLoadMs(l.modelNamed('ResNet-18')), 178);
  assert.is(l.deviceLoadMs(l.modelNamed('GPT-2')), 223);
  assert.is(l.deviceUnloadMs(l.modelNamed('GPT-2')), 44);
  assert.is(l.datasetDownloadMs(l.datasetNamed('LibriSpeech'), 1, 1), 25_200);
});

test('every time is a whole number of ms, and two instances agree', () => {
  const [l, other] = [latencies(), latencies()];
  const all = (x: Latencies, i: number) => [
    x.gatewayHopMs(i, 1, 0),
    x.replyHopMs(i, 1, 0),
    x.raftCommitMs(3, i, 1, 0),
    x.electionMs(3, i, 1, 0),
    x.migrationCommitsMs(3, i, 1, 0),
    x.coldStartMs(i, 1, 0),
    x.prewarmedStartMs(i, 1, 0),
    x.hostStartMs(i),
    x.hostStopMs(i),
    x.stateReadMs(123_456_789, i, 1, 0),
    x.stateWriteMs(123_456_789, i, 1, 0),
    x.datasetDownloadMs(0, i, 1),
    x.deviceLoadMs(i % 6),
    x.deviceUnloadMs(i % 6),
  ];
  const mine = Array.from({ length: 500 }, (_, i) => all(l, i));
  const theirs = Array.from({ length: 500 }, (_, i) => all(other, 499 - i)).reverse();
  assert.equal(mine, theirs);
  for (const ms of mine.flat()) assert.ok(Number.isInteger(ms) && ms >= 0, `${ms}`);
  const reseeded = latencies({ seed: 2 });
  assert.is.not(l.coldStartMs(1, 1, 0), reseeded.coldStartMs(1, 1, 0));
});

test('with every latency option at 0 nothing takes time', () => {
  const l = latencies({
    gatewayMinMs: 0,
    gatewayMaxMs: 0,
    raftCommitMs: [[50, 0]],
    coldStartMedianMs: 0,
    prewarmedMinMs: 0,
    prewarmedMaxMs: 0,
    hostStartMeanMs: 0,
    hostStartSdMs: 0,
    stateMedianMb: 0,
    deviceStartMs: 0,
    modelSizesMb: {},
  });
  const times = [
    l.gatewayHopMs(1, 2, 0),
    l.raftCommitMs(3, 1, 2, 0),
    l.migrationCommitsMs(3, 1, 2, 0),
    l.coldStartMs(1, 0, 0),
    l.prewarmedStartMs(1, 0, 0),
    l.hostStartMs(4),
    l.stateReadMs(l.stateBytes(1), 1, 2, 0),
    l.deviceLoadMs(l.modelOf(1)),
  ];
  assert.equal(times, Array(times.length).fill(0));
});

test('refuses options that contradict each other, naming them', () => {
  const bad: [PartialConfig, string][] = [
    [{ gatewayMinMs: 9 }, 'gatewayMinMs'],
    [{ prewarmedMaxMs: 1 }, 'prewarmedMinMs'],
    [{ modelSizesMb: { BERT: -1 } }, 'BERT'],
    [{ datasetSizesMb: { CoLA: NaN } }, 'CoLA'],
    [{ raftCommitMs: [] }, 'raftCommitMs'],
  ];
  for (const [options, name] of bad) {
    assert.throws(
      () => latencies(options),
      (error: { code: string; message: string }) =>
        error.code === 'config-bad-value' && error.message.includes(name),
    );
  }
});

test.run();
