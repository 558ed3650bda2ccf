import { chmod, mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { contentOf, contentOfFile } from '../../../live/stores/checked-content.ts';
import { CheckedStore } from '../../../live/stores/checked-store.ts';
import { FileStore } from '../../../live/stores/file-store.ts';
import { rejects, storeContract } from './contract.ts';

const root = await mkdtemp(join(tmpdir(), 'nbos-store-'));
let made = 0;

test.after(() => rm(root, { recursive: true, force: true }));

storeContract(test, {
  name: 'file',
  missing: '',
  open: async () => new FileStore(join(root, `s${++made}`, 'deep')),
});

test('a file of the same disk is stored by a second name', async () => {
  const path = join(root, 'source');
  const { sha256 } = contentOf(Buffer.from('a blob'));
  await writeFile(path, 'a blob');
  const folder = join(root, 'linked');
  const store = new CheckedStore(new FileStore(folder));
  for (const mode of ['create', 'create', 'replace', 'replace'] as const)
    await store.put('k/blob', contentOfFile(path, 6, sha256), mode);
  assert.is((await stat(join(folder, 'k/blob'))).ino, (await stat(path)).ino);
  await rm(path);
  assert.is(String(await store.readWhole('k/blob', sha256)), 'a blob');
  assert.equal(await readdir(join(folder, '.parts')), []);
});

test('empty folders go with their last object; old parts of processes that died go', async () => {
  const folder = join(root, 'tidy');
  await mkdir(join(folder, '.parts'), { recursive: true });
  for (const [name, hours] of Object.entries({ old: 2, fresh: 0 })) {
    await writeFile(join(folder, '.parts', name), 'half');
    const at = Date.now() / 1000 - hours * 3600;
    await utimes(join(folder, '.parts', name), at, at);
  }
  const store = new CheckedStore(new FileStore(folder));
  await store.put('a/b/c', contentOf(Buffer.from('x')));
  await store.put('a/d', contentOf(Buffer.from('x')));
  assert.equal(await readdir(join(folder, '.parts')), ['fresh']);
  await store.remove(['a/b/c']);
  assert.equal(await readdir(join(folder, 'a')), ['d']);
  await store.put('a/b/e', contentOf(Buffer.from('x')));
  await store.remove(['a/b/e', 'a/d']);
  assert.equal((await readdir(folder)).sort(), ['.parts']);
});

test('a place that is no folder is told of', async () => {
  await writeFile(join(root, 'plain'), 'x');
  const limits = { tries: 1 };
  const store = new CheckedStore(new FileStore(join(root, 'plain', 'sub')), limits);
  await rejects(store.put('k/x', contentOf(Buffer.from('x'))), 'store-unreachable');
  if (process.getuid?.() === 0) return;
  await mkdir(join(root, 'closed'));
  await chmod(join(root, 'closed'), 0o500);
  const closed = new CheckedStore(new FileStore(join(root, 'closed')), limits);
  await rejects(closed.put('k/x', contentOf(Buffer.from('x'))), 'store-denied');
});

test.run();
