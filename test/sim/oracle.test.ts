import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { HostType, PartialConfig } from '../../core/config/options.ts';
import { batchFcfs } from '../../core/policies/batch-fcfs.ts';
import { vector } from '../../core/resources.ts';
import { configFor } from '../../sim/policy-file.ts';
import { simulate } from '../../sim/simulate.ts';
import { TraceBuilder } from '../../traces/build.ts';
import type { Trace } from '../../traces/trace.ts';
import { readPaiPhilly } from '../data/pai-philly.ts';
import { INSTANT } from './instant.ts';

/** 650,000 hundredths of a GPU and 15,093,000 of a CPU, as thousandths; the rest never binds. */
const POOL: HostType = {
  name: 'pool',
  gpus: 6_500,
  cpuMillis: 150_930_000,
  memoryMb: 1,
  vramMb: 1,
  gpuType: '',
  speed: 1,
  maxHosts: 1,
  pricePerHour: 0,
};

function oneHost(host: HostType): PartialConfig {
  const cluster = { hosts: 1, fixed: true, hostTypes: [host], deviceIds: false, starvationMs: 0 };
  return { ...INSTANT, ...cluster };
}

/** One session per job, open from the start, named so that they are in the order of their ids. */
async function philly(): Promise<Trace> {
  const jobs = await readPaiPhilly();
  const builder = new TraceBuilder();
  for (let job = 0; job < jobs.count; job++) {
    const submitMs = 1000 * jobs.submitS[job]!;
    const durationMs = 1000 * jobs.durationS[job]!;
    const session = builder.addSession({
      id: String(jobs.id[job]!).padStart(8, '0'),
      startMs: 0,
      endMs: submitMs + durationMs,
    });
    const shape = vector(10 * jobs.cpuCenti[job]!, 0, 10 * jobs.gpuCenti[job]!, 0);
    builder.addCell({ session, submitMs, durationMs, shape });
  }
  return builder.build({ name: 'pai-philly-20000', source: 'Microsoft philly-traces' });
}

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
