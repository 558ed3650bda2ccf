// time-limit: 300 s
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Blob, Delta } from '../../../live/log/entries.ts';
import { testWithPart } from '../../skip.ts';
import { contentOf, type TestKernel } from '../kernel/kernel-kit.ts';
import {
  containerIn,
  containerKernel,
  containersLeft,
  containerTest,
  MEMORY_MB,
  MISSING,
  stopEngine,
  untilSo,
  workspaceFolder,
} from './container-kit.ts';

function outside({ units }: Delta): Blob[] {
  const blobs = units.flatMap(({ skeleton, buffers }) => [skeleton, ...buffers]);
  return blobs.filter(({ inline }) => inline === undefined);
}

async function printed(kernel: TestKernel, code: string): Promise<string> {
  const before = kernel.printed().length;
  const { reply } = await kernel.run(code);
  assert.is(contentOf(reply)['status'], 'ok', JSON.stringify(contentOf(reply)));
  return kernel.printed().slice(before).trim();
}

/** Hosts of a kernel's tests have one blob folder; containers see what they are shown of it. */
function shownTo(kernel: TestKernel): string[] {
  const states = join(dirname(kernel.options.directory), '.state');
  return readdirSync(states).flatMap((name) => readdirSync(join(states, name, 'blobs')));
}

containerTest('a cell: outputs in order, reply and record', async (kernel) => {
  const result = await kernel.run("x = 41\nprint('one')\nx + 1", { count: 17 });
  assert.equal(contentOf(result.reply)['execution_count'], 17);
  const types = kernel.messages.map(({ type }) => type);
  assert.equal(types, ['status', 'execute_input', 'stream', 'execute_result']);
  assert.is(result.helperError, '');
  assert.ok(result.delta!.units.some(({ names }) => names.includes('x')));
});

containerTest(
  'from inside: no root, no rights, no network, nothing to write to',
  async (kernel) => {
    const facts = JSON.parse(
      await printed(
        kernel,
        `
import json, os, socket
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
def refused(path):
    try:
        open(path, 'w')
    except OSError as error:
        return error.errno
spool = [w.split()[1] for w in open('/proc/mounts') if w.split()[1].endswith('/spool')][0]
def replaced(path):
    try:
        os.rename(path, path + '2')
    except OSError as error:
        return error.errno
print(json.dumps({
    'user': [os.getuid(), os.getgid()], 'groups': os.getgroups(),
    'rights': [status[each].strip() for each in ('CapPrm', 'CapEff', 'CapBnd', 'CapAmb')],
    'new': status['NoNewPrivs'].strip(), 'filtered': status['Seccomp'].strip(),
    'network': [name for _, name in socket.if_nameindex()],
    'root': [refused('/x'), refused('/usr/x'), refused('/etc/x')],
    'home': refused(os.path.expanduser('~/x')),
    'blobs': refused(os.path.join(os.path.dirname(spool), 'blobs', 'x')),
    'spool': replaced(spool),
    'engine': [os.path.exists(each) for each in ('/var/run/docker.sock', '/run/docker.sock')],
    'ours': [name for name in os.environ if name.startswith(('NBOS', 'AWS', 'JPY'))],
}))`,
      ),
    ) as Record<string, unknown>;
    const none = '0000000000000000';
    const [READ_ONLY, DENIED] = [30, 13];
    assert.equal(facts['user'], [1000, 1000]);
    assert.equal(facts['groups'], [1000]);
    assert.equal(facts['rights'], [none, none, none, none]);
    assert.equal([facts['new'], facts['filtered']], ['1', '2']);
    assert.equal(facts['network'], ['lo']);
    assert.equal(facts['root'], [READ_ONLY, READ_ONLY, READ_ONLY]);
    assert.is(facts['home'], null);
    assert.is(facts['blobs'], READ_ONLY);
    assert.is(facts['spool'], DENIED);
    assert.equal(facts['engine'], [false, false]);
    assert.equal(facts['ours'], []);
  },
);

containerTest('what the engine was told: limits, log, labels', async (kernel) => {
  const { HostConfig, Config } = await (await containerIn(kernel.options.directory)).inspect();
  assert.is(HostConfig.Memory, MEMORY_MB * 1024 * 1024);
  assert.is(HostConfig.MemorySwap, HostConfig.Memory);
  assert.is(HostConfig.PidsLimit, 100);
  assert.is(HostConfig.NanoCpus, 1e9);
  assert.is(HostConfig.ShmSize, 64 * 1024 * 1024);
  assert.is(HostConfig.LogConfig?.Config['max-size'], '1m');
  assert.is(Config.Labels['org.notebookos.kind'], 'kernel');
  assert.is(Config.Labels['org.notebookos.host'], 'h1');
  assert.is(statSync(kernel.options.directory).mode & 0o777, 0o700);
});

containerTest('pages that were written are seen without hashing', async (kernel) => {
  const code = `
import gc
tracker = [each for each in gc.get_objects() if type(each).__name__ == 'BufferTracker'][0]
print(tracker.pages, getattr(tracker, 'reason', ''))`;
  assert.match(await printed(kernel, code), /^userfaultfd/);
});

testWithPart(test, MISSING, 'state goes to another container, and nothing else does', async () => {
  const one = await containerKernel();
  const other = await containerKernel({ options: { blobs: one.options.blobs } });
  try {
    await Promise.all([one.runtime.start(), other.runtime.start()]);
    const first = await one.run("kept = bytearray(b'k' * 300_000)\ngone = b'g' * 400_000");
    const [kept, ...more] = outside({
      ...first.delta!,
      units: first.delta!.units.filter(({ names }) => names.includes('kept')),
    });
    assert.equal(more, []);
    for (const { hash, bytes } of outside(first.delta!))
      assert.is(statSync(join(one.options.blobs, hash)).size, bytes);
    const units = first.delta!.units.filter(({ names }) => names.includes('kept'));
    const state = { reset: true, units, dropped: [], count: 1 };
    assert.equal(await other.runtime.apply(state), { failed: [] });
    assert.equal(shownTo(other), [kept!.hash]);
    assert.is(await printed(other, 'print(len(kept), kept[:1])'), "300000 bytearray(b'k')");
    // What the container could read it cannot have changed.
    const file = statSync(join(one.options.blobs, kept!.hash));
    assert.is(file.mode & 0o222, 0);
    assert.is(file.uid, process.getuid!());
    const next = await other.run("kept[0:1] = b'K'");
    assert.equal(await one.runtime.apply({ ...state, reset: false, units: next.delta!.units }), {
      failed: [],
    });
    assert.is(await printed(one, 'print(kept[:2])'), "bytearray(b'Kk')");
  } finally {
    await Promise.all([one.stop(), other.stop()]);
  }
  assert.equal(await containersLeft(), []);
});

containerTest('an interrupt ends the cell with KeyboardInterrupt', async (kernel) => {
  const cell = kernel.run("import time\nprint('on')\ntime.sleep(60)");
  await kernel.until(({ type }) => type === 'stream');
  await kernel.runtime.interrupt();
  assert.equal(contentOf((await cell).reply)['ename'], 'KeyboardInterrupt');
});

containerTest('paused it stands still, resumed it goes on', async (kernel) => {
  const cell = kernel.run('for i in range(20):\n    import time; time.sleep(0.02); print(i)');
  await kernel.until(({ type }) => type === 'stream');
  kernel.runtime.pause();
  await new Promise((resolve) => setTimeout(resolve, 200));
  const before = kernel.messages.length;
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.is(kernel.messages.length, before);
  kernel.runtime.resume();
  await cell;
  assert.match(kernel.printed(), /19\n$/);
});

containerTest(
  'paused by hand it goes on at the next beat',
  async (kernel) => {
    const container = await containerIn(kernel.options.directory);
    await container.pause();
    const { delta } = await kernel.run('x = 1');
    assert.ok(delta!.units.some(({ names }) => names.includes('x')));
    assert.is((await container.inspect()).State.Paused, false);
  },
  { options: { orphanMs: 900 } },
);

containerTest('out of memory: the cell ends, and it is said what it was', async (kernel) => {
  const cell = kernel.run(`hog = []\nwhile True: hog.append(b'x' * 10_000_000)`);
  const outcome = await cell.catch((error: { code: string }) => error.code);
  assert.is(outcome, 'kernel-died');
  assert.match(kernel.exit, new RegExp(`137: .*memory limit.*${MEMORY_MB} MB`));
});

containerTest('a crash in native code says what it was', async (kernel) => {
  const cell = kernel.run('import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)');
  await cell.catch(() => undefined);
  assert.is(kernel.exit, 'exit code 139: crashed by a bad memory access in native code');
});

containerTest('removed behind our back: the cell ends, and it is said', async (kernel) => {
  const cell = kernel.run("import time\nprint('on')\ntime.sleep(60)");
  const outcome = cell.catch((error: { code: string }) => error.code);
  await kernel.until(({ type }) => type === 'stream');
  await (await containerIn(kernel.options.directory)).remove({ force: true });
  assert.is(await outcome, 'kernel-died');
  assert.match(kernel.exit, /removed from outside/);
});

containerTest('children go with the kernel, and its folders', async (kernel) => {
  await kernel.run("import subprocess\np = subprocess.Popen(['sleep', '100'])");
  await kernel.runtime.stop();
  assert.not(existsSync(kernel.options.directory));
  assert.equal(readdirSync(join(dirname(kernel.options.directory), '.state')), []);
  assert.is(kernel.exit, '');
});

testWithPart(test, MISSING, 'stopped while it starts, nothing is left', async () => {
  for (const ms of [0, 60, 250]) {
    const kernel = await containerKernel();
    const started = kernel.runtime.start().then(
      () => 'started',
      () => 'refused',
    );
    await new Promise((resolve) => setTimeout(resolve, ms));
    await kernel.runtime.stop(true);
    assert.is(await started, 'refused');
    await untilSo('no container', async () => (await containersLeft()).length === 0);
    assert.not(existsSync(kernel.options.directory), `${ms}`);
    await kernel.stop();
  }
});

/** Makes a wheel of a package `nbospack` and installs it, as a notebook would. */
function installing(version: string): string {
  return `
import os, zipfile
info = 'nbospack-${version}.dist-info/'
name = os.path.join('/tmp', 'nbospack-${version}-py3-none-any.whl')
with zipfile.ZipFile(name, 'w') as wheel:
    wheel.writestr('nbospack.py', 'version = ${JSON.stringify(version)}')
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: nbospack\\nVersion: ${version}\\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr(info + 'RECORD', '')
get_ipython().run_line_magic('pip', 'install -q --no-index ' + name)
import nbospack`;
}

testWithPart(
  test,
  MISSING,
  'packages that a cell installs are there for all replicas',
  async () => {
    const workspace = workspaceFolder();
    const host = { workspace };
    const one = await containerKernel({ host });
    const other = await containerKernel({ host: { ...host, host: 'h2' } });
    try {
      await Promise.all([one.runtime.start(), other.runtime.start()]);
      await one.run(installing('1.0'));
      assert.is(await printed(one, 'print(nbospack.version)'), '1.0');
      assert.is(await printed(other, 'import nbospack; print(nbospack.version)'), '1.0');
      const { delta } = await one.run(`${installing('2.0')}\nmarked = 1`);
      const state = { reset: false, units: delta!.units, dropped: [], count: 2 };
      assert.equal((await other.runtime.apply(state)).outdated, ['nbospack']);
    } finally {
      await Promise.all([one.stop(), other.stop()]);
    }
  },
);

test.after(stopEngine);
test.run();
