import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { HostType } from '../../core/config/options.ts';
import { batchFcfs } from '../../core/policies/batch-fcfs.ts';
import { POLICIES } from '../../core/policies/index.ts';
import type { Policy } from '../../core/policies/policy.ts';
import { REPORTS, type ReportName } from '../../core/record/columns.ts';
import { configFor } from '../../sim/policy-file.ts';
import { simulate } from '../../sim/simulate.ts';
import { randomRun } from '../random-run.ts';
import { INSTANT } from '../sim/instant.ts';
import { jobs, runCells } from '../sim/run-cells.ts';

function host(name: string, speed: number): HostType {
  const room = { cpuMillis: 8_000, memoryMb: 61_000, vramMb: 16_000 };
  return { name, gpus: 1, ...room, gpuType: '', speed, maxHosts: 1, pricePerHour: 1 };
}

test('shortest job first is one line', () => {
  const sjf = { ...batchFcfs, name: 'sjf', defaults: { queueOrder: 'sjf' } } satisfies Policy;
  const config = configFor(sjf, INSTANT, { hosts: 1, gpusPerHost: 1, fixed: true });
  const trace = jobs(['a', 0, 10_000, 1], ['long', 1_000, 9_000, 1], ['short', 2_000, 3_000, 1]);
  assert.equal([...runCells(trace, sjf, config).keys()], ['a/0', 'short/0', 'long/0']);
});

test('a host of twice the speed halves the run', () => {
  const config = configFor(batchFcfs, INSTANT, {
    hosts: 1,
    fixed: true,
    hostTypes: [host('fast', 2)],
  });
  const answers = runCells(jobs(['a', 0, 10_001, 1]), batchFcfs, config);
  assert.is(answers.get('a/0')!.tctMs, 5_001); // 5,000.5, rounded
});

// x runs on the slow host from 0; y takes it at 50 s, when x has been suspended at half its work.
// The fast host is free from 60 s: the other 50 s of x take 25 s there.
test('suspended at half-time and resumed at twice the speed: 0.75 of the duration', () => {
  const shift: Policy = {
    ...batchFcfs,
    name: 'shift',
    defaults: { placement: 'least-loaded', queueOrder: 'policy' },
    order: (a, b) => a.servedMs - b.servedMs,
    suspends: true,
    everyMs: 50_000,
    onTimer: ({ nowMs, running }) =>
      nowMs > 50_000
        ? []
        : running
            .filter(({ session }) => session === 0)
            .map(({ id }) => ({ kind: 'suspend', execution: id })),
  };
  const config = configFor(shift, INSTANT, {
    hosts: 2,
    fixed: true,
    hostTypes: [host('slow', 1), host('fast', 2)],
  });
  const trace = jobs(['x', 0, 100_000, 1], ['y', 40_000, 100_000, 1], ['z', 0, 120_000, 1]);
  const { steps, tctMs, host: last } = runCells(trace, shift, config).get('x/0')!;
  assert.is(steps['run'], 75_000);
  assert.is(steps['suspended'], 10_000);
  assert.is(tctMs, 85_000);
  assert.is(last, 1);
});

// b shares the host with a from 10 s to 20 s, at half speed for both: each loses 5 s.
test('the rate changes with the co-runners, and the ends with it', () => {
  const shared: Policy = {
    ...batchFcfs,
    name: 'shared',
    rate: ({ coRunners }) => 1 / (1 + coRunners),
  };
  const config = configFor(shared, INSTANT, { hosts: 1, gpusPerHost: 2, fixed: true });
  const answers = runCells(jobs(['a', 0, 20_000, 1], ['b', 10_000, 5_000, 1]), shared, config);
  assert.is(answers.get('b/0')!.tctMs, 10_000);
  assert.is(answers.get('a/0')!.tctMs, 25_000);
});

async function reports(policy: Policy, seed: number): Promise<Record<string, string>> {
  const run = randomRun(seed);
  const folder = mkdtempSync(join(tmpdir(), 'nbos-rate-'));
  try {
    const names = Object.keys(REPORTS) as ReportName[];
    const config = configFor(policy, { hosts: 8, seed });
    await simulate({ ...run, policy, config, out: join(folder, 'run'), reports: names });
    const texts = names.map((name) => [name, readFileSync(join(folder, 'run', name), 'utf8')]);
    return Object.fromEntries(texts);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

for (const name of Object.keys(POLICIES)) {
  test(`${name}: a rate of 1 changes no byte of any report`, async () => {
    const policy = POLICIES[name]!;
    for (const seed of [3, 40]) {
      const plain = await reports(policy, seed);
      assert.equal(await reports({ ...policy, rate: () => 1 }, seed), plain);
      assert.ok(plain['cells.csv']!.length > 500);
    }
  });
}

test.run();
