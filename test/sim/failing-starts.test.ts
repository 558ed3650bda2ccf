import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { POLICIES } from '../../core/policies/index.ts';
import { configFor } from '../../sim/policy-file.ts';
import { simulate } from '../../sim/simulate.ts';
import { synthesize } from '../../traces/synthesize/index.ts';
import { INSTANT } from './instant.ts';

const TRACE = synthesize({ profile: 'adobe-15s', sessions: 8, hours: 6, seed: 2 });

for (const policy of Object.values(POLICIES)) {
  test(`${policy.name}: when no container ever starts, every cell is rejected and the run ends`, async () => {
    for (const layer of [{}, INSTANT]) {
      const config = configFor(policy, { hosts: 12, containerFailureShare: 1 }, layer);
      const { summary, warnings } = await simulate({ trace: TRACE, policy, config, check: true });
      assert.is(summary['completed'], 0);
      assert.is(summary['rejected'], TRACE.cells.count);
      assert.equal(warnings, []);
    }
  });
}

test.run();
