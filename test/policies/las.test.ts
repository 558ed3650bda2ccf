import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { configFor, resolvePolicy } from '../../sim/policy-file.ts';
import { INSTANT } from '../sim/instant.ts';
import { jobs, runCells } from '../sim/run-cells.ts';
import { PROJECT_ROOT } from '../skip.ts';

const FILE = join(PROJECT_ROOT, 'test', 'policies', 'las.policy.ts');

// One host of 2 GPUs; the policy looks every 10 s; the second queue begins at 30 GPU-seconds.
//   0  a (2 GPUs, 40 s) runs.             5  b and c (1 GPU each, 15 s and 30 s) wait.
//  10  a has had 20 GPU-s: first queue, and first in it: it goes on.
//  20  a has had 40 GPU-s: second queue. b and c take its GPUs; a has 20 s of work left.
//  35  b ends; one GPU is idle, a needs two.
//  50  c ends; a goes on, until 70 if it is left alone.
//  52  d (2 GPUs, 10 s) waits.
//  60  a is in the second queue, d in the first: a is suspended with 10 s left, d runs.
//  70  d ends; a goes on.                80  a ends.
test('two-queue LAS from a file meets the schedule computed by hand', async () => {
  const { policy } = await resolvePolicy(FILE);
  const config = configFor(policy, INSTANT, { hosts: 1, gpusPerHost: 2, fixed: true });
  const trace = jobs(
    ['a', 0, 40_000, 2],
    ['b', 5_000, 15_000, 1],
    ['c', 5_000, 30_000, 1],
    ['d', 52_000, 10_000, 2],
  );
  const answers = runCells(trace, policy, config);
  const times = [...answers].map(([name, { delayMs, tctMs, steps }]) => [
    name,
    delayMs,
    steps['suspended'],
    tctMs,
  ]);
  assert.equal(times, [
    ['b/0', 15_000, 0, 30_000],
    ['c/0', 15_000, 0, 45_000],
    ['d/0', 8_000, 0, 18_000],
    ['a/0', 0, 40_000, 80_000],
  ]);
  for (const [name, { steps }] of answers) {
    assert.is(steps['run'], name === 'a/0' ? 40_000 : steps['run']);
  }
});

test('it is a file of at most 100 lines that imports nothing but types', () => {
  const text = readFileSync(FILE, 'utf8');
  assert.ok(text.split('\n').length <= 100);
  for (const line of text.split('\n')) {
    if (line.startsWith('import')) assert.ok(line.startsWith('import type'), line);
  }
});

test.run();
