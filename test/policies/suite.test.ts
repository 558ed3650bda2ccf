import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { POLICIES } from '../../core/policies/index.ts';
import type { Policy } from '../../core/policies/policy.ts';
import { runPolicySuite } from '../../sim/policy-suite.ts';

for (const policy of Object.values(POLICIES))
  test(`${policy.name} passes the shared suite`, async () => {
    const outcomes = await runPolicySuite(policy);
    assert.ok(outcomes.length >= 10);
    assert.equal(
      outcomes.filter(({ fault }) => fault !== ''),
      [],
    );
  });

for (const replicas of [1, 5])
  test(`notebookos with ${replicas} replicas passes too`, async () => {
    const base = POLICIES['notebookos']!;
    const policy: Policy = { ...base, defaults: { ...base.defaults, replicas } };
    const outcomes = await runPolicySuite(policy);
    assert.equal(
      outcomes.filter(({ fault }) => fault !== ''),
      [],
    );
  });

/** Names of the checks that a changed policy fails. */
async function failedChecks(change: Partial<Policy>): Promise<string[]> {
  const policy = { ...POLICIES['batch-fcfs']!, name: 'broken', ...change };
  const outcomes = await runPolicySuite(policy);
  return outcomes.filter(({ fault }) => fault !== '').map(({ check }) => check);
}

test('the suite finds an order that contradicts itself', async () => {
  const found = await failedChecks({ order: () => 1, defaults: { queueOrder: 'policy' } });
  assert.ok(found.includes('order compares consistently'), found.join('; '));
});

test('the suite finds a rate at which nothing ever ends', async () => {
  const found = await failedChecks({ rate: () => 0 });
  assert.ok(found.includes('rate is a positive number'), found.join('; '));
});

test('the suite finds functions that throw', async () => {
  const found = await failedChecks({
    rate: () => {
      throw new Error('out of order');
    },
  });
  assert.ok(found.length >= 2, found.join('; '));
});

test('the suite finds defaults under which nothing can run', async () => {
  const found = await failedChecks({ defaults: { queueLimit: 1, placementQueueLimit: 1 } });
  assert.ok(found.length >= 1);
});

test.run();
