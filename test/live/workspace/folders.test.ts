import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { kernelFolder } from '../../../live/gateway/folders.ts';
import { Client, create, startKit, stopKit } from '../gateway/brain-kit.ts';

const workspace = mkdtempSync(join(tmpdir(), 'nbf-'));
mkdirSync(join(workspace, 'a', 'b'), { recursive: true });
writeFileSync(join(workspace, 'file'), '');

async function folder(wished: string, path: string): Promise<string> {
  const { cwd, notice } = await kernelFolder(wished, path, workspace);
  assert.is(notice, '', `${wished} ${path}`);
  return cwd;
}

test("the notebook's folder is where its kernel starts", async () => {
  assert.is(await folder('', ''), workspace);
  assert.is(await folder('', 'n.ipynb'), workspace);
  assert.is(await folder('', 'a/b/n.ipynb'), join(workspace, 'a', 'b'));
  assert.is(await folder(join(workspace, 'a'), 'n.ipynb'), join(workspace, 'a'));
  assert.is(await folder('a/b', ''), join(workspace, 'a', 'b'));
  // Outside of the workspace, but on this machine.
  assert.is(await folder(tmpdir(), ''), tmpdir());
});

test('a path never leads out of the workspace', async () => {
  assert.is(await folder('', '../../etc/n.ipynb'), workspace);
  assert.is(await folder('', `/../${basename(workspace)}x/n.ipynb`), workspace);
});

test('the same workspace elsewhere is found by its name', async () => {
  const elsewhere = join('/home/nobody', basename(workspace));
  assert.is(await folder(join(elsewhere, 'a', 'b'), ''), join(workspace, 'a', 'b'));
  assert.is(await folder(elsewhere, ''), workspace);
});

test('a folder that is not there is told, with the way out', async () => {
  for (const wished of ['/home/nobody/work', join(workspace, 'file'), join(workspace, 'no')]) {
    const { cwd, notice } = await kernelFolder(wished, '', workspace);
    assert.is(cwd, workspace);
    assert.match(notice, new RegExp(`${wished} is not on .*${workspace}.*--workspace`));
  }
  assert.match((await kernelFolder('', 'c/n.ipynb', workspace)).notice, /\/c is not on/);
});

test('it is told once, under the first cell that counts', async () => {
  const kit = startKit();
  try {
    const kernel = await create(kit, { KERNEL_WORKING_DIR: '/home/nobody/work' });
    const client = new Client('s').attach(kit.brain, kernel);
    const hidden = client.run('print 1', {}, { store_history: false });
    await client.reply(hidden);
    const first = client.run('print 1');
    const second = client.run('print 1');
    await client.reply(second);
    const told = [hidden, first, second].map((id) => {
      const texts = client.of(id, 'stream').map(({ text }) => String(text));
      return texts.filter((text) => text.includes('/home/nobody/work')).length;
    });
    assert.equal(told, [0, 1, 0]);
  } finally {
    stopKit(kit);
  }
});

test.after(() => rmSync(workspace, { recursive: true, force: true }));
test.run();
