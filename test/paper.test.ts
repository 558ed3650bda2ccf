// time-limit: 600 s
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { POLICIES } from '../core/policies/index.ts';
import { configFor } from '../sim/policy-file.ts';
import { simulate } from '../sim/simulate.ts';
import type { Summary } from '../sim/summary.ts';
import { synthesizeDemo } from '../traces/synthesize/index.ts';

/** The claims of Carver et al. (ASPLOS 2026) that a simulation can show, as orderings. */

const CLUSTER = { hosts: 30, gpusPerHost: 8 };
const SEEDS = [1, 2, 3];
const COLD_START_LEAST_MS = 5_000;

const runs = new Map<string, Promise<Summary>>();

/** The summary of a policy on the workload of a seed; each is run once. */
function run(name: string, seed: number, replicas?: number): Promise<Summary> {
  const key = `${name} ${seed} ${replicas}`;
  let known = runs.get(key);
  if (known === undefined) {
    const policy = POLICIES[name]!;
    const layer = replicas === undefined ? {} : { replicas };
    const config = configFor(policy, CLUSTER, { seed }, layer);
    known = simulate({ trace: synthesizeDemo({ seed }), policy, config }).then(
      ({ summary }) => summary,
    );
    runs.set(key, known);
  }
  return known;
}

function claim(title: string, check: (seed: number) => Promise<void>): void {
  test(title, async () => {
    for (const seed of SEEDS) await check(seed);
  });
}

const of = (summary: Summary, column: string): number => {
  const value = summary[column];
  assert.type(value, 'number', `${column} of ${summary['policy']}`);
  return value as number;
};

claim('every policy completes the same cells', async (seed) => {
  const { cells } = synthesizeDemo({ seed });
  for (const name of Object.keys(POLICIES)) {
    assert.is(of(await run(name, seed), 'completed'), cells.count, name);
  }
});

claim(
  'notebookos provisions less than reservation, and every policy at least what it commits',
  async (seed) => {
    const reserved = of(await run('reservation', seed), 'provisioned_gpu_hours');
    const ours = of(await run('notebookos', seed), 'provisioned_gpu_hours');
    assert.ok(ours < reserved, `${ours} against ${reserved}`);
    for (const name of Object.keys(POLICIES)) {
      const summary = await run(name, seed);
      const provisioned = of(summary, 'provisioned_gpu_hours');
      assert.ok(provisioned >= of(summary, 'committed_gpu_hours'), name);
    }
  },
);

claim('lcp saves more than notebookos, with a longer tail of delays', async (seed) => {
  const ours = await run('notebookos', seed);
  const pool = await run('lcp', seed);
  assert.ok(of(pool, 'provisioned_gpu_hours') < of(ours, 'provisioned_gpu_hours'));
  assert.ok(of(pool, 'delay_p99_ms') > of(ours, 'delay_p99_ms'));
});

claim('the median delay of batch-fcfs is at least a container start', async (seed) => {
  const batch = await run('batch-fcfs', seed);
  assert.ok(of(batch, 'delay_p50_ms') > COLD_START_LEAST_MS);
  assert.ok(of(batch, 'delay_p50_ms') >= of(batch, 'container_start_mean_ms') / 2);
});

claim('the median delay of notebookos is within 0.5 s of that of reservation', async (seed) => {
  const ours = of(await run('notebookos', seed), 'delay_p50_ms');
  const reserved = of(await run('reservation', seed), 'delay_p50_ms');
  assert.ok(Math.abs(ours - reserved) <= 500, `${ours} ms against ${reserved} ms`);
});

claim('notebookos reuses the executor more than lcp a container', async (seed) => {
  const ours = of(await run('notebookos', seed), 'reuse_share');
  const pool = of(await run('lcp', seed), 'reuse_share');
  assert.ok(ours > pool, `${ours} against ${pool}`);
});

claim('reservation and notebookos bind GPUs at once far more often than batch', async (seed) => {
  assert.is(of(await run('batch-fcfs', seed), 'immediate_share'), 0);
  assert.is(of(await run('gandiva', seed), 'immediate_share'), 0);
  assert.ok(of(await run('notebookos', seed), 'immediate_share') > 0.8);
  assert.ok(of(await run('reservation', seed), 'immediate_share') > 0.9);
});

claim('the provider pays less under notebookos than under reservation', async (seed) => {
  const ours = of(await run('notebookos', seed), 'cost');
  assert.ok(ours < of(await run('reservation', seed), 'cost'));
});

test('more replicas find GPUs at once more often', async () => {
  const meanOf = async (replicas: number) => {
    let sum = 0;
    for (const seed of SEEDS) sum += of(await run('notebookos', seed, replicas), 'immediate_share');
    return sum / SEEDS.length;
  };
  const [one, three, five] = [await meanOf(1), await meanOf(3), await meanOf(5)];
  assert.ok(one < three && three < five, `${one}, ${three}, ${five}`);
});

test.run();
