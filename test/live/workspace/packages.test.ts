// time-limit: 600 s
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { testWithPart } from '../../skip.ts';
import { MISSING_PYTHON, PYTHON, TestKernel } from '../kernel/kernel-kit.ts';
import { buildWheels, environment, fromWheels } from './package-kit.ts';

const scratch = mkdtempSync(join(tmpdir(), 'nbw-'));
const wheels = join(scratch, 'wheels');
if (MISSING_PYTHON === '') buildWheels(wheels, ['1.0', '2.0']);

function workspace(name: string): string {
  const folder = join(scratch, name);
  mkdirSync(folder);
  return folder;
}

/** A started kernel of `python` in a workspace. */
async function kernelOf(python: string, shared: string): Promise<TestKernel> {
  const argv = [python, '-m', 'ipykernel_launcher', '-f', '{connection_file}'];
  const kernel = new TestKernel({ argv, cwd: shared }, {}, shared);
  await kernel.runtime.start();
  return kernel;
}

/** What the cell printed; throws with the error of one that failed. */
async function printed(kernel: TestKernel, code: string): Promise<string> {
  kernel.messages = [];
  const { reply } = await kernel.run(code);
  const content = JSON.parse(Buffer.from(reply.content).toString()) as Record<string, string>;
  if (content['status'] !== 'ok')
    throw new Error(`${code}: ${content['ename']}: ${content['evalue']}\n${kernel.printed()}`);
  return kernel.printed();
}

const VERSION = 'import nbosdemo, nbosdemo.part; print(nbosdemo.__version__, nbosdemo.__file__)';

/** Installs and upgrades in one process; others must find it, and nothing lies elsewhere. */
async function installs(python: string, shared: string, below: string): Promise<void> {
  const first = await kernelOf(python, shared);
  const second = await kernelOf(python, shared);
  try {
    await printed(first, `%pip ${fromWheels(wheels, '1.0')}`);
    assert.match(await printed(first, VERSION), new RegExp(`^1\\.0 ${below}`));
    assert.match(await printed(second, VERSION), new RegExp(`^1\\.0 ${below}`));
    assert.is(await printed(first, '!nbosdemo'), 'demo 1.0\r\n');
    await printed(first, `!pip ${fromWheels(wheels, '2.0')}`);
    assert.is(await printed(first, '!nbosdemo'), 'demo 2.0\r\n');
    assert.match(await printed(first, '!pip list 2>/dev/null'), /nbosdemo +2\.0/);
    await first.stop();
    const third = await kernelOf(python, shared);
    try {
      assert.match(await printed(third, VERSION), new RegExp(`^2\\.0 ${below}`));
      const metadata = 'from importlib import metadata; print(metadata.version("nbosdemo"))';
      assert.is(await printed(third, metadata), '2.0\n');
      await printed(third, '%pip uninstall -q -y nbosdemo');
    } finally {
      await third.stop();
    }
  } finally {
    await first.stop();
    await second.stop();
  }
}

testWithPart(test, MISSING_PYTHON, 'an interpreter whose packages could be written', async () => {
  const shared = workspace('plain');
  await installs(PYTHON.path, shared, join(shared, '.nbos', 'packages'));
  const ignore = readFileSync(join(shared, '.nbos', '.gitignore'), 'utf8');
  assert.match(ignore, /^\*$/m);
  const [name, ...others] = readdirSync(join(shared, '.nbos', 'packages'));
  assert.equal(others, []);
  assert.match(name!, /^3\.\d+-[0-9a-f]{8}$/);
});

testWithPart(test, MISSING_PYTHON, 'a virtual environment elsewhere stays as it is', async () => {
  const shared = workspace('beside');
  const python = environment(join(scratch, 'env'));
  await installs(python, shared, join(shared, '.nbos', 'packages'));
  const packages = execFileSync(python, ['-m', 'pip', 'list'], { encoding: 'utf8' });
  assert.not.match(packages, /nbosdemo/);
});

testWithPart(test, MISSING_PYTHON, 'a virtual environment in the workspace is used', async () => {
  const shared = workspace('inside');
  const python = environment(join(shared, '.venv'));
  await installs(python, shared, join(shared, '.venv'));
  assert.not.ok(existsSync(join(shared, '.nbos', 'packages')));
});

const DEBIAN = '/usr/bin/python3';
testWithPart(test, missingDebian(), 'an externally managed Python', async () => {
  const shared = workspace('managed');
  await installs(DEBIAN, shared, join(shared, '.nbos', 'packages'));
});

function missingDebian(): string {
  const ask =
    'import ipykernel, pip, os, sysconfig;' +
    'assert os.path.exists(sysconfig.get_path("stdlib") + "/EXTERNALLY-MANAGED")';
  try {
    execFileSync(DEBIAN, ['-c', ask], { stdio: 'ignore' });
    return '';
  } catch {
    return `${DEBIAN} is not externally managed or has no ipykernel and pip`;
  }
}

testWithPart(
  test,
  MISSING_PYTHON,
  'a standby that has loaded it is told to start anew',
  async () => {
    const shared = workspace('upgrade');
    const executor = await kernelOf(PYTHON.path, shared);
    const standby = await kernelOf(PYTHON.path, shared);
    try {
      await printed(executor, `%pip ${fromWheels(wheels, '1.0')}`);
      const made = await executor.run('import nbosdemo; thing = nbosdemo.Thing(); thing.x = 5');
      const { units, dropped } = made.delta!;
      const first = { reset: false, units, dropped, count: 2 };
      const taken = await standby.runtime.apply(first);
      assert.equal(taken, { failed: [] });
      assert.match(await printed(standby, 'print(thing.x, thing.made_by)'), /^5 1\.0/);
      const upgraded = await executor.run(`%pip ${fromWheels(wheels, '2.0')}`);
      const second = { ...first, units: upgraded.delta!.units, count: 3 };
      assert.equal(await standby.runtime.apply(second), { failed: [], outdated: ['nbosdemo'] });
      // It stays so: a fresh process is the only way.
      assert.equal((await standby.runtime.apply(second)).outdated, ['nbosdemo']);
      const fresh = await kernelOf(PYTHON.path, shared);
      try {
        const all = { ...first, units: [...units, ...upgraded.delta!.units], count: 3 };
        assert.equal(await fresh.runtime.apply(all), { failed: [] });
        assert.match(await printed(fresh, 'print(thing.x, thing.made_by)'), /^5 2\.0/);
      } finally {
        await fresh.stop();
      }
      await executor.run(`%pip uninstall -q -y nbosdemo`);
      assert.equal((await executor.runtime.apply(second)).outdated, ['nbosdemo']);
    } finally {
      await executor.stop();
      await standby.stop();
    }
  },
);

testWithPart(
  test,
  MISSING_PYTHON,
  'where nothing can be written kernels start as well',
  async () => {
    const shared = workspace('closed');
    writeFileSync(join(shared, '.nbos'), '');
    const kernel = await kernelOf(PYTHON.path, shared);
    try {
      const folder = execFileSync(PYTHON.path, ['-c', 'import sys; print(sys.prefix)']);
      assert.is(await printed(kernel, 'import sys; print(sys.prefix)'), folder.toString());
    } finally {
      await kernel.stop();
    }
  },
);

/** Holds the lock of an environment for a second, then puts a module into it. */
const SLOW_PIP = `
import fcntl, os, sys, sysconfig, time
lock = os.open(os.path.join(sys.prefix, '.lock'), os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
print('held', flush=True)
time.sleep(1)
with open(os.path.join(sysconfig.get_path('purelib'), 'nbosslow.py'), 'w') as file:
    file.write('x = 3')
`;

testWithPart(test, MISSING_PYTHON, 'a pip and a replica wait for a pip at work', async () => {
  const shared = workspace('lock');
  const executor = await kernelOf(PYTHON.path, shared);
  const standby = await kernelOf(PYTHON.path, shared);
  try {
    const program = (await printed(executor, 'import sys; print(sys.executable)')).trim();
    await atWork(program);
    const lib = join(program, '../../lib');
    const made = join(lib, readdirSync(lib)[0]!, 'site-packages/nbosslow.py');
    assert.match(await printed(executor, '%pip --version'), /^pip \d/);
    assert.ok(existsSync(made), 'the second pip did not wait');
    const { delta } = await executor.run('import nbosslow as slow');
    rmSync(made);
    await atWork(program);
    const { units, dropped } = delta!;
    const taken = await standby.runtime.apply({ reset: false, units, dropped, count: 4 });
    assert.equal(taken, { failed: [] });
    assert.is(await printed(standby, 'print(slow.x)'), '3\n');
  } finally {
    await executor.stop();
    await standby.stop();
  }
});

/** Resolves once the slow one has the lock. */
async function atWork(program: string): Promise<void> {
  const child = spawn(program, ['-c', SLOW_PIP], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data', { signal: AbortSignal.timeout(60_000) });
}

test.after(() => rmSync(scratch, { recursive: true, force: true }));
test.run();
