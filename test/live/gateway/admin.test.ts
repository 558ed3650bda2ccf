import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NbosError } from '../../../core/errors.ts';
import { Admin } from '../../../live/gateway/admin.ts';
import { Client, create, type Kit, startKit, stopKit, USER, until } from './brain-kit.ts';

const BOSS = { id: 'boss', admin: true };
let kit: Kit;
let admin: Admin;

function start(hosts: number): void {
  kit = startKit({ hosts });
  admin = new Admin({
    brain: kit.brain,
    links: kit.agents,
    policyName: 'notebookos',
    version: '1.2.3',
    url: () => 'http://here',
    drainMs: 30_000,
    journal: async function* () {},
  });
}

test.before.each(() => start(4));
test.after.each(() => {
  kit.brain.loop.core.check();
  stopKit(kit);
});

async function allReady(kernel: string): Promise<void> {
  const live = kit.brain.table.get(kernel)!;
  await until(
    () => live.members.size === 3 && [...live.members.values()].every(({ ready }) => ready),
    'three ready replicas',
  );
}

test('status: hosts, replicas, executor, queue; users see their own kernels', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  client.run('hang');
  client.run('print 1');
  await until(() => kit.brain.table.get(kernel)!.running !== undefined, 'it runs');
  await allReady(kernel);
  await until(() => admin.status(BOSS).kernels[0]!.replicas.every(({ pid }) => pid > 0), 'beats');
  const { gateway, hosts, kernels } = admin.status(BOSS);
  assert.is(gateway.url, 'http://here');
  assert.is(gateway.version, '1.2.3');
  assert.equal(
    hosts.map(({ id, up }) => `${id} ${up}`),
    ['h1 true', 'h2 true', 'h3 true', 'h4 true'],
  );
  assert.is(
    hosts.reduce((sum, { gpusCommitted }) => sum + gpusCommitted, 0),
    1,
  );
  const [status] = kernels;
  assert.is(status!.state, 'busy');
  assert.ok(status!.replicas.some(({ id }) => id === status!.executor));
  assert.equal(
    status!.queue.map(({ state, reason }) => `${state} ${reason}`),
    ['running ', 'waiting behind another cell'],
  );
  assert.is(admin.status({ id: 'bob', admin: false }).kernels.length, 0);
  assert.is(admin.status(USER).kernels.length, 1);
});

test('a replica moves to the host that has none', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  await client.reply(client.run('print 1'));
  await allReady(kernel);
  const live = kit.brain.table.get(kernel)!;
  const before = [...live.members.values()];
  const free = kit.agents.hosts.find((id) => !before.some(({ host }) => host === id))!;
  const answer = await admin.migrate(kernel, { to: free });
  assert.is(answer.to, free);
  assert.ok(before.some(({ host }) => host === answer.from));
  await until(() => live.members.size === 3, 'the old one is gone');
  assert.ok([...live.members.values()].some(({ host }) => host === free));
  assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
});

test('with as many hosts as replicas it says why it cannot', async () => {
  stopKit(kit);
  start(3);
  const kernel = await create(kit);
  await allReady(kernel);
  const refused = await admin.migrate(kernel, {}).catch((error: NbosError) => error);
  assert.ok(refused instanceof NbosError);
  assert.is(refused.code, 'migrate-refused');
  assert.match(refused.message, /3 hosts for 3 replicas/);
});

test('unknown names are said', async () => {
  const kernel = await create(kit);
  const wrong = [
    () => admin.migrate('nobody', {}),
    () => admin.migrate(kernel, { replica: 'x/99' }),
    () => admin.migrate(kernel, { to: 'h99' }),
    () => admin.fault({ fault: 'disconnect-host', host: 'h99' }),
    () => admin.fault({ fault: 'fail-next', kernel: 'nobody' }),
  ];
  for (const ask of wrong) {
    const error = await ask().catch((thrown: NbosError) => thrown);
    assert.ok(error instanceof NbosError);
    assert.is(error.code, 'request-invalid');
  }
});

test('faults go to the agents that they concern', async () => {
  const kernel = await create(kit);
  await allReady(kernel);
  await admin.fault({ fault: 'yield-next', kernel, times: 2 });
  await admin.fault({ fault: 'kill-replica', kernel });
  await admin.fault({ fault: 'slow-host', host: 'h2', delayMs: 5 });
  const kinds = kit.agents.requests.flatMap((request) =>
    request.t === 'fault' ? [request.fault.kind] : [],
  );
  assert.equal(kinds, ['yield-next', 'yield-next', 'yield-next', 'kill-replica', 'slow']);
  await admin.fault({ fault: 'move-every-cell', on: true });
  assert.ok(kit.brain.moveEveryCell);
});

test('cells: what they were, with their source', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  const done = client.run('print 1', { cellId: 'c1' });
  const failed = client.run('fail');
  await client.reply(done);
  await client.reply(failed);
  const running = client.run('hang');
  await until(() => kit.brain.table.get(kernel)!.running !== undefined, 'it runs');
  const records = admin.cellsOf(kernel);
  assert.equal(
    records.map(({ msgId, state, code, count }) => [msgId, state, code, count]),
    [
      [done, 'ok', 'print 1', 1],
      [failed, 'error', 'fail', 2],
      [running, 'running', 'hang', 3],
    ],
  );
  assert.is(records[0]!.cellId, 'c1');
  const outputs = kit.brain.kernels.outputsOf(kernel, done);
  assert.equal(outputs, [{ output_type: 'stream', name: 'stdout', text: '0\n' }]);
  assert.is(kit.brain.kernels.outputsOf(kernel, 'unknown'), undefined);
});

test('a drain waits for what runs, and refuses what is new', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  const running = client.run('hang');
  await until(() => kit.brain.table.get(kernel)!.running !== undefined, 'it runs');
  const drained = admin.drain();
  assert.ok(admin.health().draining);
  assert.is((await client.reply(client.run('print 1')))['ename'], 'CellRejected');
  kit.agents.end(kernel);
  assert.is((await drained).running, 0);
  assert.is((await client.reply(running))['status'], 'ok');
  const refused = await create(kit).catch((error: Error) => error);
  assert.match(String(refused), /shutting down/);
});

test.run();
