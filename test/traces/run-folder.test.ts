import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { CELL_COLUMNS, HOST_COLUMNS, SESSION_COLUMNS } from '../../core/record/columns.ts';
import { loadTrace } from '../../traces/load.ts';
import { RunFolder, readReport, readRun } from '../../traces/run-folder.ts';
import { put, refuses, scratchFolder } from './scratch.ts';

const folder = scratchFolder();

/** A row of a report: named values, the rest empty. */
function row(
  columns: readonly { readonly name: string }[],
  values: Record<string, string | number>,
) {
  return columns.map(({ name }) => values[name] ?? '');
}

function writeRun(path: string): RunFolder {
  const run = RunFolder.create(path);
  const cells = run.csv('cells.csv');
  const cell = {
    session_id: 'a',
    cpu_millis: 1,
    memory_mb: 2,
    gpus: 0.5,
    vram_mb: 3,
    status: 'completed',
  };
  // Cells end in another order than they are submitted.
  cells.row(
    row(CELL_COLUMNS, { ...cell, cell_index: 1, submit_ms: 900, duration_ms: 50, delay_ms: 7 }),
  );
  cells.row(row(CELL_COLUMNS, { ...cell, cell_index: 0, submit_ms: 100, duration_ms: 80 }));
  cells.row(
    row(CELL_COLUMNS, { ...cell, session_id: 'b', cell_index: 0, submit_ms: 500, duration_ms: 9 }),
  );
  cells.close();
  const sessions = run.csv('sessions.csv');
  sessions.row(
    row(SESSION_COLUMNS, { session_id: 'a', user_id: 'ann', start_ms: 50, end_ms: 2_000 }),
  );
  sessions.row(row(SESSION_COLUMNS, { session_id: 'b', start_ms: 60 }));
  sessions.close();
  return run;
}

test('a run is whole only with its run.json, which comes last', async () => {
  const path = join(folder, 'run');
  const run = writeRun(path);
  await refuses(() => readRun(path), 'run-incomplete', /has no run\.json/);
  run.finish({ seed: 7 });
  assert.equal(readRun(path), { format: 'nbos-run', version: 1, seed: 7 });
});

test('reports read back as columns', async () => {
  const path = join(folder, 'run');
  const cells = await readReport(path, 'cells.csv', ['session_id', 'delay_ms', 'gpus']);
  assert.is(cells.rows, 3);
  assert.equal(cells.texts('session_id'), ['a', 'a', 'b']);
  assert.equal([...cells.numbers('gpus')], [0.5, 0.5, 0.5]);
  assert.equal([...cells.numbers('delay_ms')], [7, Number.NaN, Number.NaN]);
  assert.throws(() => cells.numbers('tct_ms'), /was not read/);
  await refuses(
    () => readReport(path, 'hosts.csv'),
    'file-not-found',
    /hosts\.csv: it does not exist/,
  );
});

test('a finished run is a trace', async () => {
  const { trace, format } = await loadTrace(join(folder, 'run'));
  assert.is(format, 'run');
  assert.equal(trace.sessions.ids, ['a', 'b']);
  assert.equal([...trace.sessions.startMs], [50, 60]);
  // b was still open: it closes with its last cell.
  assert.equal([...trace.sessions.endMs], [2_000, 509]);
  assert.equal([...trace.cells.submitMs], [100, 900, 500]);
  assert.is(trace.users[trace.sessions.user[0]!], 'ann');
  const beside = await loadTrace(join(folder, 'run', 'cells.csv'));
  assert.is(beside.trace.hash, trace.hash);
});

test('a cells.csv alone is a trace whose sessions follow from its cells', async () => {
  const path = put(
    join(folder, 'alone', 'cells.csv'),
    'session_id,cell_index,submit_ms,duration_ms,cpu_millis,memory_mb,gpus,vram_mb\na,1,900,50,1,1,1,1\na,0,100,80,1,1,1,1\n',
  );
  const { trace, notes } = await loadTrace(path, { startPadMs: 40, endPadMs: 5 });
  assert.equal([trace.sessions.startMs[0], trace.sessions.endMs[0]], [0, 895]);
  assert.equal([...trace.cells.submitMs], [40, 840]);
  assert.equal(
    notes.map(({ code }) => code),
    ['session-times-derived'],
  );
});

test('a folder is cleared of an unfinished run, kept with a finished one, left alone otherwise', async () => {
  const path = join(folder, 'again');
  const first = writeRun(path);
  first.csv('hosts.csv').row(row(HOST_COLUMNS, {}));
  assert.ok(readdirSync(path).some((name) => name.startsWith('hosts.csv.tmp-')));
  const second = RunFolder.create(path);
  assert.equal(readdirSync(path), []);
  second.csv('hosts.csv');
  second.abort();
  assert.equal(readdirSync(path), []);
  writeRun(path).finish({});
  await refuses(() => RunFolder.create(path), 'file-exists', /holds a finished run/);
  RunFolder.create(path, { replace: true });
  assert.not.ok(existsSync(join(path, 'cells.csv')));
  put(join(path, 'thesis.tex'), '');
  await refuses(
    () => RunFolder.create(path, { replace: true }),
    'file-exists',
    /"thesis\.tex", which is no part/,
  );
});

test('a run.json that is not ours or newer is refused', async () => {
  const path = join(folder, 'strange');
  const file = join(path, 'run.json');
  put(file, '{');
  await refuses(() => readRun(path), 'file-corrupt', /run\.json cannot be read/);
  put(file, '{"format":"x"}');
  await refuses(() => readRun(path), 'file-corrupt', /is not that of a run/);
  put(file, '{"format":"nbos-run","version":2}');
  await refuses(() => readRun(path), 'format-version', /version 2/);
  await refuses(() => readRun(file), 'file-not-found', /is not a folder/);
});

test.run();
