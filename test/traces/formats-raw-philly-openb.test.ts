import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadTrace } from '../../traces/load.ts';
import { testOnTrace } from '../skip.ts';
import { counts, load, rowsOf } from './rows.ts';
import { dataFile, put, refuses, scratchFolder } from './scratch.ts';

const folder = scratchFolder();

test('raw: cells are runs of busy samples, sessions end when samples stay away', async () => {
  const { trace, notes, format } = await load('raw-small');
  assert.is(format, 'raw');
  assert.equal(rowsOf(trace), [
    {
      id: 'a',
      startMs: 0,
      endMs: 165_000,
      gpus: 2,
      cells: [
        [15_000, 75_000, 1],
        [135_000, 15_000, 2],
      ],
    },
    { id: 'b', startMs: 15_000, endMs: 45_000, gpus: 1, cells: [[30_000, 15_000, 1]] },
    { id: 'a.2', startMs: 315_000, endMs: 345_000, gpus: 0, cells: [] },
  ]);
  assert.equal([...trace.cells.utilizationPct], [50, 20, 90]);
  assert.equal(counts(notes), { 'values-ignored': 1, 'interval-inferred': 1 });
});

test('raw: threshold, bridge and interval are options; the order of rows does not matter', async () => {
  const strict = await load('raw-small', { rawThresholdPct: 40, rawBridgeSamples: 0 });
  assert.equal(rowsOf(strict.trace)[0]!.cells, [[15_000, 30_000, 1]]);
  const bridged = await load('raw-small', { rawBridgeSamples: 3 });
  assert.equal(rowsOf(bridged.trace)[0]!.cells, [[15_000, 135_000, 2]]);
  const patient = await load('raw-small', { rawCpuMissing: 11 });
  assert.is(rowsOf(patient.trace).length, 2);
  const [header, ...lines] = readFileSync(dataFile('raw-small/gpu.csv'), 'utf8')
    .trimEnd()
    .split('\n');
  const home = join(folder, 'raw');
  put(join(home, 'gpu.csv.gz'), gzipSync([header, ...lines.reverse()].join('\n')));
  for (const name of ['cpu.csv', 'memory.csv'])
    put(join(home, name), readFileSync(dataFile(`raw-small/${name}`)));
  const shuffled = await loadTrace(home);
  assert.is(shuffled.trace.hash, (await load('raw-small')).trace.hash);
  put(join(home, 'gpu.csv'), [header, ...lines, lines[0]].join('\n'));
  await refuses(() => loadTrace(home), 'trace-duplicate', /pod "[ab]" has two samples at/);
});

test('philly: the CSV, and the job log with attempts and users', async () => {
  const csv = await load('philly-small.csv');
  assert.is(csv.format, 'philly');
  assert.equal(rowsOf(csv.trace), [
    { id: 'job-000002', startMs: 0, endMs: 2_951_500, gpus: 16, cells: [[0, 2_951_500, 16]] },
    {
      id: 'job-000001',
      startMs: 2_932_000,
      endMs: 2_998_000,
      gpus: 1,
      cells: [[2_932_000, 66_000, 1]],
    },
    {
      id: 'job-000003',
      startMs: 64_017_000,
      endMs: 64_017_000,
      gpus: 0,
      cells: [[64_017_000, 0, 0]],
    },
  ]);
  assert.equal(
    Array.from(csv.trace.sessions.user, (u) => csv.trace.users[u]),
    ['6214e9', '11cb48', '6214e9'],
  );

  const log = await load('philly-jobs.json');
  assert.is(log.format, 'philly');
  // Ten minutes in the old queue are taken out.
  assert.equal(rowsOf(log.trace), [
    {
      id: 'application_1',
      startMs: 0,
      endMs: 4_832_000,
      gpus: 2,
      cells: [
        [0, 600_000, 2],
        [1_232_000, 3_600_000, 2],
      ],
    },
  ]);
  assert.equal(counts(log.notes), {
    'multi-host-job': 1,
    'attempt-without-times': 1,
    'job-never-ran': 1,
  });
});

test('openb: pods become sessions of one cell, nodes become host types', async () => {
  const nodes = dataFile('openb-nodes.csv');
  const { trace, notes, hostTypes, format } = await load('openb-pods.csv', { nodes });
  assert.is(format, 'openb');
  assert.equal(rowsOf(trace), [
    { id: 'p-2', startMs: 0, endMs: 250_000, gpus: 2, cells: [[0, 250_000, 2]] },
    { id: 'p-3', startMs: 10_000, endMs: 40_000, gpus: 0, cells: [[10_000, 30_000, 0]] },
    { id: 'p-5', startMs: 20_000, endMs: 24_000, gpus: 1, cells: [[20_000, 4_000, 1]] },
    { id: 'p-1', startMs: 50_000, endMs: 300_000, gpus: 0.46, cells: [[50_000, 250_000, 0.46]] },
  ]);
  assert.is(trace.gpuTypes[trace.sessions.gpuType[0]!], 'V100M16');
  assert.equal(counts(notes), { 'pod-unscheduled': 1, 'gpu-spec-alternatives': 1 });
  const named = hostTypes!.map(({ name, gpus, maxHosts, gpuType }) => [
    name,
    gpus,
    maxHosts,
    gpuType,
  ]);
  assert.equal(named, [
    ['P100-x2', 2, 2, 'P100'],
    ['G2-x8', 8, 1, 'G2'],
    ['P100-x2-2', 2, 1, 'P100'],
  ]);
});

testOnTrace(test, 'philly.csv.gz', 'the published Philly jobs', async (path) => {
  const { trace } = await loadTrace(path);
  assert.equal(
    [trace.sessions.count, trace.cells.count, trace.users.length - 1],
    [82_247, 82_247, 15],
  );
});

testOnTrace(test, 'openb_pods.csv.gz', 'the published pods', async (path) => {
  const { trace, notes } = await loadTrace(path);
  assert.is(trace.cells.count + counts(notes)['pod-unscheduled']!, 8_152);
});

test.run();
