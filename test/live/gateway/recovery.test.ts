import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rememberRemoved } from '../../../live/gateway/removed-kernels.ts';
import { Client, create, type Kit, newBrain, startKit, stopKit, until } from './brain-kit.ts';

let kit: Kit;
test.before.each(() => {
  kit = startKit();
});
test.after.each(() => {
  kit.brain.loop.core.check();
  stopKit(kit);
});

/** The gateway ends without a word, and another one without any memory takes its place. */
async function restart(hosts = kit.agents.hosts): Promise<void> {
  kit.brain.close();
  kit.brain = newBrain(kit.agents);
  kit.agents.connect(kit.brain, hosts);
  await kit.brain.recovery.done;
}

test('kernels are known again, idle, with their names', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  await client.reply(client.run('print 1'));
  await restart();
  const [model] = kit.brain.kernels.list({ id: 'ann', admin: false });
  assert.is(model!.id, kernel);
  assert.is(model!.execution_state, 'idle');
  assert.equal(kit.brain.kernels.list({ id: 'bob', admin: false }), []);
  assert.is(kit.brain.kernels.sessionOf(kernel).path, 'a.ipynb');
  const again = new Client('s').attach(kit.brain, kernel);
  assert.is((await again.reply(again.run('print 1')))['execution_count'], 2);
  const other = await create(kit);
  assert.is.not(kit.brain.table.get(other)!.session, kit.brain.table.get(kernel)!.session);
});

test('mid-cell with 20 cells behind it: no line and no cell is lost, none runs twice', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  const running = client.run('hang');
  const queued = Array.from({ length: 20 }, () => client.run('print 2'));
  await until(() => client.of(running, 'execute_input').length === 1, 'it runs');
  await until(() => kit.agents.groups.get(kernel)!.log.open.size === 21, 'all are accepted');
  await restart();
  const again = new Client('s').attach(kit.brain, kernel);
  assert.is(again.received[0]?.content['execution_state'], 'busy');
  kit.agents.end(kernel);
  assert.is((await again.reply(running))['status'], 'ok');
  for (const [index, id] of queued.entries()) {
    assert.is((await again.reply(id))['execution_count'], index + 2);
    assert.is(again.text(id), '0\n1\n');
  }
  for (const runs of kit.agents.runs.values()) assert.is(runs, 1);
});

test('a reloaded page gets all lines of the running cell and the reply', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  const id = client.run('slow 100\nprint 3');
  await client.reply(id);
  const running = client.run('hang');
  await until(() => kit.brain.table.get(kernel)!.running !== undefined, 'it runs');
  client.attachment!.detach();
  const page = new Client('other').attach(kit.brain, kernel);
  kit.agents.end(kernel);
  await page.reply(running);
  assert.is(page.of(running, 'execute_input').length, 1);
  assert.is(page.of(id, 'execute_input').length, 0);
});

test('a client that reconnects gets what it missed, once', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  const id = client.run('hang');
  await until(() => client.of(id, 'execute_input').length === 1, 'it runs');
  client.attachment!.detach();
  kit.agents.end(kernel);
  await until(() => kit.brain.table.get(kernel)!.cells.size === 0, 'it ended');
  const again = new Client('s').attach(kit.brain, kernel);
  const types = again.received.map(({ type }) => type);
  assert.equal(types, ['execute_reply', 'status']);
});

test('lines before the restart are not sent twice, replies in between are', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  const id = client.run('hang');
  await until(() => client.of(id, 'execute_input').length === 1, 'it runs');
  const { seen } = kit.agents.groups.get(kernel)!;
  await until(() => [...seen.values()].includes(1), 'the agent knows what was seen');
  kit.brain.close();
  kit.agents.end(kernel);
  assert.is(kit.agents.groups.get(kernel)!.log.open.size, 0, 'it ended meanwhile');
  kit.brain = newBrain(kit.agents);
  kit.agents.connect(kit.brain);
  await kit.brain.recovery.done;
  const again = new Client('s').attach(kit.brain, kernel);
  assert.is((await again.reply(id))['status'], 'ok');
  assert.is(again.of(id, 'execute_input').length, 0);
  await restart();
  const third = new Client('s').attach(kit.brain, kernel);
  assert.is(third.of(id, 'execute_reply').length, 0);
});

test('what one replica said is not known because another one said more', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  kit.brain.moveEveryCell = true;
  const first = client.run('print 2');
  await client.reply(first);
  const second = client.run('print 2');
  await client.reply(second);
  const group = kit.agents.groups.get(kernel)!;
  const [own, other] = group.log.decided.map(({ entry }) => entry.type === 'end' && entry.executor);
  assert.is.not(own, other);
  kit.brain.close();
  // Nothing of the first cell had left the gateway, of the second all but its reply.
  group.seen.delete(own as number);
  group.seen.set(other as number, group.nextOutput - 1);
  group.replied = 0;
  await restart();
  await until(() => kit.brain.table.get(kernel)!.cells.size === 0, 'both are answered');
  const page = new Client('s').attach(kit.brain, kernel);
  assert.is(page.text(first), '0\n1\n');
  assert.is(page.text(second), '');
  for (const id of [first, second]) assert.is(page.of(id, 'execute_reply').length, 1);
});

test('a reply that no client got is kept although later cells have much higher numbers', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  const first = client.run('print 1');
  await client.reply(first);
  await restart();
  const again = new Client('s').attach(kit.brain, kernel);
  const second = again.run('print 1');
  await again.reply(second);
  const group = kit.agents.groups.get(kernel)!;
  kit.brain.close();
  // As if both replies had been about to leave.
  group.seen.clear();
  group.replied = 0;
  await restart();
  await until(() => kit.brain.table.get(kernel)!.cells.size === 0, 'both are answered');
  const page = new Client('s').attach(kit.brain, kernel);
  for (const id of [first, second]) assert.is(page.of(id, 'execute_reply').length, 1);
});

test('the host of the running cell is lost together with the gateway', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  await client.reply(client.run('print 1'));
  const id = client.run('hang');
  const behind = client.run('print 1', {}, { stop_on_error: false });
  await until(() => kit.agents.groups.get(kernel)!.log.open.size === 2, 'both are accepted');
  await until(() => kit.agents.runs.size === 2, 'it runs');
  const live = kit.brain.table.get(kernel)!;
  const { host } = live.members.get(live.executor)!;
  kit.agents.kill(host);
  await restart(kit.agents.hosts.filter((each) => each !== host));
  const again = new Client('s').attach(kit.brain, kernel);
  assert.is((await again.reply(id))['ename'], 'ExecutorLost');
  assert.is((await again.reply(behind))['status'], 'aborted');
  assert.is((await again.reply(again.run('print 1')))['status'], 'ok');
});

test('a kernel that was shut down while a host was away does not come back with it', async () => {
  const kernel = await create(kit);
  const live = kit.brain.table.get(kernel)!;
  const { host } = [...live.members.values()][2]!;
  kit.agents.cut(host, true);
  await until(() => !kit.brain.hosts.isUp(host), 'it is lost');
  await kit.brain.kernels.remove(kernel);
  kit.agents.cut(host, false);
  await until(() => kit.brain.hosts.isUp(host), 'it is back');
  await until(() => kit.agents.groups.get(kernel)!.members.size === 0, 'its replica is gone');
});

test('nor does it after a restart of the gateway', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'nbos-removed-'));
  const log = pino({ level: 'silent' });
  try {
    rememberRemoved(folder, kit.brain.table, log);
    const kernel = await create(kit);
    const other = await create(kit);
    const { host } = [...kit.brain.table.get(kernel)!.members.values()][2]!;
    kit.agents.cut(host, true);
    await until(() => !kit.brain.hosts.isUp(host), 'it is lost');
    await kit.brain.kernels.remove(kernel);
    kit.agents.cut(host, false);
    kit.brain.close();
    kit.brain = newBrain(kit.agents, {}, {}, ({ table }) => rememberRemoved(folder, table, log));
    kit.agents.connect(kit.brain);
    await kit.brain.recovery.done;
    await until(() => kit.agents.groups.get(kernel)!.members.size === 0, 'its replica is gone');
    assert.is(kit.brain.table.get(kernel), undefined);
    assert.ok(kit.brain.table.get(other));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('a kernel that only a late host reports is taken over then', async () => {
  stopKit(kit);
  kit = startKit({ config: { replicas: 1 } });
  const kernel = await create(kit);
  const { host } = [...kit.brain.table.get(kernel)!.members.values()][0]!;
  await restart(kit.agents.hosts.filter((each) => each !== host));
  assert.is(kit.brain.kernels.list({ id: 'ann', admin: false }).length, 0);
  kit.agents.hello(host);
  await until(() => kit.brain.table.get(kernel) !== undefined, 'it is known');
});

test.run();
