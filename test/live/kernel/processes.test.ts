import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { NbosError } from '../../../core/errors.ts';
import { endLeftovers } from '../../../live/agent/kernel/leftovers.ts';
import { startTime } from '../../../live/agent/kernel/process.ts';
import { KernelFactory } from '../../../live/agent/kernel/processes.ts';
import { pickRecord } from '../../../live/agent/kernel/records.ts';
import type { PooledOptions } from '../../../live/agent/kernel/runtime.ts';
import { testWithPart } from '../../skip.ts';
import {
  cellOf,
  contentOf,
  isAlive,
  MISSING_PYTHON,
  metaOf,
  quietHost,
  seen,
  TestKernel,
} from './kernel-kit.ts';

const folder = mkdtempSync(join(tmpdir(), 'nbp-'));

function pooledOptions(name: string): PooledOptions {
  const { argv, hashSeed, language } = metaOf(folder);
  const directory = join(folder, name);
  const fields = { pooled: name, spec: 'python3', niced: true, orphanMs: 15_000 };
  return { ...fields, language, argv, hashSeed, directory };
}

testWithPart(test, MISSING_PYTHON, 'a pooled process becomes a kernel', async () => {
  const factory = new KernelFactory(quietHost(folder));
  const pooled = await factory.startPooled(pooledOptions('p1'));
  const pid = pooled.pid;
  const cwd = join(folder, 'notebooks');
  mkdirSync(cwd);
  const meta = metaOf(cwd, { env: { KERNEL_X: 'of the client' } });
  const options = { meta, directory: join(folder, 'k1'), blobs: join(folder, 'b1') };
  const runtime = factory.make({ ...options, niced: false, orphanMs: 15_000 }, pooled);
  await runtime.start();
  assert.is(runtime.pid, pid);
  let printed = '';
  runtime.onMessage = (channel, message) => {
    const { type, content } = seen(channel, message);
    if (type === 'stream') printed += content['text'];
  };
  await runtime.run(cellOf(1, "import os; print(os.getcwd(), os.environ['KERNEL_X'])", meta));
  assert.is(printed, `${cwd} of the client\n`);
  await pooled.stop();
  assert.ok(isAlive(pid));
  await runtime.stop();
  assert.not(isAlive(pid));
  assert.not(existsSync(join(folder, 'p1')));
});

testWithPart(test, MISSING_PYTHON, 'a pooled process that does not fit is not used', async () => {
  const factory = new KernelFactory(quietHost(folder));
  const pooled = await factory.startPooled(pooledOptions('p2'));
  const pid = pooled.pid;
  const meta = metaOf(folder, { hashSeed: 8 });
  const options = { meta, directory: join(folder, 'k2'), blobs: join(folder, 'b2') };
  const runtime = factory.make({ ...options, niced: false, orphanMs: 15_000 }, pooled);
  await runtime.start();
  assert.is.not(runtime.pid, pid);
  assert.not(isAlive(pid));
  await runtime.stop(true);
});

testWithPart(
  test,
  MISSING_PYTHON,
  'a program that is not there, or ends, fails the start',
  async () => {
    const starts = async (kernel: TestKernel): Promise<string> => {
      const outcome = await kernel.runtime.start().catch((error: Error) => error);
      await kernel.stop();
      assert.is(kernel.exit, '');
      const { code, message } = outcome as NbosError;
      return `${code}: ${message}`;
    };
    const argv = ['/no/such/python', '{connection_file}'];
    assert.match(
      await starts(new TestKernel({ argv })),
      /kernel-failed.*\/no\/such\/python.*ENOENT/,
    );
    const ends = ['sh', '-c', 'echo no module named ipykernel >&2; exit 3'];
    assert.match(
      await starts(new TestKernel({ argv: ends })),
      /kernel-failed.*exit code 3.*no module named ipykernel/,
    );
  },
);

testWithPart(
  test,
  MISSING_PYTHON,
  'without its folder a kernel starts in the workspace',
  async () => {
    const kernel = new TestKernel({ cwd: '/no/such/folder' });
    try {
      await kernel.runtime.start();
      await kernel.run('import os; print(os.getcwd())');
      assert.is(kernel.printed(), `${kernel.folder}\n`);
    } finally {
      await kernel.stop();
    }
  },
);

testWithPart(test, MISSING_PYTHON, 'a kernel of another language runs without helper', async () => {
  const kernel = new TestKernel({ language: 'other' });
  try {
    await kernel.runtime.start();
    const { delta, reply, helperError } = await kernel.run('x = 1');
    assert.is(contentOf(reply)['status'], 'ok');
    assert.is(helperError, '');
    assert.equal(delta!.units, []);
    assert.is(await kernel.runtime.collect(), null);
  } finally {
    await kernel.stop();
  }
});

test('what an agent left is ended, a stranger with the number is not', async () => {
  const root = join(folder, 'left');
  const start = (): number => {
    const child = spawn('sleep', ['100'], { detached: true, stdio: 'ignore' });
    child.unref();
    return child.pid!;
  };
  const [ours, stranger] = [start(), start()];
  const write = async (name: string, pid: number, startedAt?: string): Promise<void> => {
    mkdirSync(join(root, name), { recursive: true });
    const record = { v: 1, pid, startedAt: startedAt ?? (await startTime(pid)) };
    writeFileSync(join(root, name, 'pid'), JSON.stringify(record));
  };
  await write('a', ours);
  await write('b', stranger, '1');
  mkdirSync(join(root, 'c'));
  writeFileSync(join(root, 'c', 'pid'), 'garbage');
  assert.equal(await endLeftovers(root), [ours]);
  for (let i = 0; i < 3000 && isAlive(ours); i++) await new Promise((r) => setTimeout(r, 10));
  assert.not(isAlive(ours));
  assert.ok(isAlive(stranger));
  assert.not(existsSync(join(root, 'a')));
  process.kill(stranger, 'SIGKILL');
});

test('records that are damaged or strange are refused', async () => {
  const spool = join(folder, 'spool');
  const folders = { spool, shown: folder, blobs: folder };
  mkdirSync(spool);
  const blob = { hash: '../../etc/passwd', bytes: 1, mac: 'x' };
  const unit = { id: 'u', version: 1, kind: 'names', names: [], skeleton: blob, buffers: [] };
  const delta = { units: [unit], dropped: [], unreplicated: [], pinned: [], stateBytes: 0 };
  const wrong = ['{', '{"v":2}', JSON.stringify({ v: 1, delta }), '{"v":1,"delta":{}}'];
  for (const text of wrong) {
    writeFileSync(join(spool, 'r.json'), text);
    const outcome = await pickRecord(folders, 'r').catch((error: Error) => error);
    assert.instance(outcome, Error, text);
  }
  assert.is(await pickRecord(folders, 'none'), undefined);
});

test('links in place of a record or of a buffer are not followed', async () => {
  const spool = join(folder, 'linked');
  const blobs = join(folder, 'host');
  const folders = { spool, shown: blobs, blobs };
  mkdirSync(spool);
  mkdirSync(blobs);
  const hash = 'ab'.repeat(32);
  const blob = { hash, bytes: 1, mac: 'x' };
  const unit = { id: 'u', version: 1, kind: 'names', names: [], skeleton: blob, buffers: [] };
  const delta = { units: [unit], dropped: [], unreplicated: [], pinned: [], stateBytes: 0 };
  writeFileSync(join(folder, 'secret'), JSON.stringify({ v: 1, delta: null }));
  symlinkSync(join(folder, 'secret'), join(spool, 'r.json'));
  assert.is(await pickRecord(folders, 'r'), undefined);
  writeFileSync(join(spool, 's.json'), JSON.stringify({ v: 1, delta }));
  symlinkSync(join(folder, 'secret'), join(spool, hash));
  const outcome = await pickRecord(folders, 's').catch((error: Error) => error.message);
  assert.match(String(outcome), /no file/);
  assert.not(existsSync(join(blobs, hash)));
  assert.ok(existsSync(join(folder, 'secret')));
});

test.after(() => rmSync(folder, { recursive: true, force: true }));
test.run();
