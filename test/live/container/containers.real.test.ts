// time-limit: 300 s
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { NbosError } from '../../../core/errors.ts';
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
  stopEngine,
  untilSo,
} from './container-kit.ts';

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
  await (await containerIn(join(root, 'd'))).remove({ force: true });
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
  const kit = JSON.stringify(join(PROJECT_ROOT, 'test/live/container/container-kit.ts'));
  const { engine, docker } = await engineOf();
  const program =
    `const { containerKernel } = await import(${kit});` +
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
    await (await factoryOf()).endLeftovers(folder);
    rmSync(folder, { recursive: true, force: true });
  } finally {
    agent.kill('SIGKILL');
  }
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

test.after(() => {
  rmSync(root, { recursive: true, force: true });
  stopEngine();
});
test.run();
