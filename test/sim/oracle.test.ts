import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { batchFcfs } from '../../core/policies/batch-fcfs.ts';
import { configFor } from '../../sim/policy-file.ts';
import { simulate } from '../../sim/simulate.ts';
import { oneHost, POOL, philly } from './philly-oracle.ts';

const seconds = (ms: unknown): string => (Number(ms) / 1000).toFixed(2);

for (const [queueOrder, completion, wait] of [
  ['fifo', '14916.68', '1910.38'],
  ['sjf', '13804.62', '798.32'],
] as const) {
  test(`20,000 jobs of Philly in ${queueOrder} order: mean completion and wait, exactly`, async () => {
    const config = configFor(batchFcfs, oneHost(POOL), { queueOrder });
    const { summary } = await simulate({ trace: await philly(), policy: batchFcfs, config });
    assert.is(summary['completed'], 20_000);
    assert.is(seconds(summary['tct_mean_ms']), completion);
    assert.is(seconds(summary['queue_mean_ms']), wait);
  });
}

test.run();
