import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { POLICIES } from '../../core/policies/index.ts';
import { configFor } from '../../sim/policy-file.ts';
import { simulate } from '../../sim/simulate.ts';
import { readReport } from '../../traces/run-folder.ts';
import { synthesize } from '../../traces/synthesize/index.ts';

const sum = (values: Float64Array): number => values.reduce((total, value) => total + value, 0);
const near = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-9 * Math.max(1, a, b);

const trace = synthesize({ profile: 'adobe-15s', sessions: 30, hours: 12, seed: 4 });

async function eachCut(
  untilMs: number,
  check: (folder: string, summary: Record<string, string | number>, policy: string) => unknown,
): Promise<void> {
  for (const policy of Object.values(POLICIES)) {
    const folder = mkdtempSync(join(tmpdir(), 'nbos-cut-'));
    try {
      const config = configFor(policy, { hosts: 20, untilMs });
      const { summary } = await simulate({ trace, policy, config, out: folder });
      await check(folder, summary, policy.name);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
}

test('the reports of a run that was cut agree with each other', () =>
  eachCut(5_000_001, async (folder, summary, policy) => {
    assert.is(summary['drained_ms'], 5_000_001, policy);
    const hosts = await readReport(folder, 'hosts.csv');
    for (const gpuHours of ['provisioned_gpu_hours', 'committed_gpu_hours']) {
      const total = sum(hosts.numbers(gpuHours));
      assert.ok(near(total, Number(summary[gpuHours])), `${policy}: ${gpuHours}`);
      assert.ok(near(total, Number(summary[`${gpuHours}_drained`])), `${policy}: ${gpuHours}`);
    }
    const sessions = await readReport(folder, 'sessions.csv');
    assert.is(summary['sessions'], sessions.rows, policy);
    assert.ok(sessions.rows < trace.sessions.count, 'some sessions open later');
    assert.is(sum(sessions.numbers('cells')), summary['cells'], policy);
    const reserved = sum(sessions.numbers('reserved_gpu_hours'));
    assert.ok(near(reserved, Number(summary['demanded_gpu_hours'])), `${policy}: ${reserved}`);
    const busy = sum(sessions.numbers('busy_gpu_hours'));
    assert.ok(near(busy, Number(summary['busy_gpu_hours'])), `${policy}: busy ${busy}`);
  }));

test('a cut after everything has ended changes nothing', () =>
  eachCut(1e12, (_, summary, policy) => {
    assert.is(summary['sessions'], trace.sessions.count, policy);
    assert.is(summary['unfinished'], 0, policy);
    assert.ok(Number(summary['drained_ms']) < 1e12, policy);
  }));

test.run();
