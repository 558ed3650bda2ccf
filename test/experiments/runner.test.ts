// time-limit: 600 s
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type ExperimentOptions, runExperiment } from '../../experiments/runner.ts';
import type { Study } from '../../experiments/study.ts';
import { refuses, scratchFolder } from '../traces/scratch.ts';
import { CRASHES, FAILS, FAKE_WORKER, finalFiles, HANGS, matrix, study } from './fakes.ts';

const SCRATCH = scratchFolder();
let folders = 0;

function folder(): string {
  return join(SCRATCH, `out-${folders++}`);
}

function run(what: Study, out: string, more: Partial<ExperimentOptions> = {}) {
  return runExperiment(what, { out, worker: FAKE_WORKER, timeoutMs: 60_000, ...more });
}

/** The files of an undisturbed run of one process. */
async function expected(what: Study): Promise<Record<string, string>> {
  const out = folder();
  await run(what, out);
  return finalFiles(out);
}

test('results do not depend on the number of jobs', async () => {
  const what = study(matrix());
  const files = await expected(what);
  assert.equal(Object.keys(files), [
    'experiment.json',
    'report.html',
    'report.json',
    'results.csv',
    'seeds.csv',
  ]);
  assert.is(files['results.csv']!.trimEnd().split('\n').length, 1 + 2 * 3);
  const out = folder();
  const outcome = await run(what, out, { jobs: 3 });
  assert.equal([outcome.runs, outcome.performed, outcome.missing], [6, 6, 0]);
  assert.equal(finalFiles(out), files);
});

test('results that are there already are used again', async () => {
  const out = folder();
  await run(study(matrix({ seeds: 2 })), out);
  const more = await run(study(matrix({ seeds: 3 })), out);
  assert.equal([more.performed, more.reused], [2, 4]);
  const none = await run(study(matrix({ seeds: 3 })), out);
  assert.equal([none.performed, none.reused], [0, 6]);
  assert.equal(finalFiles(out), await expected(study(matrix({ seeds: 3 }))));
});

test('a run that two products share is performed once', async () => {
  const out = folder();
  const outcome = await run(study(matrix(), matrix({ name: 'again' })), out);
  assert.equal([outcome.runs, outcome.performed], [6, 6]);
  assert.is(finalFiles(out)['results.csv']!.trimEnd().split('\n').length, 1 + 12);
});

test('shards that share a folder give the files of one process, the last one writes them', async () => {
  const what = study(matrix());
  const out = folder();
  for (const index of [3, 1]) {
    const part = await run(what, out, { shard: { index, count: 3 } });
    assert.is(part.performed, 2);
    assert.equal(part.files, []);
    assert.not(existsSync(join(out, 'results.csv')));
  }
  const last = await run(what, out, { shard: { index: 2, count: 3 } });
  assert.ok(last.files.length > 0);
  assert.equal(finalFiles(out), await expected(what));
});

test('two processes that race for the same results do no harm', async () => {
  const what = study(matrix());
  const out = folder();
  await Promise.all([run(what, out, { jobs: 2 }), run(what, out, { jobs: 2 })]);
  assert.equal(finalFiles(out), await expected(what));
  assert.equal(readdirSync(join(out, '.tmp')), []);
});

test('an experiment killed with kill -9 resumes to the same bytes', async () => {
  const what = study(matrix({ seeds: 8 }));
  const out = folder();
  const ending = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const program = fileURLToPath(new URL(`./run-fake.${ending}`, import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, program, out, '8'], {
    stdio: 'inherit',
    // Slow enough to be killed long before its end.
    env: { ...process.env, NBOS_FAKE_MS: '200' },
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const stored = () => (existsSync(join(out, 'runs')) ? readdirSync(join(out, 'runs')).length : 0);
  while (stored() < 3 && child.exitCode === null) await sleep(2);
  child.kill('SIGKILL');
  await ended;
  const before = stored();
  assert.ok(before >= 3 && before < 16, `${before} results when it was killed`);
  assert.not(existsSync(join(out, 'results.csv')));
  const outcome = await run(what, out, { resume: true, jobs: 2 });
  assert.is(outcome.performed + outcome.reused, 16);
  assert.ok(outcome.reused >= before);
  assert.equal(finalFiles(out), await expected(what));
  assert.equal(readdirSync(join(out, '.tmp')), []);
});

test('--resume wants the experiment that was begun', async () => {
  const out = folder();
  await refuses(
    () => run(study(matrix()), out, { resume: true }),
    'run-mismatch',
    /no experiment to resume/,
  );
  await run(study(matrix()), out);
  await refuses(
    () => run(study(matrix({ seeds: 4 })), out, { resume: true }),
    'run-mismatch',
    /changed since it began/,
  );
});

test('a failed run is named with the command that repeats it; the others are kept', async () => {
  const out = folder();
  const what = study(matrix({ options: [{}, { queueLimit: FAILS }], seeds: 1 }));
  const error = await refuses(
    () => run(what, out),
    'experiment-failed',
    /fake, trace demo, policy reservation, .*queueLimit=666, seed 1: policy-failed: it cannot drain.*1 more runs failed/,
  );
  const repeat = /--only ([0-9a-f]+)$/.exec(error.hint);
  assert.match(error.hint, `nbos experiment run fake.json --out ${out} --only `);
  assert.is(readdirSync(join(out, 'runs')).length, 2);
  assert.not(existsSync(join(out, 'results.csv')));
  await refuses(() => run(what, out, { only: repeat![1]! }), 'experiment-failed', /policy-failed/);
});

test('a worker that dies fails its run and no other', async () => {
  const out = folder();
  const what = study(matrix({ options: [{}, { queueLimit: CRASHES }], seeds: 1 }));
  await refuses(() => run(what, out), 'experiment-failed', /worker process was ended by SIGKILL/);
  assert.is(readdirSync(join(out, 'runs')).length, 2);
});

test('a run does not take longer than its limit', async () => {
  const out = folder();
  const what = study(matrix({ options: [{}, { queueLimit: HANGS }], policies: ['lcp'], seeds: 1 }));
  const limit = { timeoutMs: 3_000 };
  await refuses(() => run(what, out, limit), 'experiment-failed', /took longer than 3 s/);
  assert.is(readdirSync(join(out, 'runs')).length, 1);
});

test('an interruption ends the workers and leaves nothing half-done', async () => {
  const out = folder();
  const controller = new AbortController();
  const what = study(matrix({ options: [{}, { queueLimit: HANGS }], policies: ['lcp'], seeds: 1 }));
  const going = run(what, out, {
    jobs: 2,
    signal: controller.signal,
    // One run has ended and the other is half through.
    onProgress: (done) => done > 1.2 && controller.abort(),
  });
  await refuses(() => going, 'interrupted', /finished runs are kept/);
  assert.is(readdirSync(join(out, 'runs')).length, 1);
  assert.equal(readdirSync(join(out, '.tmp')), []);
  assert.not(existsSync(join(out, 'results.csv')));
});

test('a damaged result and an output that is no folder are said, not taken', async () => {
  const out = folder();
  await run(study(matrix({ seeds: 1 })), out);
  const [key] = readdirSync(join(out, 'runs'));
  writeFileSync(join(out, 'runs', key!, 'result.json'), '{"key":');
  await refuses(() => run(study(matrix({ seeds: 1 })), out), 'file-corrupt', /result\.json/);
  rmSync(out, { recursive: true });
  writeFileSync(out, '');
  await refuses(
    () => run(study(matrix({ seeds: 1 })), out),
    'file-unwritable',
    /cannot be written/,
  );
});

test.run();
