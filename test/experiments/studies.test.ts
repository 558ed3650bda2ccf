// time-limit: 600 s
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { OPTIONS } from '../../core/config/options.ts';
import { parseExperiment } from '../../experiments/matrix.ts';
import { planMatrices, runsOf } from '../../experiments/plan.ts';
import { writeReport } from '../../experiments/report.ts';
import { runExperiment } from '../../experiments/runner.ts';
import { findStudy, STUDIES } from '../../experiments/studies/index.ts';
import { doubtfulVariations } from '../../experiments/studies/variations.ts';
import { studyOf } from '../../experiments/study.ts';
import { dataFile, refuses, scratchFolder } from '../traces/scratch.ts';
import { finalFiles } from './fakes.ts';

const SCRATCH = scratchFolder();

test('jobs and shards give the files of one process, with the simulator too', async () => {
  const matrix = parseExperiment(
    {
      name: 'small',
      traces: [{ path: dataFile('tiresias-small.csv') }, { demo: { capacityGpus: 40 } }],
      policies: ['reservation', { policy: 'notebookos', replicas: 5 }],
      clusters: [{ hosts: 6 }],
      seeds: 2,
      resample: true,
    },
    'small.json',
    '/',
  );
  const study = studyOf(matrix, 'small.json');
  const alone = join(SCRATCH, 'alone');
  await runExperiment(study, { out: alone });
  const files = finalFiles(alone);
  assert.ok(files['report.html']!.includes('<figure>'));
  assert.ok(Object.keys(files).includes('figures/delay-cdf.svg'));
  await writeReport(alone);
  assert.equal(finalFiles(alone), files, 'the report can be written again from what is there');
  const jobs = join(SCRATCH, 'jobs');
  await runExperiment(study, { out: jobs, jobs: 2 });
  assert.equal(finalFiles(jobs), files);
  const shards = join(SCRATCH, 'shards');
  await runExperiment(study, { out: shards, shard: { index: 2, count: 2 } });
  await runExperiment(study, { out: shards, shard: { index: 1, count: 2 } });
  assert.equal(finalFiles(shards), files);
});

test('every experiment that comes with the program can be planned', async () => {
  for (const name of Object.keys(STUDIES)) {
    const study = findStudy(name, { seeds: 2 });
    const points = await planMatrices(study.matrices);
    assert.ok(runsOf(points).length > 20, name);
    assert.is(study.command, `nbos experiment run ${name} --seeds 2`);
  }
});

test('paper runs over at least 20 resampled seeds and every cut of sessions', () => {
  const { matrices } = findStudy('paper');
  const excerpt = matrices.find(({ name }) => name === 'excerpt')!;
  assert.ok(excerpt.seeds.length >= 20 && excerpt.resample);
  assert.is(matrices.find(({ name }) => name === 'cuts')!.traces.length, 4 * 3 * 2);
});

test('paper prints the figures of the paper beside ours', async () => {
  const out = join(SCRATCH, 'paper');
  const { remarks } = await runExperiment(findStudy('paper', { seeds: 1 }), { out, jobs: 2 });
  const lines = readFileSync(join(out, 'paper.csv'), 'utf8').trimEnd().split('\n');
  const paper = lines.slice(1).map((line) => line.split(','));
  const rowOf = (figure: string) => paper.find(([name]) => name === figure)!;
  assert.is(rowOf('Executions that got GPUs immediately')[3], '89.6');
  assert.is(rowOf('Executions that reused the executor')[3], '89.45');
  assert.match(lines.find((line) => line.includes('notebookos,GPU-hours'))!, /,1187\.66,/);
  assert.match(remarks.join('\n'), /notebookos saves .* to .* GPU-hours .* depending on where/);
  const savings = readFileSync(join(out, 'savings.csv'), 'utf8').trimEnd().split('\n');
  assert.is(savings.length, 1 + 24 * 2 * 3);
});

test('every doubtful default is varied on both sides, and nothing else', () => {
  const variations = doubtfulVariations();
  for (const [name, option] of Object.entries(OPTIONS)) {
    const mine = variations.filter((variation) => variation.option === name);
    const isDoubtful = option.source === 'guess' || option.source === 'summary';
    const value: unknown = option.default;
    const isNothing = value === 0 || (Array.isArray(value) && value.length === 0);
    if (!isDoubtful || isNothing) assert.equal(mine, [], name);
    else if (typeof value === 'boolean') assert.is(mine.length, 1, name);
    else if (typeof value === 'number' && 'max' in option && 2 * value > option.max)
      assert.is(mine.length, 1, `${name} cannot be doubled`);
    else assert.is(mine.length, 2, `${name} is halved and doubled`);
  }
  const sigma = variations.filter(({ option }) => option === 'stateSigma');
  assert.equal(
    sigma.map(({ config }) => config.stateSigma),
    [0.495, 1.98],
  );
});

test('what is no experiment is refused, with what was meant', async () => {
  const wrong = await refuses(() => findStudy('papr'), 'experiment-invalid', /"papr"/);
  assert.is(wrong.hint, 'Did you mean paper?');
  await refuses(() => findStudy('no/such.json'), 'file-not-found', /no\/such\.json/);
  await refuses(() => findStudy('paper', { trace: 'no.csv' }), 'file-not-found', /no\.csv/);
  const example = join(SCRATCH, 'x.json');
  await refuses(() => findStudy(example, { seeds: 2 }), 'usage', /--trace and --seeds belong to/);
});

test.run();
