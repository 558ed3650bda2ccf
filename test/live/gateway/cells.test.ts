import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Client, create, type Kit, pause, startKit, stopKit, until } from './brain-kit.ts';

let kit: Kit;
test.before.each(() => {
  kit = startKit();
});
test.after.each(() => {
  kit.brain.loop.core.check();
  stopKit(kit);
});

test('a cell: busy, input, output, reply, idle, in this order, once', async () => {
  const client = new Client('s').attach(kit.brain, await create(kit));
  const id = client.run('print 3');
  await client.reply(id);
  await until(() => client.of(id, 'status').length === 2, 'idle');
  const types = client.received.filter(({ parent }) => parent === id).map(({ type }) => type);
  const streams = ['stream', 'stream', 'stream'];
  assert.equal(types, ['status', 'execute_input', ...streams, 'execute_reply', 'status']);
  assert.is(client.text(id), '0\n1\n2\n');
  assert.is((await client.reply(id))['execution_count'], 1);
});

test('a first cell has SUBMIT and START in one commit', async () => {
  const client = new Client('s').attach(kit.brain, await create(kit));
  await client.reply(client.run('print 1'));
  const batches = kit.agents.requests.flatMap((request) =>
    request.t === 'propose' ? [request.entries.map(({ type }) => type)] : [],
  );
  assert.equal(batches, [['submit', 'start']]);
});

test('cells of one kernel run one after the other with counts that go up', async () => {
  const client = new Client('s').attach(kit.brain, await create(kit));
  const ids = Array.from({ length: 20 }, () => client.run('print 1'));
  for (const [index, id] of ids.entries())
    assert.is((await client.reply(id))['execution_count'], index + 1);
  const replies = client.received.filter(({ type }) => type === 'execute_reply');
  assert.equal(
    replies.map(({ parent }) => parent),
    ids,
  );
});

test('after a failure what waits is aborted, what comes later runs', async () => {
  const client = new Client('s').attach(kit.brain, await create(kit));
  const failing = client.run('fail');
  const behind = [client.run('print 1'), client.run('print 1')];
  assert.is((await client.reply(failing))['status'], 'error');
  for (const id of behind) assert.is((await client.reply(id))['status'], 'aborted');
  assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
  assert.is(kit.agents.runs.size, 2);
});

test('stop_on_error false lets them run', async () => {
  const client = new Client('s').attach(kit.brain, await create(kit));
  const failing = client.run('fail', {}, { stop_on_error: false });
  const behind = client.run('print 1');
  assert.is((await client.reply(failing))['status'], 'error');
  assert.is((await client.reply(behind))['status'], 'ok');
});

test('the same request again is answered again and not run again', async () => {
  const client = new Client('s').attach(kit.brain, await create(kit));
  const id = client.run('print 1');
  await client.reply(id);
  const header = { msg_id: id, msg_type: 'execute_request', session: 's' };
  const content = { code: 'print 1', silent: false };
  client.again({ ...header, username: '', date: '', version: '' }, content, {}, 'shell');
  await until(() => client.of(id, 'execute_reply').length === 2, 'a second reply');
  assert.equal([...kit.agents.runs.values()], [1]);
});

test('need: the kernel, a first line, metadata; nothing for silent requests', async () => {
  const kernel = await create(kit, { KERNEL_GPUS: '2' });
  const client = new Client('s').attach(kit.brain, kernel);
  const needs = [
    client.run('print 1'),
    client.run('# nbos: gpus=0\nprint 1'),
    client.run('print 1', { nbos: { gpus: 1 } }),
    client.run('print 1', {}, { silent: true }),
    client.run('print 1', {}, { store_history: false }),
  ];
  await client.reply(needs.at(-1)!);
  const entries = kit.agents.requests.flatMap((request) =>
    request.t === 'propose' ? request.entries : [],
  );
  const gpus = entries.flatMap((entry) =>
    entry.type === 'submit' ? [entry.need.gpuMillis / 1000] : [],
  );
  assert.equal(gpus, [2, 0, 1, 0, 0]);
  const counts = entries.flatMap((entry) => (entry.type === 'start' ? [entry.count] : []));
  assert.equal(counts, [1, 2, 3, 3, 3]);
});

test('a cell that waits for GPUs starts when they come back', async () => {
  const all = await Promise.all(Array.from({ length: 5 }, () => create(kit, { KERNEL_GPUS: '2' })));
  const clients = all.map((id, index) => new Client(`s${index}`).attach(kit.brain, id));
  const held = clients.slice(0, 4).map((client) => client.run('hang'));
  await until(() => kit.agents.runs.size === 4, 'four cells run');
  const waiting = clients[4]!.run('print 1', { cellId: 'x' });
  await pause(30);
  assert.is(kit.agents.runs.size, 4);
  await kit.brain.kernels.interrupt(all[0]!);
  assert.is((await clients[0]!.reply(held[0]!))['status'], 'error');
  assert.is((await clients[4]!.reply(waiting))['status'], 'ok');
});

test('an interrupt of a waiting cell answers it and does not run those behind it', async () => {
  const all = await Promise.all(Array.from({ length: 5 }, () => create(kit, { KERNEL_GPUS: '2' })));
  const clients = all.map((id, index) => new Client(`s${index}`).attach(kit.brain, id));
  for (const client of clients.slice(0, 4)) client.run('hang');
  await until(() => kit.agents.runs.size === 4, 'four cells run');
  const last = clients[4]!;
  const [first, second] = [last.run('print 1'), last.run('print 1')];
  await kit.brain.kernels.interrupt(all[4]!);
  assert.is((await last.reply(first))['ename'], 'KeyboardInterrupt');
  assert.is((await last.reply(second))['status'], 'aborted');
  await kit.brain.kernels.interrupt(all[0]!);
  assert.is((await last.reply(last.run('print 1')))['status'], 'ok');
});

test('a person is told why a cell waits, in one message that is replaced', async () => {
  stopKit(kit);
  kit = startKit({ limits: { waitNoticeMs: 20 } });
  const all = await Promise.all(Array.from({ length: 5 }, () => create(kit, { KERNEL_GPUS: '2' })));
  const clients = all.map((id, index) => new Client(`s${index}`).attach(kit.brain, id));
  for (const client of clients.slice(0, 4)) client.run('hang');
  await until(() => kit.agents.runs.size === 4, 'four cells run');
  const [person, batch] = [clients[4]!.run('print 1', { cellId: 'x' }), clients[4]!.run('print 1')];
  await until(() => clients[4]!.of(person, 'display_data').length === 1, 'the notice');
  const said = clients[4]!.of(person, 'display_data')[0]!['data'] as Record<string, string>;
  assert.match(said['text/plain']!, /waiting for 2 GPU, number 1 in line/);
  await kit.brain.kernels.interrupt(all[0]!);
  await clients[4]!.reply(batch);
  assert.is(clients[4]!.of(person, 'update_display_data').length, 1);
  assert.is(clients[4]!.of(batch, 'display_data').length, 0);
});

test('a restart ends what is open, and counts begin anew', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  await client.reply(client.run('print 1'));
  const [running, waiting] = [client.run('hang'), client.run('print 1')];
  await until(() => kit.agents.runs.size === 2, 'the second cell runs');
  const model = await kit.brain.kernels.restart(kernel);
  assert.is(model.execution_state, 'idle');
  for (const id of [running, waiting]) assert.is((await client.reply(id))['status'], 'aborted');
  const states = client.received
    .filter(({ type, parent }) => type === 'status' && parent === '')
    .map(({ content }) => content['execution_state']);
  assert.equal(states, ['starting', 'idle']);
  assert.is((await client.reply(client.run('print 1')))['execution_count'], 1);
});

test('a kernel that is shut down takes its replicas along', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  const running = client.run('hang');
  await until(() => kit.agents.runs.size === 1, 'it runs');
  await kit.brain.kernels.remove(kernel);
  assert.is((await client.reply(running))['status'], 'aborted');
  await until(() => kit.agents.groups.get(kernel)!.members.size === 0, 'no replica is left');
  assert.equal(kit.brain.kernels.list({ id: 'ann', admin: true }), []);
  assert.throws(() => kit.brain.kernels.sessionOf(kernel), /does not exist/);
});

test('a kernel whose processes do not start is refused with the reason', async () => {
  for (const host of kit.agents.hosts) kit.agents.broken.add(host);
  const failed = await create(kit).catch((error: Error) => error);
  assert.match(String(failed), /no module named ipykernel/);
  assert.is(kit.brain.kernels.list({ id: 'ann', admin: true }).length, 0);
});

test('outputs that are lost on the way are fetched again, in order', async () => {
  const client = new Client('s').attach(kit.brain, await create(kit));
  for (const seq of [4, 5, 9]) kit.agents.lost.add(seq);
  const id = client.run('print 10');
  await client.reply(id);
  const lines = Array.from({ length: 10 }, (_, line) => `${line}\n`);
  assert.is(client.text(id), lines.join(''));
});

test('requests of all kinds go to the process that speaks for the kernel, and back', async () => {
  const kernel = await create(kit);
  const [one, other] = [new Client('a'), new Client('b')];
  one.attach(kit.brain, kernel);
  other.attach(kit.brain, kernel);
  const id = one.ask('complete_request', { code: 'x' });
  await one.reply(id, 'complete_reply');
  const info = one.ask('kernel_info_request', {});
  await one.reply(info, 'kernel_info_reply');
  assert.is(other.received.filter(({ channel }) => channel === 'shell').length, 0);
});

test('a busy kernel says what it is at once', async () => {
  const kernel = await create(kit);
  const client = new Client('a').attach(kit.brain, kernel);
  await client.reply(client.ask('kernel_info_request', {}), 'kernel_info_reply');
  client.run('hang');
  await until(() => kit.agents.runs.size === 1, 'it runs');
  const asked = kit.agents.requests.length;
  await client.reply(client.ask('kernel_info_request', {}), 'kernel_info_reply');
  assert.is(kit.agents.requests.length, asked);
});

test.run();
