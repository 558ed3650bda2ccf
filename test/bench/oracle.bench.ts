import { batchFcfs } from '../../core/policies/batch-fcfs.ts';
import { configFor } from '../../sim/policy-file.ts';
import { simulate } from '../../sim/simulate.ts';
import { oneHost, POOL, philly } from '../sim/philly-oracle.ts';
import { type BenchResult, median } from './bench.ts';

const RUNS = 5;
const LEAST_JOBS_PER_S = 60_000;

/** The exact oracle, at most 11,525 jobs waiting at once, through core's own queue and books. */
export async function run(): Promise<BenchResult[]> {
  const trace = await philly();
  const results: BenchResult[] = [];
  for (const queueOrder of ['fifo', 'sjf'] as const) {
    const config = configFor(batchFcfs, oneHost(POOL), { queueOrder });
    const rates: number[] = [];
    let meanMs = 0;
    for (let run = 0; run < RUNS; run++) {
      const { summary, timings } = await simulate({ trace, policy: batchFcfs, config });
      rates.push((trace.cells.count / timings.engineMs) * 1000);
      meanMs = Number(summary['tct_mean_ms']);
    }
    results.push({
      name: `Philly, 20,000 jobs, ${queueOrder} (median of ${RUNS})`,
      value: median(rates),
      unit: 'jobs/s',
      target: LEAST_JOBS_PER_S,
      note: `mean JCT ${(meanMs / 1000).toFixed(2)} s`,
    });
  }
  return results;
}
