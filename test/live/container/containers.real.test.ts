// time-limit: 300 s
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { NbosError } from '../../../core/errors.ts';
import { lastLines } from '../../../live/agent/container/container-exit.ts';
import { KERNEL_ARGV, LABELS } from '../../../live/agent/container/names.ts';
import type { PooledOptions } from '../../../live/agent/kernel/runtime.ts';
import { PROJECT_ROOT, testWithPart } from '../../skip.ts';
import {
  containerIn,
  containerKernel,
  containersLeft,
  engineOf,
  factoryOf,
  MISSING,
  MISSING_OWN,
  ownMachine,
  stopEngine,
  untilSo,
  workspaceFolder,
} from './container-kit.ts';

const KIT = JSON.stringify(join(PROJECT_ROOT, 'test/live/container/container-kit.ts'));
const OTHER_USER = 1234;
const root = mkdtempSync(join(tmpdir(), 'nbc-'));

function pooledOptions(name: string): PooledOptions {
  return {
    pooled: name,
    spec: 'python3',
    language: 'python',
    argv: KERNEL_ARGV,
    hashSeed: 7,
    directory: join(root, name),
    niced: true,
    orphanMs: 15_000,
  };
}

function containerTest(name: string, body: () => Promise<void>): void {
  testWithPart(test, MISSING, name, async () => {
    await body();
    assert.equal(await containersLeft(), []);
  });
}

async function codeOf(failing: Promise<unknown>): Promise<string> {
  const outcome = await failing.catch((error: NbosError) => error);
  return (outcome as Partial<NbosError>).code ?? 'nothing failed';
}

containerTest('started ahead it stands still; taken, it is a kernel at once', async () => {
  const factory = await factoryOf();
  const pooled = await factory.startPooled(pooledOptions('a'));
  const container = await containerIn(join(root, 'a'));
  await untilSo('paused', async () => (await container.inspect()).State.Paused);
  const kernel = await containerKernel({ pooled });
  try {
    const before = performance.now();
    await kernel.runtime.start();
    await kernel.run('print(6 * 7)');
    const ms = performance.now() - before;
    assert.is(kernel.printed(), '42\n');
    assert.is((await container.inspect()).State.Running, true, 'it is another one');
    assert.ok(ms < 3_000, `${ms} ms`);
  } finally {
    await kernel.stop();
  }
});

containerTest('what nobody took is ended, and what fits nobody', async () => {
  const factory = await factoryOf();
  const pooled = await factory.startPooled(pooledOptions('b'));
  await pooled.stop();
  assert.equal(await containersLeft(), []);
  const misfit = await factory.startPooled(pooledOptions('c'));
  const kernel = await containerKernel({ pooled: misfit, meta: { hashSeed: 8 } });
  try {
    await kernel.runtime.start();
    await untilSo('the misfit is gone', async () => (await containersLeft()).length === 1);
  } finally {
    await kernel.stop();
  }
});

containerTest('one that ends while it waits is told, and leaves nothing', async () => {
  const factory = await factoryOf();
  const pooled = await factory.startPooled(pooledOptions('d'));
  let exit = '';
  pooled.onDeath = (how) => {
    exit = how;
  };
  const container = await containerIn(join(root, 'd'));
  await untilSo('paused', async () => (await container.inspect()).State.Paused);
  await container.remove({ force: true });
  await untilSo('told', () => exit !== '');
  assert.match(exit, /removed from outside/);
  await untilSo('folders are gone', () => !readdirSync(root).includes('d'));
  await untilSo('state is gone', () => readdirSync(join(root, '.state')).length === 0);
});

containerTest('an agent that comes back ends what it left, and nothing of others', async () => {
  const factory = await factoryOf();
  const data = mkdtempSync(join(tmpdir(), 'nbd-'));
  const other = await factoryOf({ host: 'h2', data });
  await factory.startPooled(pooledOptions('e'));
  const stays = await other.startPooled(pooledOptions('f'));
  try {
    const ended = await (await factoryOf()).endLeftovers(root);
    assert.is(ended.length, 1);
    assert.equal((await containersLeft()).length, 1);
    const labels = (await (await containerIn(join(root, 'f'))).inspect()).Config.Labels;
    assert.is(labels[LABELS.host], 'h2');
    assert.equal(readdirSync(join(data, 'processes')).length, 1);
  } finally {
    await stays.stop();
  }
  assert.equal(readdirSync(join(data, 'processes')), []);
  rmSync(data, { recursive: true });
  mkdirSync(join(root, 'g'));
  await factory.endLeftovers(root);
  assert.not(readdirSync(root).includes('g'));
});

containerTest('a kernel whose agent is gone ends itself', async () => {
  const { engine, docker } = await engineOf();
  const program =
    `const { containerKernel } = await import(${KIT});` +
    'const kernel = await containerKernel({ options: { orphanMs: 3000 } });' +
    'await kernel.runtime.start();' +
    'console.log(JSON.stringify({ directory: kernel.options.directory, root: kernel.folder }));';
  const argv = ['--import', 'tsx', '--input-type=module', '-e', program];
  const env = { ...process.env, NBOS_TEST_ENGINE: engine };
  const agent = spawn(process.execPath, argv, { cwd: PROJECT_ROOT, env });
  try {
    const line = await new Promise<string>((resolve) => {
      agent.stdout.once('data', (data: Buffer) => resolve(data.toString()));
      agent.once('exit', () => resolve('{}'));
    });
    const { directory, root: folder } = JSON.parse(line) as { directory: string; root: string };
    const container = docker.getContainer((await containerIn(directory)).id);
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    assert.is((await container.inspect()).State.Running, true, 'it must live with its agent');
    agent.kill('SIGKILL');
    await untilSo('it ended', async () => !(await container.inspect()).State.Running);
    assert.match(await lastLines(container), /nbos: no word from its agent for 3 s/);
    await (await factoryOf()).endLeftovers(folder);
    rmSync(folder, { recursive: true, force: true });
  } finally {
    agent.kill('SIGKILL');
  }
});

containerTest('keys that lie in the workspace are no business of kernels', async () => {
  const workspace = workspaceFolder();
  const hidden = join(workspace, '.data');
  mkdirSync(join(hidden, 'hosts', 'h1'), { recursive: true });
  writeFileSync(join(hidden, 'key'), 'secret', { mode: 0o644 });
  const host = { workspace, hidden: [hidden], data: join(hidden, 'hosts', 'h1') };
  const kernel = await containerKernel({ host });
  try {
    await kernel.runtime.start();
    await kernel.run(`import os; print(os.path.exists(${JSON.stringify(join(hidden, 'key'))}))`);
    assert.is(kernel.printed(), 'False\n');
    const { delta } = await kernel.run("blob = b'x' * 300_000");
    assert.ok(delta!.units.some(({ names }) => names.includes('blob')));
  } finally {
    await kernel.stop();
  }
});

containerTest('an agent that is not root has kernels of its own user', async () => {
  const { engine } = await engineOf();
  const program =
    `const { containerKernel } = await import(${KIT});` +
    'const kernel = await containerKernel();' +
    'try { await kernel.runtime.start(); ' +
    "await kernel.run('import os; print(os.getuid())'); console.log(kernel.printed()); }" +
    'finally { await kernel.stop(); }';
  // As a member of the group that may use the engine.
  const { gid } = statSync(engine.replace('unix://', ''));
  const argv = ['--import', 'tsx', '--input-type=module', '-e', program];
  const env = { PATH: process.env['PATH'], HOME: root, NBOS_TEST_ENGINE: engine };
  const agent = spawnSync(process.execPath, argv, {
    ...{ cwd: PROJECT_ROOT, env, uid: OTHER_USER, gid, encoding: 'utf8', timeout: 60_000 },
  });
  assert.is(agent.stdout.trim(), `${OTHER_USER}`, agent.stderr);
});

containerTest('what is wrong with an engine is said before anything is started', async () => {
  assert.is(await codeOf(factoryOf({ engine: 'unix:///nowhere/docker.sock' })), 'engine-absent');
  assert.is(await codeOf(factoryOf({ engine: 'docker.sock' })), 'usage');
  assert.is(await codeOf(factoryOf({ image: 'nobody/has:this' })), 'image-missing');
  assert.is(await codeOf(factoryOf({ user: '0:0' })), 'usage');
  const registry = '127.0.0.1:1/nobody/has:this';
  const failure = await factoryOf({ image: registry }).catch((error: NbosError) => error);
  assert.is((failure as NbosError).code, 'image-missing');
  assert.match((failure as NbosError).message, /pull of 127\.0\.0\.1:1.*refused/);
  const kernel = await containerKernel({ meta: { argv: ['no-such-program'] } });
  const started = await kernel.runtime.start().catch((error: NbosError) => error);
  assert.is((started as NbosError).code, 'kernel-failed');
  assert.match((started as NbosError).message, /127.*no-such-program/);
  await kernel.stop();
  process.seteuid!(65_534);
  try {
    assert.is(await codeOf(factoryOf({ user: '' })), 'engine-denied');
  } finally {
    process.seteuid!(0);
  }
});

/** Last, for the engine of these tests does not come back. */
testWithPart(
  test,
  MISSING_OWN,
  'an engine that is gone ends its kernels, and it is said',
  async () => {
    const kernel = await containerKernel();
    try {
      await kernel.runtime.start();
      const cell = kernel.run("import time\nprint('on')\ntime.sleep(60)");
      const outcome = cell.catch((error: { code: string }) => error.code);
      await kernel.until(({ type }) => type === 'stream');
      ownMachine()!.kill();
      assert.is(await outcome, 'kernel-died');
      assert.match(kernel.exit, /ended with its container engine|its container was removed|137/);
      assert.is(await codeOf(factoryOf()), 'engine-absent');
    } finally {
      const before = performance.now();
      await kernel.stop();
      assert.ok(performance.now() - before < 30_000, 'a stop waits for no engine');
    }
  },
);

test.after(() => {
  rmSync(root, { recursive: true, force: true });
  stopEngine();
});
test.run();
