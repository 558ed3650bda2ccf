// runs-alone
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { HostStatus } from '../../../live/admin-types.ts';
import { PROJECT_ROOT, testWithPart } from '../../skip.ts';
import { missingKernel } from './parts.ts';
import { isAlive, System } from './system.ts';

const test = suite<Record<string, never>>('elastic');
let system: System;

test.before(async () => {
  if (missingKernel === '')
    system = await System.up([
      ...['--hosts', '4', '--min-hosts', '2', '--gpus-per-host', '1'],
      ...['--set', 'scaleInHoldMs=3000', 'scaleInFactor=1'],
    ]);
});
test.after(async () => {
  if (missingKernel === '') assert.equal(await system.stop(), [], 'processes left behind');
});

function live(name: string, body: () => Promise<void>): void {
  testWithPart(test, missingKernel, name, body);
}

async function hostsIn(state: HostStatus['state']): Promise<string[]> {
  const { hosts } = await system.status();
  return hosts.filter((host) => host.state === state).map(({ id }) => id);
}

const GPU = { KERNEL_GPUS: '1' };

live('load brings hosts into use, cells run there, and quiet puts them by', async () => {
  assert.is((await hostsIn('up')).length, 2);
  assert.is((await hostsIn('idle')).length, 2);
  const books = [await system.notebook(GPU), await system.notebook(GPU)];
  assert.is((await hostsIn('up')).length, 3, 'as many hosts as replicas');
  for (const { client } of books) await client.run('kept = [1, 2]');
  books.push(await system.notebook(GPU), await system.notebook(GPU));
  const cells = books.map(({ client }) => client.execute('import time; time.sleep(8); mine = 7'));
  // Four cells of one GPU each, on hosts that have one each.
  await system.until('the fourth is up', async () => (await hostsIn('up')).length === 4);
  const ran = await system.until('a cell runs on each host', async () => {
    const { hosts } = await system.status();
    return hosts.every(({ gpusCommitted }) => gpusCommitted === 1);
  });
  assert.ok(ran);
  for (const cell of cells) assert.is((await cell.done)['status'], 'ok');
  const idle = await system.until('one is put by', async () => (await hostsIn('idle'))[0], 60_000);
  const { kernels, hosts } = await system.status();
  assert.is(hosts.find(({ id }) => id === idle)!.replicas, 0);
  for (const kernel of kernels) {
    assert.is(kernel.replicas.length, 3);
    assert.not.ok(kernel.replicas.some(({ host }) => host === idle));
  }
  for (const [at, { client }] of books.entries())
    assert.is(
      (await client.run(`print(mine, ${at < 2 ? 'kept' : '0'})`)).text,
      at < 2 ? '7 [1, 2]\n' : '7 0\n',
    );
});

live('an operator empties a host and takes it into service again', async () => {
  const { id, client } = await system.notebook();
  await client.run('there = 1');
  const { replicas } = await system.kernel(id);
  const { host } = replicas[0]!;
  const told = await system.nbos(['hosts', 'drain', host]);
  assert.is(told.status, 0, told.stderr);
  assert.match(told.stdout, 'draining');
  await system.until('it is empty', async () => (await hostsIn('drained'))[0] === host, 60_000);
  const now = await system.kernel(id);
  assert.not.ok(now.replicas.some((replica) => replica.host === host));
  assert.is((await client.run('print(there)')).text, '1\n');
  assert.match((await system.nbos(['hosts'])).stdout, `nbos hosts enable ${host}`);
  assert.is((await system.nbos(['hosts', 'enable', host])).status, 0);
  await system.until('it is in service', async () => !(await hostsIn('drained')).includes(host));
  const unknown = await system.nbos(['hosts', 'drain', 'h9']);
  assert.is(unknown.status, 1);
  assert.match(unknown.stderr, 'request-invalid: no host is called h9');
});

live('a program of the user starts agents and ends them', async () => {
  const own = System.on(mkdtempSync(join(tmpdir(), 'nbos-test-')));
  const path = join(own.data, 'provision');
  const nbos = `${process.execPath} ${join(PROJECT_ROOT, 'dist/cli.js')}`;
  // As a machine's own service manager would: the agent outlives what started it.
  writeFileSync(
    path,
    `#!/bin/sh
cd ${own.data}
echo "$@" >> asked
case $1 in
up) setsid ${nbos} agent --host $2 --data ${own.data} > $2.log 2>&1 & echo $! > $2.pid;;
down) kill $(cat $2.pid);;
esac
`,
    { mode: 0o755 },
  );
  const asked = (): string[] => readFileSync(join(own.data, 'asked'), 'utf8').trim().split('\n');
  try {
    await own.start([
      ...['gateway', '--hosts', '2', '--min-hosts', '1', '--replicas', '1', '--gpus-per-host', '1'],
      ...['--provision-command', path, '--set', 'scaleInHoldMs=3000', '--port', '0'],
    ]);
    const first = await own.notebook(GPU);
    assert.equal(asked(), ['up h1']);
    const long = first.client.execute('import time; time.sleep(6)');
    const second = await own.notebook(GPU);
    await second.client.run('kept = 5');
    assert.equal(asked(), ['up h1', 'up h2']);
    assert.is((await long.done)['status'], 'ok');
    await own.until('one host is ended', async () => asked().length === 3, 60_000);
    assert.match(asked()[2]!, /^down h[12]$/);
    assert.is((await second.client.run('print(kept)')).text, '5\n');
    assert.is((await first.client.run('print(time.time() > 0)')).text, 'True\n');
    const ended = asked()[2]!.slice('down '.length);
    await own.until('its agent is gone', async () =>
      (await own.status()).hosts.some(({ id, state }) => id === ended && state === 'down'),
    );
  } finally {
    for (const id of ['h1', 'h2']) endAgent(join(own.data, `${id}.pid`));
    await own.stop();
  }
});

/** SIGTERM to a process that the program started, if it is there. */
function endAgent(file: string): void {
  if (!existsSync(file)) return;
  const pid = Number(readFileSync(file, 'utf8'));
  if (pid > 1 && isAlive(pid)) process.kill(pid, 'SIGTERM');
}

test.run();
