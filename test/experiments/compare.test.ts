import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { compare } from '../../experiments/compare.ts';
import { writeReport } from '../../experiments/report.ts';
import { simulate } from '../../experiments/simulate.ts';
import { synthesizeDemo } from '../../traces/synthesize/index.ts';
import { refuses, scratchFolder } from '../traces/scratch.ts';

const SCRATCH = scratchFolder();
const trace = synthesizeDemo({ seed: 3, capacityGpus: 80 });
const config = { hosts: 10 };
const policies = ['reservation', 'batch-fcfs', 'notebookos'];

function rowsOf(path: string): string[][] {
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  return lines.map((line) => line.split(','));
}

test('policies are compared with the first, on the same draws', async () => {
  const { policies: compared, runs } = await compare({ trace, policies, config, seeds: 3 });
  assert.equal(
    runs.map(({ policy, seed }) => `${policy} ${seed}`),
    policies.flatMap((policy) => [1, 2, 3].map((seed) => `${policy} ${seed}`)),
  );
  const alone = await simulate({ trace, policy: 'notebookos', config: { ...config, seed: 2 } });
  assert.equal(runs.find((run) => run.policy === 'notebookos' && run.seed === 2)!.summary, {
    ...alone.summary,
  });
  for (const { measure, difference } of compared[0]!.measures)
    if (!Number.isNaN(difference.mean)) assert.is(difference.mean, 0, measure.name);
  const saved = compared[2]!.measures.find(({ measure }) => measure.name === 'saved_gpu_hours')!;
  const provisioned = compared[2]!.measures[0]!;
  assert.is(saved.value.count, 3);
  assert.ok(saved.value.mean > 0);
  assert.ok(Math.abs(saved.value.mean + provisioned.difference.mean) < 1e-9);
  assert.ok(saved.value.low <= saved.value.mean && saved.value.mean <= saved.value.high);
});

test('resampling varies the workload, and more than latencies do', async () => {
  const spread = async (resample: boolean) => {
    const one = await compare({ trace, policies: ['lcp'], config, seeds: 4, resample });
    const { low, high } = one.policies[0]!.measures[0]!.value;
    return high - low;
  };
  assert.ok((await spread(true)) > 3 * (await spread(false)));
});

test('savings are marked where the completed work differs by more than 1 %', async () => {
  const lossy = { ...config, containerCrashPerDay: 40, retryAborted: false };
  const marked = await compare({ trace, policies: ['reservation', 'notebookos'], config: lossy });
  const saved = marked.policies[1]!.measures.find(({ measure }) => measure.name === 'saved_pct')!;
  assert.ok(Math.abs(marked.policies[1]!.busyDifference) > 0.01);
  assert.ok(saved.isMarked);
  const plain = await compare({ trace, policies: ['reservation', 'notebookos'], config });
  assert.not(plain.policies[1]!.measures.some(({ isMarked }) => isMarked));
});

test('a folder of a comparison has the numbers, the runs, and gets one page for all', async () => {
  const out = join(SCRATCH, 'compared');
  const comparison = await compare({ trace, policies, config, seeds: 2, out });
  const summary = rowsOf(join(out, 'compare.csv'));
  assert.is(summary.length, 1 + 2 * 3);
  assert.is(summary[5]![summary[0]!.indexOf('policy')], 'notebookos');
  const differences = rowsOf(join(out, 'differences.csv'));
  const row = differences.find(([policy, name]) => policy === 'notebookos' && name === 'cost')!;
  const cost = comparison.policies[2]!.measures.find(({ measure }) => measure.name === 'cost')!;
  assert.is(Number(row[differences[0]!.indexOf('difference')]), cost.difference.mean);
  await refuses(() => compare({ trace, policies, config, out }), 'file-exists', /a comparison/);

  const files = await writeReport(out);
  const page = readFileSync(join(out, 'report.html'), 'utf8');
  assert.is((page.match(/<figure>/g) ?? []).length, files.length - 1);
  assert.is(readdirSync(join(out, 'figures')).length, files.length - 1);
  for (const policy of policies) assert.match(page, `<th>${policy}</th>`);
  assert.match(page, 'GPU-hours saved against reservation (GPU-hours)');
  assert.match(page, trace.hash);
  assert.not.match(page.replaceAll('http://www.w3.org/2000/svg', ''), /https?:|<script|<link|src=/);
  await writeReport(out);
  assert.is(readFileSync(join(out, 'report.html'), 'utf8'), page, 'it can be written again');
});

test('one run folder, and folders of runs without a description, get a page too', async () => {
  const folder = join(SCRATCH, 'several');
  mkdirSync(folder);
  for (const policy of ['lcp', 'reservation'])
    await simulate({ trace, policy, config, out: join(folder, policy) });
  await writeReport(join(folder, 'lcp'));
  assert.match(readFileSync(join(folder, 'lcp', 'report.html'), 'utf8'), /<h1>lcp on /);
  await writeReport(folder);
  const page = readFileSync(join(folder, 'report.html'), 'utf8');
  assert.match(page, /<h1>reservation, lcp on /);
});

test('what is no result gets no page', async () => {
  await refuses(() => writeReport(join(SCRATCH, 'absent')), 'file-not-found', /absent/);
  const empty = join(SCRATCH, 'empty');
  mkdirSync(empty);
  await refuses(() => writeReport(empty), 'run-incomplete', /neither a finished run/);
  assert.not(existsSync(join(empty, 'report.html')));
  const broken = join(SCRATCH, 'broken');
  await simulate({ trace, policy: 'lcp', config, out: broken });
  writeFileSync(join(broken, 'timeline.csv'), 'time_ms,hosts\n1,x\n');
  await refuses(() => writeReport(broken), 'trace-bad-header', /timeline\.csv/);
  rmSync(join(broken, 'run.json'));
  await refuses(() => writeReport(broken), 'run-incomplete', /neither/);
});

test('requests that make no sense are refused', async () => {
  await refuses(() => compare({ trace, policies: [] }), 'usage', /no policy/);
  await refuses(() => compare({ trace, policies: ['lcp', 'lcp'] }), 'usage', /lcp is named twice/);
  await refuses(() => compare({ trace, policies: ['lpc'] }), 'policy-unknown', /lpc/);
  await refuses(() => compare({ trace, policies, seeds: 0 }), 'usage', /seeds from 1/);
  await refuses(
    () => compare({ trace, policies, config: { replicas: 3 } }),
    'config-bad-value',
    /reservation does not replicate/,
  );
});

test.run();
