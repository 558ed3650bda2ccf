import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NbosError } from '../../../core/errors.ts';
import type { LiveKernel } from '../../../live/gateway/kernel.ts';
import { kernelOf } from '../../../live/gateway/reports.ts';
import { Client, create, type Kit, startKit, stopKit, until } from './brain-kit.ts';

const test = suite('restore');
let kit: Kit;

function start(hosts: number, maxAttempts = 5): void {
  kit = startKit({ hosts, config: { replicas: 1, maxAttempts } });
}
test.after.each(() => stopKit(kit));

interface Notebook {
  kernel: string;
  client: Client;
  live: LiveKernel;
}

async function notebook(): Promise<Notebook> {
  await kit.brain.recovery.done;
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  return { kernel, client, live: kit.brain.table.get(kernel)! };
}

async function loseHost(live: LiveKernel): Promise<string> {
  const [member] = live.members.values();
  const { host } = member!;
  kit.agents.kill(host);
  await until(() => !kit.brain.hosts.isUp(host), 'it is lost');
  return host;
}

function restores(): number {
  return kit.agents.requests.filter(({ t }) => t === 'restore-replica').length;
}

test('the one host of a kernel is lost: it goes on elsewhere with what was saved', async () => {
  start(3);
  const { kernel, client, live } = await notebook();
  await client.reply(client.run('print 1'));
  await client.reply(client.run('print 1'));
  kit.agents.save(kernel);
  const lost = await loseHost(live);
  const id = client.run('print 2');
  const reply = await client.reply(id);
  assert.equal([reply['status'], reply['execution_count']], ['ok', 3]);
  assert.is(client.text(id), '0\n1\n');
  assert.is(restores(), 1);
  assert.is.not([...live.members.values()][0]!.host, lost);
  assert.is((await client.reply(client.run('print 1')))['execution_count'], 4);
});

test('a cell that ran is lost, those behind it that go on run; what was not saved is named', async () => {
  start(3);
  const { kernel, client, live } = await notebook();
  await client.reply(client.run('print 1'));
  kit.agents.save(kernel);
  await client.reply(client.run('print 1'));
  const running = client.run('hang');
  await until(() => live.running !== undefined, 'it runs');
  const behind = client.run('print 2', {}, { stop_on_error: false });
  await loseHost(live);
  const reply = await client.reply(running);
  assert.equal([reply['status'], reply['ename']], ['error', 'ExecutorLost']);
  await client.reply(behind).catch(() => undefined);
  const last = client.run('print 1');
  assert.is((await client.reply(last))['status'], 'ok');
  const said = [behind, last].map((id) => client.text(id)).join('');
  assert.match(said, /^NotebookOS: all hosts that had this kernel are lost/);
  assert.match(said, /what \[2\] did to them had not come there/);
});

test('a store that does not answer: cells are told, and run once it does', async () => {
  start(3, 1);
  const { kernel, client, live } = await notebook();
  await client.reply(client.run('print 1'));
  kit.agents.save(kernel);
  kit.agents.storeSays = new NbosError('store-unreachable', 'shelf: nobody there');
  await loseHost(live);
  const reply = await client.reply(client.run('print 1'));
  assert.match(String(reply['evalue']), /store-unreachable: shelf: nobody there/);
  kit.agents.storeSays = undefined;
  assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
});

test('a restart, when the store was asked in vain, begins empty', async () => {
  start(3, 1);
  const { kernel, client, live } = await notebook();
  await client.reply(client.run('print 1'));
  kit.agents.save(kernel);
  kit.agents.storeSays = new NbosError('store-corrupt', 'shelf: changed');
  await loseHost(live);
  await client.reply(client.run('print 1'));
  await kit.brain.kernels.restart(kernel);
  kit.agents.storeSays = undefined;
  const id = client.run('print 1');
  assert.is((await client.reply(id))['execution_count'], 1);
  assert.is(client.text(id), '0\n');
  const asked = kit.agents.requests.findLast(({ t }) => t === 'restore-replica');
  assert.ok(asked?.t === 'restore-replica' && asked.empty);
});

test('a gateway that starts anew knows of a restart of the kernel as its host does', async () => {
  start(2);
  const { kernel, client, live } = await notebook();
  await client.reply(client.run('print 1'));
  const report = {
    ...{ meta: live.meta, applied: 9, epoch: 3, executor: 1, nextCell: 2, nextAttempt: 2 },
    count: 0,
  };
  assert.is(kernelOf({ ...report, resetAt: 7 }).resetAt, 7, kernel);
  assert.is(kernelOf(report).resetAt, 0);
});

test('a host that comes back with its log goes on with it, and the store is left alone', async () => {
  start(1);
  const { kernel, client, live } = await notebook();
  await client.reply(client.run('print 1'));
  kit.agents.save(kernel);
  const host = await loseHost(live);
  kit.agents.hello(host);
  assert.is((await client.reply(client.run('print 1')))['execution_count'], 2);
  assert.is(restores(), 0);
  assert.is(live.members.size, 1);
});

test('what is taken back while the store is read does not run', async () => {
  start(3);
  const { kernel, client, live } = await notebook();
  await client.reply(client.run('print 1'));
  kit.agents.save(kernel);
  kit.agents.startMs = 300;
  await loseHost(live);
  const id = client.run('print 1');
  await until(() => restores() === 1, 'the store is asked');
  await kit.brain.kernels.interrupt(kernel);
  assert.is((await client.reply(id))['ename'], 'KeyboardInterrupt');
  assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
  assert.equal([...kit.agents.runs.values()], [1, 1]);
});

test.run();
