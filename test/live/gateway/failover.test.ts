import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { LiveKernel } from '../../../live/gateway/kernel.ts';
import { Client, create, type Kit, pause, startKit, stopKit, until } from './brain-kit.ts';

let kit: Kit;
test.before.each(() => {
  kit = startKit();
});
test.after.each(() => {
  kit.brain.loop.core.check();
  stopKit(kit);
});

function executorHost(kernel: string): string {
  const live = kit.brain.table.get(kernel)!;
  return live.members.get(live.executor)!.host;
}

function hostsOf(kernel: LiveKernel): string[] {
  return [...kernel.members.values()].map(({ host }) => host).sort();
}

test("the executor's process dies mid-cell: an error reply, the next cell runs", async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  await client.reply(client.run('print 1'));
  const id = client.run('hang');
  await until(() => kit.brain.table.get(kernel)!.running !== undefined, 'it runs');
  kit.agents.die(kernel);
  const reply = await client.reply(id);
  assert.is(reply['status'], 'error');
  assert.is(reply['ename'], 'ExecutorDied');
  assert.is(client.of(id, 'error').length, 1);
  const next = await client.reply(client.run('print 1'));
  assert.is(next['status'], 'ok');
  assert.is(next['execution_count'], 3);
  assert.equal([...kit.agents.runs.values()], [1, 1, 1]);
});

test('the host is lost mid-cell: an error reply once its lease is over', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  const id = client.run('hang');
  const behind = client.run('print 1');
  await until(() => kit.brain.table.get(kernel)!.running !== undefined, 'it runs');
  const host = executorHost(kernel);
  kit.agents.kill(host);
  const reply = await client.reply(id);
  assert.is(reply['ename'], 'ExecutorLost');
  assert.match(String(reply['evalue']), new RegExp(`${host} was lost`));
  assert.is((await client.reply(behind))['status'], 'aborted');
  assert.is((await client.reply(client.run('print 2')))['status'], 'ok');
  const live = kit.brain.table.get(kernel)!;
  await until(() => live.members.size === 3 && !hostsOf(live).includes(host), 'a new replica');
});

test('a host that comes back with its log goes on, without a new member', async () => {
  stopKit(kit);
  kit = startKit({ hosts: 3 });
  const kernel = await create(kit);
  const live = kit.brain.table.get(kernel)!;
  await until(() => [...live.members.values()].every(({ ready }) => ready), 'all ready');
  const members = [...live.members.keys()];
  kit.agents.kill('h2');
  await until(() => !kit.brain.hosts.isUp('h2'), 'h2 is lost');
  const client = new Client('s').attach(kit.brain, kernel);
  await client.reply(client.run('print 1'));
  kit.agents.groups.get(kernel)!.members.forEach((member) => {
    member.process = 'ready';
  });
  kit.agents.hello('h2');
  await until(() => kit.brain.hosts.isUp('h2'), 'h2 is up');
  await until(() => [...live.members.values()].every(({ ready }) => ready), 'all ready again');
  assert.equal([...live.members.keys()], members);
  const session = kit.brain.loop.core.state.sessions[live.session]!;
  assert.equal(
    session.replicas.map(({ state }) => state),
    ['ready', 'ready', 'ready'],
  );
});

test('a host that is only not heard for a while comes back without a hello', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  await client.reply(client.run('print 1'));
  const host = executorHost(kernel);
  kit.agents.cut(host, true);
  await until(() => !kit.brain.hosts.isUp(host), 'it counts as lost');
  assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
  kit.agents.cut(host, false);
  await until(() => kit.brain.hosts.isUp(host), 'it is back');
  assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
});

test('a cell that ended although its host is not heard any more keeps its result', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  const id = client.run('hang');
  await until(() => kit.brain.table.get(kernel)!.running !== undefined, 'it runs');
  kit.agents.cut(executorHost(kernel), true);
  kit.agents.end(kernel);
  const reply = await client.reply(id);
  assert.is(reply['status'], 'ok');
  await pause(300);
  assert.is(client.of(id, 'execute_reply').length, 1);
  assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
});

test('all replicas on busy hosts: one moves, and the cell runs there', async () => {
  const kernel = await create(kit, { KERNEL_GPUS: '2' });
  const client = new Client('s').attach(kit.brain, kernel);
  await client.reply(client.run('print 1'));
  const live = kit.brain.table.get(kernel)!;
  const before = hostsOf(live);
  const others = await Promise.all(
    Array.from({ length: 4 }, () => create(kit, { KERNEL_GPUS: '2' })),
  );
  const clients = others.map((id, index) => new Client(`o${index}`).attach(kit.brain, id));
  // Three cells take the hosts of the kernel, as far as core places them there.
  for (const each of clients) each.run('hang');
  await until(
    () => others.every((other) => kit.brain.table.get(other)!.running !== undefined),
    'all four hosts are busy',
  );
  const id = client.run('print 1');
  const free = others.find((other) => !before.includes(executorHost(other)))!;
  await kit.brain.kernels.interrupt(free);
  assert.is((await client.reply(id))['status'], 'ok');
  assert.is(kit.brain.loop.core.state.totals.migrations, 1);
  assert.not.equal(hostsOf(live), before);
  await until(() => live.members.size === 3, 'the old one is gone');
  assert.is(kit.agents.groups.get(kernel)!.members.size, 3);
});

test('a new executor before each cell', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  const live = kit.brain.table.get(kernel)!;
  await until(() => [...live.members.values()].every(({ ready }) => ready), 'all ready');
  kit.brain.moveEveryCell = true;
  const executors: number[] = [];
  for (let cell = 0; cell < 10; cell++) {
    const id = client.run('print 2');
    assert.is((await client.reply(id))['execution_count'], cell + 1);
    assert.is(client.text(id), '0\n1\n');
    executors.push(live.executor);
  }
  for (let cell = 1; cell < 10; cell++) assert.is.not(executors[cell], executors[cell - 1]);
});

test('a host on which no process starts leaves the kernel usable', async () => {
  kit.agents.broken.add('h1');
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
  const live = kit.brain.table.get(kernel)!;
  await until(() => [...live.members.values()].filter(({ ready }) => ready).length === 2, 'two');
});

test.run();
