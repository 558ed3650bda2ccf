import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkTrace } from '../../traces/check.ts';
import { NATIVE_CELL_COLUMNS, NATIVE_SESSION_COLUMNS } from '../../traces/native-header.ts';
import { testOnTrace } from '../skip.ts';
import { dataFile, put, scratchFolder } from './scratch.ts';

const folder = scratchFolder();

async function found(path: string): Promise<Record<string, number>> {
  const { findings } = await checkTrace(path);
  return Object.fromEntries(findings.map(({ code, count }) => [code, count]));
}

test('overlaps, repeats, idle sessions and empty cells are counted, with the first place', async () => {
  const path = join(folder, 'odd');
  put(join(path, 'trace.json'), '{"format":"nbos-trace","version":1}');
  put(
    join(path, 'sessions.csv'),
    `${NATIVE_SESSION_COLUMNS.join(',')}\na,0,900,,,,,,\nb,0,900,,,,,,\n`,
  );
  const cells = ['a,0,10,100', 'a,1,50,100', 'a,2,60,0', 'a,3,400,5', 'a,4,400,5'];
  put(
    join(path, 'cells.csv'),
    `${NATIVE_CELL_COLUMNS.join(',')}\n${cells.map((cell) => `${cell},,,1,,,,,\n`).join('')}`,
  );
  const { usable, findings } = await checkTrace(path);
  assert.ok(usable);
  assert.equal(
    findings.map(({ code, count, first }) => [code, count, first]),
    [
      ['no-checksums', 1, path],
      ['overlap', 3, 'cell 1 of session "a"'],
      ['zero-duration', 1, 'cell 2 of session "a"'],
      ['repeated-cell', 1, 'cell 4 of session "a"'],
      ['session-without-cells', 1, '"b"'],
    ],
  );
});

test('a clean trace has no finding; what cannot be read has one error', async () => {
  assert.equal(await found(dataFile('tiresias-small.csv')), {});
  const { usable, findings, trace } = await checkTrace(join(folder, 'absent'));
  assert.equal([usable, findings.length, trace], [false, 1, undefined]);
  assert.equal([findings[0]!.severity, findings[0]!.code], ['error', 'file-not-found']);
});

test('a timer is told from people', async () => {
  const rows = Array.from({ length: 300 }, (_, i) => `${i},1,${i * 600},5`);
  const path = put(
    join(folder, 'timer.csv'),
    `job_id,num_gpu,submit_time,duration\n${rows.join('\n')}`,
  );
  const { findings } = await checkTrace(path, { timeUnit: 'seconds' });
  assert.ok(findings.some(({ code, message }) => code === 'cron-like' && /600 s/.test(message)));
});

testOnTrace(test, 'philly.csv.gz', 'virtual cluster 11cb48 of Philly is a timer', async (path) => {
  const { findings } = await checkTrace(path);
  const cron = findings.find(({ code }) => code === 'cron-like');
  assert.match(cron!.message, /11cb48/);
});

test.run();
