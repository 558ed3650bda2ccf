import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { vector } from '../../core/resources.ts';
import { TraceBuilder } from '../../traces/build.ts';
import { checkTrace } from '../../traces/check.ts';
import { loadTrace } from '../../traces/load.ts';
import { writeNativeTrace } from '../../traces/native-writer.ts';
import type { Trace } from '../../traces/trace.ts';
import { put, refuses, scratchFolder } from './scratch.ts';

const folder = scratchFolder();
const FILES = ['cells.csv', 'columns.bin', 'sessions.csv', 'trace.json'];
let made = 0;

const word = fc.oneof(
  fc.constant(''),
  fc.string({ unit: 'grapheme', maxLength: 6 }),
  fc.constantFrom('a,b', '"', 'x\ny'),
);
const shape = fc
  .tuple(fc.nat(9_000), fc.nat(9_000), fc.constantFrom(0, 460, 1000, 8000), fc.nat(9_000))
  .map(([cpu, memory, gpu, vram]) => vector(cpu, memory, gpu, vram));
const cell = fc.record({
  submitMs: fc.integer({ min: 0, max: 300_000 }),
  durationMs: fc.integer({ min: 0, max: 5_000_000_000 }),
  shape,
  utilizationPct: fc.constantFrom(0, 40, 100, 255),
  model: word,
  dataset: word,
  stateBytes: fc.constantFrom(-1, 0, 5e12),
});
const session = fc.record({
  id: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }),
  shape: fc.option(shape, { nil: undefined }),
  gpuType: word,
  user: word,
  cells: fc.array(cell, { maxLength: 6 }),
});
const traces = fc
  .uniqueArray(session, { selector: (s) => s.id, minLength: 1, maxLength: 6 })
  .map((sessions) => {
    const builder = new TraceBuilder();
    for (const { cells, shape: own, ...rest } of sessions) {
      const times = { startMs: 0, endMs: 300_000 + rest.id.length };
      const handle = builder.addSession({ ...rest, ...times, ...(own ? { shape: own } : {}) });
      for (const c of cells) builder.addCell({ session: handle, ...c });
    }
    return builder.build({ name: 'any "name"', source: 'drawn', licence: 'MIT', endMs: 400_000 });
  });

function small(): Trace {
  const builder = new TraceBuilder();
  for (const id of ['s1', 's2']) {
    const handle = builder.addSession({ id, startMs: 0, endMs: 1_000 });
    for (const submitMs of [100, 500])
      builder.addCell({ session: handle, submitMs, durationMs: 50, shape: vector(1, 2, 1000, 3) });
  }
  return builder.build({ name: 'small', source: 'test' });
}

function write(trace: Trace, seed?: number): string {
  const path = join(folder, `n${made++}`);
  writeNativeTrace(trace, path, { seed });
  return path;
}

function bytesOf(path: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(path).map((name) => [name, readFileSync(join(path, name)).toString('base64')]),
  );
}

test('what is written reads back equal, from either form, and writes the same bytes again', async () => {
  await fc.assert(
    fc.asyncProperty(traces, fc.nat(), async (trace, seed) => {
      const path = write(trace, seed);
      assert.equal(readdirSync(path).sort(), FILES);
      const quick = await loadTrace(path);
      assert.equal(quick.notes, []);
      assert.is(quick.seed, seed);
      assert.equal(quick.trace, trace);
      const before = bytesOf(path);
      rmSync(join(path, 'columns.bin'));
      const slow = await loadTrace(path);
      assert.equal(slow.trace, trace);
      const again = write(slow.trace, seed);
      assert.equal(bytesOf(again), before);
      for (const done of [path, again]) rmSync(done, { recursive: true });
    }),
    { seed: 41, numRuns: 60 },
  );
});

test('cells.csv is in order of (submission, session), with the documented columns', () => {
  const path = write(small());
  assert.is(
    readFileSync(join(path, 'cells.csv'), 'utf8'),
    [
      'session_id,cell_index,submit_ms,duration_ms,cpu_millis,memory_mb,gpus,vram_mb,gpu_utilization_pct,model,dataset,state_bytes',
      's1,0,100,50,1,2,1,3,,,,',
      's2,0,100,50,1,2,1,3,,,,',
      's1,1,500,50,1,2,1,3,,,,',
      's2,1,500,50,1,2,1,3,,,,',
      '',
    ].join('\n'),
  );
  const header = JSON.parse(readFileSync(join(path, 'trace.json'), 'utf8'));
  assert.equal(
    [header.format, header.version, header.counts, header.time_unit, header.seed],
    ['nbos-trace', 1, { sessions: 2, cells: 4 }, 'ms', null],
  );
});

test('binary columns that are damaged, foreign or newer are not used, and that is said', async () => {
  const trace = small();
  const foreign = write(new TraceBuilderOf('other').trace);
  const damage: Record<string, (bytes: Buffer) => Buffer> = {
    'not those of trace.json': () => readFileSync(join(foreign, 'columns.bin')),
    'not those of trace\\.json': (b) =>
      Buffer.from(b.map((x, i) => (i === b.length - 1 ? x ^ 1 : x))),
    'cut off|contradicts|not JSON': (b) => b.subarray(0, b.length - 9),
    'not a columns file': () => Buffer.from('garbage'),
    'longer than the file': (b) => b.subarray(0, 40),
    'version 2': (b) => Buffer.from(b.map((x, i) => (i === 8 ? 2 : x))),
  };
  for (const [why, change] of Object.entries(damage)) {
    const path = write(trace);
    const binary = join(path, 'columns.bin');
    put(binary, change(readFileSync(binary)));
    const { trace: read, notes } = await loadTrace(path);
    assert.equal(read, trace);
    assert.equal(
      notes.map(({ code }) => code),
      ['columns-file-unused'],
    );
    assert.match(notes[0]!.message, new RegExp(why));
    const { usable, findings } = await checkTrace(path);
    assert.ok(usable);
    assert.ok(findings.some(({ code }) => code === 'columns-file-differs'));
  }
});

/** A trace of one idle session. */
class TraceBuilderOf {
  readonly trace: Trace;
  constructor(id: string) {
    const builder = new TraceBuilder();
    builder.addSession({ id, startMs: 0, endMs: 1 });
    this.trace = builder.build({ name: id, source: 'test' });
  }
}

test('edited or damaged CSV files are refused, unless their sums are taken out', async () => {
  const path = write(small());
  const cells = join(path, 'cells.csv');
  const text = readFileSync(cells, 'utf8');
  writeFileSync(cells, text.replace('s1,1,500,50', 's1,1,500,51'));
  await refuses(
    () => loadTrace(path),
    'file-corrupt',
    /cells\.csv: its checksum is not that of trace\.json/,
  );
  writeFileSync(cells, text.slice(0, -30));
  await refuses(() => loadTrace(path), 'trace-bad-value', /cells\.csv:4:.*the row has 8 fields/);
  writeFileSync(cells, text.replace('s1,1,500,50', 's1,1,500,5000'));
  const header = join(path, 'trace.json');
  const { files: _files, hash: _hash, ...rest } = JSON.parse(readFileSync(header, 'utf8'));
  writeFileSync(header, JSON.stringify(rest));
  assert.is((await loadTrace(path)).trace.cells.durationMs[1], 5_000);
  const { usable, findings } = await checkTrace(path);
  assert.ok(usable);
  assert.equal(
    findings.map(({ code }) => code),
    ['no-checksums', 'columns-file-differs'],
  );
});

test('a copied folder, whose files have new dates, still loads from its binary columns', async () => {
  const trace = small();
  const path = write(trace);
  const copy = join(folder, 'copy');
  cpSync(path, copy, { recursive: true });
  const later = new Date(Date.now() + 60_000);
  for (const name of ['cells.csv', 'sessions.csv']) utimesSync(join(copy, name), later, later);
  const { trace: read, notes } = await loadTrace(copy);
  assert.equal(read, trace);
  assert.equal(notes, []);
  // Packed tables are read as tables.
  for (const name of ['cells.csv', 'sessions.csv']) {
    put(join(copy, `${name}.gz`), gzipSync(readFileSync(join(copy, name))));
    rmSync(join(copy, name));
  }
  assert.equal((await loadTrace(copy)).trace, trace);
});

test('a hand-written folder may leave out sums, claims and all dimensions but GPUs', async () => {
  const path = join(folder, 'by-hand');
  put(join(path, 'trace.json'), '{"format":"nbos-trace","version":1}');
  put(
    join(path, 'sessions.csv'),
    'session_id,start_ms,end_ms,cpu_millis,memory_mb,gpus,vram_mb,gpu_type,user_id\ns,0,100,,,,,T4,ann\n',
  );
  const cells = [
    'session_id,cell_index,submit_ms,duration_ms,cpu_millis,memory_mb,gpus,vram_mb,gpu_utilization_pct,model,dataset,state_bytes',
    's,1,60,5,,,2,,,,,',
    's,0,50,5,100,,0.5,,,,,',
  ];
  put(join(path, 'cells.csv'), cells.join('\n'));
  const { trace } = await loadTrace(path);
  assert.equal(trace.name, 'by-hand');
  assert.equal([...trace.cells.submitMs], [50, 60]);
  assert.equal(trace.shapes[trace.cells.shape[0]!], vector(100, 16_000, 500, 8_000));
  assert.equal(trace.shapes[trace.sessions.shape[0]!], vector(8_000, 32_000, 2_000, 32_000));
  const replace = (row: number, text: string) =>
    put(join(path, 'cells.csv'), cells.with(row, text).join('\n'));
  const bad: [string, Parameters<typeof refuses>[1], RegExp][] = [
    ['s,1,40,5,,,2,,,,,', 'trace-order', /cell 1 of session "s"/],
    [
      's,0,60,5,,,2,,,,,',
      'trace-duplicate',
      /cells\.csv:3:cell_index: cell 0 of session "s" exists twice/,
    ],
    [
      't,1,60,5,,,2,,,,,',
      'trace-bad-value',
      /cells\.csv:2:session_id: found "t"; expected a session/,
    ],
    ['s,1,60,-5,,,2,,,,,', 'trace-bad-value', /cells\.csv:2:duration_ms: found "-5"/],
    ['s,1,60,5,,,two,,,,,', 'trace-bad-value', /cells\.csv:2:gpus: found "two"/],
    [
      's,1,60,5,,,2,,101,,,',
      'trace-bad-value',
      /gpu_utilization_pct: found "101"; expected .* from 0 to 100/,
    ],
    ['s,1,101,5,,,2,,,,,', 'trace-order', /after the session closes at 100 ms/],
  ];
  for (const [text, code, message] of bad) {
    replace(1, text);
    await refuses(() => loadTrace(path), code, message);
  }
});

test('trace.json that is not ours, newer or wrong is refused', async () => {
  const path = write(small());
  const header = join(path, 'trace.json');
  const cases: [string, Parameters<typeof refuses>[1], RegExp][] = [
    ['{', 'file-corrupt', /trace\.json is not JSON/],
    ['3', 'file-corrupt', /is not an object/],
    ['{"format":"x"}', 'trace-bad-value', /"format" is "x"/],
    [
      '{"format":"nbos-trace","version":2}',
      'format-version',
      /version 2; this program reads up to 1/,
    ],
    [
      '{"format":"nbos-trace","version":1,"time_unit":"s"}',
      'trace-bad-value',
      /"time_unit" is "s"/,
    ],
    [
      '{"format":"nbos-trace","version":1,"counts":{"sessions":2,"cells":5}}',
      'file-corrupt',
      /row count/,
    ],
  ];
  for (const [text, code, message] of cases) {
    put(header, text);
    await refuses(() => loadTrace(path), code, message);
  }
});

test('an existing folder is kept unless it is a trace and may be replaced', async () => {
  const trace = small();
  const path = write(trace);
  await refuses(() => writeNativeTrace(trace, path), 'file-exists', /holds a trace/);
  writeNativeTrace(trace, path, { replace: true });
  assert.equal(readdirSync(path).sort(), FILES);
  const other = join(folder, 'other');
  put(join(other, 'thesis.txt'), 'x');
  await refuses(
    () => writeNativeTrace(trace, other, { replace: true }),
    'file-exists',
    /is no trace folder/,
  );
  const file = put(join(folder, 'file'), 'x');
  await refuses(() => writeNativeTrace(trace, file), 'file-exists', /is a file/);
  const empty = join(folder, 'empty');
  mkdirSync(empty);
  writeNativeTrace(trace, empty);
  assert.equal(readdirSync(empty).sort(), FILES);
  await refuses(
    () => writeNativeTrace(trace, join(file, 'below')),
    'file-unwritable',
    /cannot be written/,
  );
  assert.equal(
    readdirSync(dirname(path)).filter((name) => name.includes('.tmp-')),
    [],
  );
});

test('a folder that may not be written is refused, and nothing is left', async () => {
  const locked = join(folder, 'locked');
  mkdirSync(locked);
  chmodSync(locked, 0o500);
  // Root writes everywhere; there the file system itself has to refuse.
  const target = process.getuid?.() === 0 ? '/proc/nbos-trace' : join(locked, 't');
  await refuses(() => writeNativeTrace(small(), target), 'file-unwritable', /cannot be written/);
  assert.not.ok(existsSync(target));
});

test.run();
