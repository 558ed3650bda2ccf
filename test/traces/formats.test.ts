import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { detectFormat } from '../../traces/detect.ts';
import { loadTrace } from '../../traces/load.ts';
import type { Trace } from '../../traces/trace.ts';
import { testOnTrace } from '../skip.ts';
import { counts, load, rowsOf } from './rows.ts';
import { dataFile, put, refuses, scratchFolder } from './scratch.ts';

const folder = scratchFolder();
const MINUTE_MS = 60_000;
const SECONDS = { timeUnit: 'seconds', startPadMs: 0 } as const;

test('tiresias: a session starts where a cell is submitted before the last has ended', async () => {
  const { trace, notes, format } = await load('tiresias-small.csv', SECONDS);
  assert.is(format, 'tiresias');
  assert.equal(notes, []);
  // The first session opens at 50 s, which becomes 0.
  assert.equal(rowsOf(trace), [
    {
      id: 's00002',
      startMs: 0,
      endMs: 1_553_000,
      gpus: 4,
      cells: [
        [0, 1_000, 4],
        [1_550_000, 3_000, 4],
      ],
    },
    {
      id: 's00001',
      startMs: 50_000,
      endMs: 260_000,
      gpus: 4,
      cells: [
        [50_000, 5_000, 1],
        [55_000, 2_000, 1],
        [250_000, 10_000, 4],
      ],
    },
    { id: 's00003', startMs: 1_552_000, endMs: 1_555_000, gpus: 0, cells: [[1_552_000, 3_000, 0]] },
  ]);
});

test('tiresias: pads, cuts at idle gaps and at changes of the GPU count', async () => {
  const padded = await load('tiresias-small.csv', {
    ...SECONDS,
    startPadMs: 30_000,
    endPadMs: 7_000,
  });
  const first = rowsOf(padded.trace)[0]!;
  assert.equal([first.startMs, first.endMs, first.cells[0]], [0, 1_590_000, [30_000, 1_000, 4]]);
  const gap = await load('tiresias-small.csv', { ...SECONDS, splitGapHours: 0.4 });
  assert.is(gap.trace.sessions.count, 4);
  const gpus = await load('tiresias-small.csv', { ...SECONDS, splitOnGpuChange: true });
  assert.equal(
    rowsOf(gpus.trace).map(({ gpus, cells }) => [gpus, cells.length]),
    [
      [4, 2],
      [1, 2],
      [4, 1],
      [0, 1],
    ],
  );
  const both = await load('tiresias-small.csv', {
    ...SECONDS,
    splitGapHours: 0.4,
    endPadMs: 5_000,
  });
  for (const { endMs, cells } of rowsOf(both.trace)) {
    const [submit, duration] = cells.at(-1)!;
    assert.is(endMs, submit + duration + 5_000);
  }
});

test('tiresias: minutes get one seeded offset a session', async () => {
  const one = await load('tiresias-small.csv', { seed: 1 });
  const again = await load('tiresias-small.csv', { seed: 1 });
  const other = await load('tiresias-small.csv', { seed: 2 });
  assert.is(one.trace.hash, again.trace.hash);
  assert.is.not(one.trace.hash, other.trace.hash);
  const offsets = new Set<number>();
  for (const { startMs, cells } of rowsOf(one.trace)) {
    assert.is(cells[0]![0] - startMs, 2 * MINUTE_MS);
    for (const [submit, duration] of cells) {
      assert.is((submit - cells[0]![0]) % MINUTE_MS, 0);
      assert.is(duration % MINUTE_MS, 0);
    }
    offsets.add(startMs % MINUTE_MS);
  }
  assert.is(offsets.size, 3);
});

test('template: both dialects', async () => {
  const api = await load('template-api.json');
  assert.equal([api.format, api.seed, api.trace.name], ['template', 11, 'api dialect']);
  assert.equal(rowsOf(api.trace), [
    {
      id: 'a',
      startMs: 0,
      endMs: 40 * MINUTE_MS,
      gpus: 2,
      cells: [
        [180_000, 120_000, 1],
        [600_000, 300_000, 2],
      ],
    },
    { id: 'idle, with "quotes" and ]', startMs: 300_000, endMs: 360_000, gpus: 0, cells: [] },
  ]);
  const { cells, sessions, shapes, gpuTypes } = api.trace;
  assert.equal([...cells.utilizationPct], [30, 81]);
  assert.equal(shapes[cells.shape[1]!], {
    cpuMillis: 8000,
    memoryMb: 20000,
    gpuMillis: 2000,
    vramMb: 16500,
  });
  assert.equal(shapes[sessions.shape[0]!]!.vramMb, 20000);
  assert.is(gpuTypes[sessions.gpuType[0]!], 'A100');
  assert.equal(counts(api.notes), {
    'sample-not-applied': 1,
    'timescale-ignored': 1,
    'storage-ignored': 1,
  });

  const form = await load('template-form.json');
  assert.equal([form.seed, form.trace.name], [7, 'form dialect']);
  // Without max_resource_request the maximum over the trainings; GPUs follow gpu_utilizations.
  const { shapes: list, sessions: own, models, datasets, cells: runs } = form.trace;
  assert.equal(list[own.shape[0]!], {
    cpuMillis: 4000,
    memoryMb: 32000,
    gpuMillis: 2000,
    vramMb: 16000,
  });
  assert.is(models[runs.model[0]!], 'BERT');
  assert.is(datasets[runs.dataset[1]!], 'IMDb');
  assert.equal(counts(form.notes), { 'gpu-count-differs': 1, 'timescale-ignored': 1 });
});

test('template: a sample is drawn only when asked for, by seed', async () => {
  const session = (i: number) => ({ id: `s${i}`, start_tick: 0, stop_tick: 1, trainings: [] });
  const sessions = Array.from({ length: 2_000 }, (_, i) => session(i));
  const path = put(
    join(folder, 'sample.json.gz'),
    gzipSync(JSON.stringify({ sessions, sessionsSamplePercentage: 0.25 })),
  );
  assert.is((await loadTrace(path)).trace.sessions.count, 2_000);
  const { trace, notes } = await loadTrace(path, { sample: true, seed: 3 });
  assert.ok(Math.abs(trace.sessions.count - 500) < 80, String(trace.sessions.count));
  assert.is(counts(notes)['session-not-sampled'], 2_000 - trace.sessions.count);
});

test('columns that the format does not know are named', async () => {
  const path = put(
    join(folder, 'extra.csv'),
    'job_id,colour,num_gpu,submit_time,duration\n1,red,1,0,1\n',
  );
  const { notes } = await loadTrace(path);
  assert.equal(counts(notes), { 'columns-ignored': 1 });
  assert.match(notes[0]!.message, /: colour$/);
});

test('fractions above one device round up and are counted', async () => {
  const path = put(
    join(folder, 'fractions.csv'),
    'job_id,num_gpu,submit_time,duration\n1,1.2,0,1\n2,0.4375,5,1\n3,2,9,1\n',
  );
  const { trace, notes } = await loadTrace(path, SECONDS);
  assert.equal(
    rowsOf(trace)[0]!.cells.map(([, , gpus]) => gpus),
    [2, 0.438, 2],
  );
  assert.equal(counts(notes), { 'gpu-fraction-rounded-up': 2 });
  assert.match(notes[0]!.first, /fractions\.csv:2:num_gpu$/);
});

test('oversized cells are refused, dropped or clipped, with counts and GPU-hours', async () => {
  const hostTypes = [
    {
      name: 'h',
      gpus: 8,
      cpuMillis: 64_000,
      memoryMb: 488_000,
      vramMb: 128_000,
      gpuType: '',
      speed: 1,
      maxHosts: 9,
      pricePerHour: 1,
    },
  ];
  const path = put(
    join(folder, 'oversize.csv'),
    'job_id,num_gpu,submit_time,duration\n1,16,0,3600\n2,2,4000,10\n3,12,100,1800\n',
  );
  const options = { ...SECONDS, hostTypes };
  await refuses(
    () => loadTrace(path, options),
    'trace-oversize',
    /cell 0 of session "s00001" needs 16 GPUs.*largest host has 8 GPUs.*\(2 such cells\)/,
  );
  const dropped = await loadTrace(path, { ...options, oversize: 'drop' });
  assert.equal(rowsOf(dropped.trace), [
    { id: 's00001', startMs: 0, endMs: 4_010_000, gpus: 2, cells: [[4_000_000, 10_000, 2]] },
  ]);
  assert.equal(counts(dropped.notes), { 'oversize-dropped': 2, 'oversize-sessions-dropped': 1 });
  assert.match(
    dropped.notes[0]!.message,
    /22\.0 GPU-hours; jobs over several hosts are not supported/,
  );
  const clipped = await loadTrace(path, { ...options, oversize: 'clip' });
  assert.equal(
    rowsOf(clipped.trace).map(({ gpus, cells }) => [gpus, cells.length]),
    [
      [8, 2],
      [8, 1],
    ],
  );
  assert.match(clipped.notes[0]!.message, /10\.0 GPU-hours/);
  assert.equal(counts(clipped.notes), { 'oversize-clipped': 2 });
});

test('formats are told by content, packed or not, whatever the name', async () => {
  const cases = {
    'tiresias-small.csv': 'tiresias',
    'template-api.json': 'template',
    'template-form.json': 'template',
    'philly-small.csv': 'philly',
    'philly-jobs.json': 'philly',
    'openb-pods.csv': 'openb',
  };
  for (const [name, format] of Object.entries(cases)) {
    const path = put(join(folder, `told-${format}.dat`), gzipSync(readFileSync(dataFile(name))));
    assert.is(await detectFormat(path), format, name);
    const packed = await loadTrace(path, { name: 'n', source: 's' });
    const plain = await load(name, { name: 'n', source: 's' });
    assert.equal(packed.trace, plain.trace);
  }
});

testOnTrace(
  test,
  'tiresias.csv.gz',
  'the published trace has 344 sessions, 456 with GPU changes',
  async (path) => {
    const { trace, notes } = await loadTrace(path);
    assert.equal([trace.sessions.count, trace.cells.count, notes], [344, 100_131, []]);
    assert.is((await loadTrace(path, { splitOnGpuChange: true })).trace.sessions.count, 456);
    const hours = (t: Trace) =>
      Math.round(
        rowsOf(t).reduce(
          (sum, { gpus, startMs, endMs }) => sum + (gpus * (endMs - startMs)) / 3.6e9,
          0,
        ),
      );
    // Thousands of reserved GPU-hours: uncut, and cut at idle gaps above 24, 8 and 2 hours.
    const found = [hours(trace)];
    for (const splitGapHours of [24, 8, 2])
      found.push(hours((await loadTrace(path, { splitGapHours })).trace));
    assert.equal(found, [693, 277, 234, 218]);
  },
);

test.run();
