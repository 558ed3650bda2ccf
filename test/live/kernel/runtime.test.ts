// time-limit: 600 s
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { messageOf, newHeader } from '../../../live/jupyter/headers.ts';
import { PROJECT_ROOT, testWithPart } from '../../skip.ts';
import { ownCache } from '../own-cache.ts';
import { contentOf, isAlive, MISSING_PYTHON, TestKernel } from './kernel-kit.ts';

ownCache();

const after = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function kernelTest(name: string, body: (kernel: TestKernel) => Promise<void>): void {
  testWithPart(test, MISSING_PYTHON, name, async () => {
    const kernel = new TestKernel();
    try {
      await kernel.runtime.start();
      await body(kernel);
    } finally {
      await kernel.stop();
    }
  });
}

kernelTest(
  'a cell: outputs in order, reply and idle kept, the record picked up',
  async (kernel) => {
    const result = await kernel.run("x = 41\nprint('one')\nx + 1", { count: 17 });
    assert.equal(contentOf(result.reply)['execution_count'], 17);
    assert.equal(contentOf(result.reply)['status'], 'ok');
    const types = kernel.messages.map(({ type }) => type);
    assert.equal(types, ['status', 'execute_input', 'stream', 'execute_result']);
    assert.equal(kernel.messages[0]!.content, { execution_state: 'busy' });
    assert.equal(kernel.messages[1]!.content['execution_count'], 17);
    assert.equal(result.helperError, '');
    const names = result.delta!.units.flatMap((unit) => unit.names);
    assert.ok(names.includes('x'), names.join());
    assert.equal(readdirSync(join(kernel.options.directory, 'spool')), []);
    assert.is(kernel.runtime.state, 'ready');
  },
);

kernelTest('an error is a reply as any other, and the next cell runs at once', async (kernel) => {
  const failed = await kernel.run('1 / 0');
  assert.equal(contentOf(failed.reply)['ename'], 'ZeroDivisionError');
  const next = await kernel.run('2');
  assert.equal(contentOf(next.reply)['status'], 'ok');
});

kernelTest('large buffers land in the blob directory', async (kernel) => {
  const result = await kernel.run("blob = b'x' * 300_000");
  const blobs = result.delta!.units.flatMap(({ skeleton, buffers }) => [skeleton, ...buffers]);
  const outside = blobs.filter(({ inline }) => inline === undefined);
  assert.ok(outside.length > 0);
  for (const { hash, bytes } of outside)
    assert.is(statSync(join(kernel.options.blobs, hash)).size, bytes);
});

kernelTest('an interrupt ends the cell with KeyboardInterrupt', async (kernel) => {
  const cell = kernel.run("import time\nprint('on')\ntime.sleep(60)");
  await kernel.until(({ type }) => type === 'stream');
  await kernel.runtime.interrupt();
  assert.equal(contentOf((await cell).reply)['ename'], 'KeyboardInterrupt');
});

kernelTest('input is asked for and answered', async (kernel) => {
  const cell = kernel.run("print('hello ' + input('name? '))");
  const question = await kernel.until(({ type }) => type === 'input_request');
  assert.equal(question.content['prompt'], 'name? ');
  const header = newHeader('input_reply', 'client');
  kernel.runtime.send('stdin', messageOf({ header, content: { status: 'ok', value: 'you' } }));
  await cell;
  assert.is(kernel.printed(), 'hello you\n');
});

kernelTest('completion, inspection and comms pass through', async (kernel) => {
  await kernel.run('import math\nget_ipython().kernel.comm_manager.register_target');
  const completed = await kernel.ask('complete_request', { code: 'math.fl', cursor_pos: 7 });
  assert.ok((completed['matches'] as string[]).some((match) => match.includes('floor')));
  const code = 'math.floor';
  const inspected = await kernel.ask('inspect_request', { code, cursor_pos: 5, detail_level: 0 });
  assert.equal(inspected['found'], true);
  await kernel.run(
    'def opened(comm, message):\n' +
      "    comm.on_msg(lambda m: comm.send({'echo': m['content']['data']}))\n" +
      "get_ipython().kernel.comm_manager.register_target('t', opened)",
  );
  const comm = { comm_id: 'c1', target_name: 't', data: {} };
  kernel.runtime.send(
    'shell',
    messageOf({ header: newHeader('comm_open', 'client'), content: comm }),
  );
  const said = { comm_id: 'c1', data: { n: 5 } };
  kernel.runtime.send(
    'shell',
    messageOf({ header: newHeader('comm_msg', 'client'), content: said }),
  );
  const echo = await kernel.until(({ type }) => type === 'comm_msg');
  assert.equal(echo.content['data'], { echo: { n: 5 } });
});

kernelTest('30,000 printed lines, none lost, in order', async (kernel) => {
  await kernel.run('for i in range(30_000): print(i, flush=i % 10 == 0)');
  const lines = kernel.printed().trimEnd().split('\n');
  assert.is(lines.length, 30_000);
  assert.ok(lines.every((line, index) => line === String(index)));
});

kernelTest('what is printed while the agent gets no core is not lost', async (kernel) => {
  await kernel.run(
    `import os, signal
os.kill(${process.pid}, signal.SIGSTOP)
try:
    for i in range(5_000): print(i, flush=True)
finally:
    os.kill(${process.pid}, signal.SIGCONT)`,
  );
  assert.is(kernel.printed().trimEnd().split('\n').length, 5_000);
});

kernelTest('a killed process is told, with its signal, and ends the cell', async (kernel) => {
  const cell = kernel.run("import time\nprint('last words')\ntime.sleep(60)");
  const outcome = cell.then(
    () => 'ended',
    (error: { code: string }) => error.code,
  );
  await kernel.until(({ type }) => type === 'stream');
  process.kill(kernel.runtime.pid, 'SIGKILL');
  assert.is(await outcome, 'kernel-died');
  assert.match(kernel.exit, /SIGKILL.*memory/);
  assert.is(kernel.runtime.state, 'dead');
});

kernelTest('a crash in native code says what it was', async (kernel) => {
  const cell = kernel.run('import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)');
  await cell.catch(() => undefined);
  assert.match(kernel.exit, /SIGSEGV: crashed by a bad memory access/);
});

kernelTest('children go with the kernel; nothing of it is left', async (kernel) => {
  await kernel.run("import subprocess\np = subprocess.Popen(['sleep', '100'])\nprint(p.pid)");
  const child = Number(kernel.printed());
  assert.ok(isAlive(child));
  const pid = kernel.runtime.pid;
  await kernel.runtime.stop();
  assert.not(isAlive(pid));
  assert.not(existsSync(kernel.options.directory));
  // Its new parent, init, may take an instant to bury it.
  for (let i = 0; i < 1000 && isAlive(child); i++) await new Promise((r) => setTimeout(r, 10));
  assert.not(isAlive(child));
  assert.is(kernel.exit, '');
});

kernelTest('state goes to another process', async (kernel) => {
  const { delta } = await kernel.run("words = ['a', 'b']\nn = 3");
  const other = new TestKernel({}, { blobs: kernel.options.blobs });
  try {
    await other.runtime.start();
    const state = { reset: true, units: delta!.units, dropped: [], count: 1 };
    assert.equal(await other.runtime.apply(state), { failed: [] });
    await other.run('print(words, n)');
    assert.is(other.printed(), "['a', 'b'] 3\n");
  } finally {
    await other.stop();
  }
});

kernelTest('what a thread prints between cells belongs to its cell', async (kernel) => {
  await kernel.run(
    'import threading, time\n' +
      "def later():\n    time.sleep(0.3); print('from a thread', flush=True)\n" +
      'threading.Thread(target=later).start()',
  );
  const cell = kernel.messages.at(-1)!.parent;
  await kernel.runtime.collect();
  const line = await kernel.until(({ type }) => type === 'stream');
  assert.is(line.content['text'], 'from a thread\n');
  assert.is(line.parent, cell);
});

kernelTest('a save inside a cell is handed over while it runs', async (kernel) => {
  const saved: string[] = [];
  kernel.runtime.onSaved = ({ units }) => saved.push(...units.flatMap(({ names }) => names));
  const cell = kernel.run('import nbos, time\nkept = [1]\nnbos.save()\ntime.sleep(0.5)\nx = 2');
  const ended = cell.then(() => 'ended');
  while (saved.length === 0 && (await Promise.race([ended, after(20)])) !== 'ended');
  assert.ok(saved.includes('kept'), saved.join());
  const { delta } = await cell;
  assert.not(kernel.messages.some(({ type }) => type === 'nbos_saved'));
  assert.ok(delta!.units.some(({ names }) => names.includes('x')));
});

kernelTest('stopped while it starts, nothing is left', async () => {
  const kernel = new TestKernel();
  const started = kernel.runtime.start().then(
    () => 'started',
    () => 'refused',
  );
  await after(30);
  await kernel.runtime.stop(true);
  assert.is(await started, 'refused');
  assert.not(existsSync(kernel.options.directory));
  assert.not(kernel.runtime.pid > 0 && isAlive(kernel.runtime.pid));
  await kernel.stop();
});

testWithPart(test, MISSING_PYTHON, 'a kernel whose agent is gone ends itself', async () => {
  const kit = JSON.stringify(join(PROJECT_ROOT, 'test/live/kernel/kernel-kit.ts'));
  const program =
    `const { TestKernel } = await import(${kit});` +
    'const kernel = new TestKernel({}, { orphanMs: 5000 });' +
    'await kernel.runtime.start();' +
    'console.log(JSON.stringify({ pid: kernel.runtime.pid, folder: kernel.folder }));';
  const argv = ['--import', 'tsx', '--input-type=module', '-e', program];
  const agent = spawn(process.execPath, argv, { cwd: PROJECT_ROOT });
  const line = await new Promise<string>((resolve) => {
    agent.stdout.once('data', (data: Buffer) => resolve(data.toString()));
    agent.once('exit', () => resolve(''));
  });
  const { pid, folder } = JSON.parse(line) as { pid: number; folder: string };
  await after(6500);
  assert.ok(isAlive(pid), 'it must live as long as its agent does');
  agent.kill('SIGKILL');
  for (let i = 0; i < 1000 && isAlive(pid); i++) await after(20);
  assert.not(isAlive(pid));
  rmSync(folder, { recursive: true, force: true });
});

kernelTest('paused it stands still, resumed it goes on', async (kernel) => {
  const cell = kernel.run('for i in range(100):\n    import time; time.sleep(0.02); print(i)');
  await kernel.until(({ type }) => type === 'stream');
  kernel.runtime.pause();
  // What it had said before may still be on its way.
  for (let before = -1; before < kernel.messages.length; ) {
    before = kernel.messages.length;
    await after(400);
  }
  assert.not.match(kernel.printed(), /^99$/m);
  kernel.runtime.resume();
  await cell;
  assert.match(kernel.printed(), /99\n$/);
});

kernelTest('private: a 0700 directory, a 0600 file, no port, no secrets', async (kernel) => {
  const { directory } = kernel.options;
  assert.is(statSync(directory).mode & 0o777, 0o700);
  assert.is(statSync(join(directory, 'connection.json')).mode & 0o777, 0o600);
  await kernel.run("import os\nprint([k for k in os.environ if k.startswith(('NBOS', 'AWS'))])");
  assert.is(kernel.printed(), '[]\n');
});

test.run();
