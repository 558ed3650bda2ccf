import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { resolveConfig } from '../../core/config/config.ts';
import type { PartialConfig, Quantiles } from '../../core/config/options.ts';
import { POLICIES } from '../../core/policies/index.ts';
import { Latencies, POOL } from '../../sim/latency.ts';
import { configFor } from '../../sim/policy-file.ts';
import { TraceBuilder } from '../../traces/build.ts';
import { INSTANT } from './instant.ts';
import { runCells } from './run-cells.ts';

const always = (ms: number): Quantiles => [[50, ms]];

test('a measured table takes the place of the distribution of its step', () => {
  const steps: [keyof PartialConfig, (l: Latencies) => number][] = [
    ['requestHopMs', (l) => l.gatewayHopMs(1, 2, 1)],
    ['replyHopMs', (l) => l.replyHopMs(1, 2, 1)],
    ['executorChangeMs', (l) => l.electionMs(3, 1, 2, 1, true)],
    ['soloStartMs', (l) => l.electionMs(1, 1, 2, 1, false)],
    ['soloStartMs', (l) => l.electionMs(0, 1, 2, 1, true)],
    ['soloCommitMs', (l) => l.raftCommitMs(1, 1, 2, 1)],
    ['migrationMs', (l) => l.migrationCommitsMs(3, 1, 2, 1)],
    ['stateReadMs', (l) => l.stateReadMs(1, 1, 2, 1)],
    ['stateWriteMs', (l) => l.stateWriteMs(1e12, 1, 2, 1)],
    ['coldStartMs', (l) => l.coldStartMs(1, 2, 1)],
    ['poolStartMs', (l) => l.coldStartMs(POOL, 2, 0)],
    ['prewarmedStartMs', (l) => l.prewarmedStartMs(1, 2, 1)],
    ['renewalMs', (l) => l.renewalMs(1, 2, 1)],
    ['openingStartMs', (l) => l.openingStartMs('cold', 1, -1, 1)],
    ['openingStartMs', (l) => l.openingStartMs('prewarmed', 1, -1, 1)],
  ];
  const usual = new Latencies(resolveConfig());
  for (const [name, draw] of steps) {
    const measured = new Latencies(resolveConfig({ [name]: always(12_345) }));
    assert.is(draw(measured), 12_345, name);
    assert.is.not(draw(usual), 12_345, name);
    assert.throws(
      () => new Latencies(resolveConfig({ [name]: [[150, 1]] })),
      (error: Error) => error.message.includes(name),
    );
  }
});

test('without tables replies, other executors and openings are as requests, elections and starts', () => {
  const l = new Latencies(resolveConfig({ requestHopMs: always(7) }));
  assert.is(l.replyHopMs(1, 2, 1), 7);
  assert.is(l.electionMs(3, 1, 2, 1, true), l.electionMs(3, 1, 2, 1, false));
  assert.is(l.electionMs(1, 1, 2, 1, true), 0);
  assert.is(l.openingStartMs('cold', 1, 0, 1), l.coldStartMs(1, 0, 1));
  assert.is(l.openingStartMs('prewarmed', 1, 0, 1), l.prewarmedStartMs(1, 0, 1));
});

test('latencies can have a seed of their own', () => {
  const start = (options: PartialConfig) =>
    new Latencies(resolveConfig(options)).coldStartMs(1, 2, 1);
  assert.is(start({ seed: 1, latencySeed: 9 }), start({ seed: 9 }));
  assert.is(start({ seed: 1, latencySeed: 0 }), start({ seed: 0 }));
  assert.is.not(start({ seed: 1, latencySeed: 9 }), start({ seed: 1 }));
});

/** Two users of one GPU: the second one comes while the first one's cell runs. */
function contended() {
  const builder = new TraceBuilder();
  const shape = { cpuMillis: 0, memoryMb: 0, gpuMillis: 1_000, vramMb: 0 };
  for (const [user, submitMs] of [10_000, 10_500].entries()) {
    const session = builder.addSession({ id: `u${user}`, startMs: 0, endMs: 30_000 });
    builder.addCell({ session, submitMs, durationMs: 1_000, shape });
    builder.addCell({ session, submitMs: submitMs + 10_000, durationMs: 1_000, shape });
  }
  return builder.build({ name: 'contended', source: 'written for a test' });
}

const THREE: PartialConfig = { hosts: 3, gpusPerHost: 1, fixed: true, replicas: 3, loop: 'open' };

test('an executor that changes is slower than one that goes on', () => {
  const options = { executorChangeMs: always(50), raftCommitMs: always(5), migrationCommits: 0 };
  const policy = POLICIES['notebookos']!;
  const config = configFor(policy, INSTANT, THREE, options);
  const answers = runCells(contended(), policy, config);
  for (const user of ['u0', 'u1']) {
    assert.is(answers.get(`${user}/0`)!.steps['election'], 50);
    assert.is(answers.get(`${user}/1`)!.steps['election'], 5);
  }
});

test('GPUs that are held until the commit come to the next cell later', () => {
  const policy = POLICIES['notebookos']!;
  const waits = (options: PartialConfig) => {
    const all = { ...THREE, hosts: 1, replicas: 1, soloCommitMs: always(200) };
    const answers = runCells(contended(), policy, configFor(policy, INSTANT, all, options));
    const { steps } = answers.get('u0/0')!;
    assert.is(steps['state_commit'], 200);
    return answers.get('u1/0')!.delayMs;
  };
  assert.is(waits({}), 500);
  assert.is(waits({ releaseAfter: 'commit' }), 700);
});

test.run();
