import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { seesMark } from '../../../live/agent/workspace-sight.ts';

const folder = mkdtempSync(join(tmpdir(), 'nbw-'));
const MARK = '.nbos-doctor-0123456789ab';
test.after(() => rmSync(folder, { recursive: true, force: true }));

test('a mark is seen, also one that takes a moment to come', async () => {
  const looking = seesMark(folder, MARK);
  setTimeout(() => writeFileSync(join(folder, MARK), ''), 150);
  assert.equal(await looking, { sees: 'yes' });
});

test('a mark that is not there, and a host without the folder', async () => {
  assert.equal(await seesMark(folder, '.nbos-doctor-ffffffffffff'), { sees: 'no' });
  assert.equal(await seesMark(join(folder, 'none'), MARK), { sees: 'unknown' });
  assert.equal(await seesMark(undefined, MARK), { sees: 'unknown' });
});

test('nothing but marks is looked for', async () => {
  for (const name of ['notes.txt', `../${MARK}`, `${MARK}/..`, '']) {
    const code = await seesMark(folder, name).catch((error: { code: string }) => error.code);
    assert.is(code, 'request-invalid');
  }
});

test.run();
