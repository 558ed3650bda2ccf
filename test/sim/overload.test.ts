import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { HostType } from '../../core/config/options.ts';
import { POLICIES } from '../../core/policies/index.ts';
import { vectorForGpus } from '../../core/resources.ts';
import { configFor } from '../../sim/policy-file.ts';
import { simulate } from '../../sim/simulate.ts';
import { TraceBuilder } from '../../traces/build.ts';
import { jobs } from './run-cells.ts';

const TRACE = jobs(['a', 0, 10_000, 1], ['b', 5_000, 10_000, 8]);

for (const policy of Object.values(POLICIES)) {
  for (const loop of ['closed', 'open'] as const) {
    test(`${policy.name}, ${loop} loop: a run whose hosts never come up ends and says so`, async () => {
      const config = configFor(policy, { hosts: 6, scaleOutFailureShare: 1, loop });
      const { summary, warnings } = await simulate({ trace: TRACE, policy, config });
      assert.is(summary['unfinished'], 2);
      assert.match(warnings.join(), /cannot drain: 2 cells wait/);
    });
  }
}

test('host types that allow fewer hosts than the minimum do not keep a run going', async () => {
  const room = { gpus: 8, cpuMillis: 64_000, memoryMb: 488_000, vramMb: 128_000 };
  const type: HostType = {
    name: 'few',
    ...room,
    gpuType: '',
    speed: 1,
    maxHosts: 3,
    pricePerHour: 1,
  };
  for (const policy of Object.values(POLICIES)) {
    const config = configFor(policy, { hosts: 12, hostTypes: [type] });
    const { summary } = await simulate({ trace: TRACE, policy, config, check: true });
    assert.is(summary['completed'], 2);
    assert.is(summary['hosts_peak'], 3);
  }
});

test('sessions that name GPUs which no host has are warned of, and refused', async () => {
  const builder = new TraceBuilder();
  const session = builder.addSession({ id: 's', startMs: 0, endMs: 90_000, gpuType: 'H100' });
  builder.addCell({ session, submitMs: 60_000, durationMs: 1_000, shape: vectorForGpus(1_000) });
  const trace = builder.build({ name: 'typed', source: 'test' });
  for (const policy of Object.values(POLICIES)) {
    const config = configFor(policy, { hosts: 6 });
    const { summary, warnings } = await simulate({ trace, policy, config, check: true });
    assert.match(warnings.join(), /1 sessions ask for GPUs of a type/);
    assert.is(summary['rejected'], 1);
  }
});

test.run();
