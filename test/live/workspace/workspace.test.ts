// time-limit: 600 s
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testWithPart } from '../../skip.ts';
import type { NotebookClient } from '../e2e/notebook-client.ts';
import { missingKernel } from '../e2e/parts.ts';
import { System } from '../e2e/system.ts';
import { MISSING_PYTHON, PYTHON } from '../kernel/kernel-kit.ts';
import { buildWheels, environment, fromWheels } from './package-kit.ts';

const test = suite<Record<string, never>>('one workspace for all replicas');
const missing = missingKernel || MISSING_PYTHON;
const scratch = mkdtempSync(join(tmpdir(), 'nbs-'));
const workspace = join(scratch, 'notebooks');
const wheels = join(scratch, 'wheels');
let system: System;

test.before(async () => {
  if (missing !== '') return;
  mkdirSync(join(workspace, 'project'), { recursive: true });
  writeFileSync(join(workspace, 'project', 'data.csv'), '1,2,3\n');
  buildWheels(wheels, ['1.0', '2.0']);
  environment(join(workspace, '.venv'));
  system = await System.up(['--workspace', workspace, '--python', PYTHON.path]);
});
test.after(async () => {
  if (missing === '') assert.equal(await system.stop(), [], 'processes left behind');
  rmSync(scratch, { recursive: true, force: true });
});

function live(name: string, body: () => Promise<void>): void {
  testWithPart(test, missing, name, body);
}

async function ran(client: NotebookClient, code: string): Promise<string> {
  const { reply, text } = await client.run(code, { limitMs: 60_000 });
  assert.is(reply['status'], 'ok', text);
  return text;
}

/** Ends the executor's process as a crash would; the next cell runs elsewhere or in a fresh one. */
async function killExecutor(kernel: string): Promise<void> {
  const { executor, replicas } = await system.kernel(kernel);
  const { pid } = replicas.find(({ id }) => id === executor)!;
  process.kill(pid, 'SIGKILL');
  await system.until('another process', async () => {
    const now = await system.kernel(kernel);
    return now.replicas.every((replica) => replica.pid !== pid);
  });
}

/** Has the next cell run on another host than the last one. */
async function moved(kernel: string, client: NotebookClient, code: string): Promise<string> {
  const before = (await system.kernel(kernel)).executor;
  await system.fault({ fault: 'move-every-cell', on: true });
  try {
    const text = await ran(client, code);
    assert.is.not((await system.kernel(kernel)).executor, before);
    return text;
  } finally {
    await system.fault({ fault: 'move-every-cell', on: false });
  }
}

const VERSION = 'import nbosdemo; print(nbosdemo.__version__)';

live('files and packages of a cell are there for the other replicas', async () => {
  const { id, client } = await system.notebook();
  assert.is(await ran(client, 'import os; print(os.getcwd())'), `${workspace}\n`);
  await ran(client, 'open("result.txt", "w").write("kept")');
  await ran(client, `%pip ${fromWheels(wheels, '1.0')}`);
  assert.is(await ran(client, VERSION), '1.0\n');
  await killExecutor(id);
  const code = `${VERSION}; print(open("result.txt").read())`;
  assert.is(await ran(client, code), '1.0\nkept\n');
  assert.is(await moved(id, client, code), '1.0\nkept\n');
});

live('after an upgrade no replica goes on with what it had loaded', async () => {
  const { id, client } = await system.notebook();
  await ran(client, `%pip ${fromWheels(wheels, '1.0')}`);
  mkdirSync(join(workspace, '.loaded'));
  await ran(client, 'import nbosdemo; thing = nbosdemo.Thing(); thing.x = 7');
  await moved(id, client, 'print(thing.made_by)');
  // Standbys take changes over a little later.
  await system.until('every replica has loaded it', async () => {
    const { replicas } = await system.kernel(id);
    return replicas.every(
      ({ pid, process }) => process === 'ready' && existsSync(join(workspace, '.loaded', `${pid}`)),
    );
  });
  const before = (await system.kernel(id)).replicas.map(({ pid }) => pid);
  await ran(client, `%pip ${fromWheels(wheels, '2.0')}`);
  const { executor } = await system.kernel(id);
  await system.until('fresh standbys', async () => {
    const { replicas } = await system.kernel(id);
    return replicas.every(
      ({ id: replica, pid, process }) =>
        replica === executor || (process === 'ready' && !before.includes(pid)),
    );
  });
  const text = await moved(id, client, 'print(nbosdemo.__version__, thing.x, thing.made_by)');
  assert.is(text, '2.0 7 2.0\n');
});

live("a kernel starts in its notebook's folder", async () => {
  const folder = join(workspace, 'project');
  const { client } = await system.notebook({ KERNEL_GPUS: '0', KERNEL_WORKING_DIR: folder });
  assert.is(await ran(client, 'print(open("data.csv").read())'), '1,2,3\n\n');
  const session = await system.json<{ kernel: { id: string } }>('/api/sessions', {
    method: 'POST',
    body: JSON.stringify({
      path: 'project/a.ipynb',
      name: 'a.ipynb',
      type: 'notebook',
      kernel: { name: 'python3' },
    }),
  });
  const other = await system.client(session.kernel.id);
  assert.is(await ran(other, '# nbos: gpus=0\nprint(open("data.csv").read())'), '1,2,3\n\n');
});

live('a folder that is not here is told once in the notebook', async () => {
  const env = { KERNEL_GPUS: '0', KERNEL_WORKING_DIR: '/home/nobody/elsewhere' };
  const { client } = await system.notebook(env);
  assert.match(await ran(client, '1'), /\/home\/nobody\/elsewhere is not on the kernels' machine/);
  assert.is(await ran(client, '2'), '2');
});

live('a virtual environment of the workspace has a kernel of its own', async () => {
  const { kernelspecs } = await system.json<{
    kernelspecs: Record<string, { spec: { display_name: string } }>;
  }>('/api/kernelspecs');
  assert.match(kernelspecs['venv']!.spec.display_name, /^Python 3\.\d+ \(\.venv\)$/);
  const { id } = await system.json<{ id: string }>('/api/kernels', {
    method: 'POST',
    body: JSON.stringify({ name: 'venv', env: { KERNEL_GPUS: '0' } }),
  });
  const client = await system.client(id);
  const prefix = join(workspace, '.venv');
  assert.is(await ran(client, 'import sys; print(sys.prefix)'), `${prefix}\n`);
  await ran(client, `!pip ${fromWheels(wheels, '2.0')}`);
  const code = 'import nbosdemo; print(nbosdemo.__file__.startswith(sys.prefix))';
  assert.is(await moved(id, client, code), 'True\n');
});

test.run();
