// time-limit: 120 s
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NbosError } from '../../../core/errors.ts';
import { batchFcfs } from '../../../core/policies/batch-fcfs.ts';
import { lcp } from '../../../core/policies/lcp.ts';
import type { Policy } from '../../../core/policies/policy.ts';
import type { LiveKernel } from '../../../live/gateway/kernel.ts';
import type { GatewayLimits } from '../../../live/gateway/limits.ts';
import { Client, create, type Kit, newBrain, startKit, stopKit, until } from './brain-kit.ts';

const test = suite('visits');
let kit: Kit;

function start(policy: Policy, hosts = 3, limits: Partial<GatewayLimits> = {}): void {
  kit = startKit({ policy, hosts, limits, config: { maxAttempts: 2 } });
}
test.after.each(() => stopKit(kit));

interface Notebook {
  kernel: string;
  client: Client;
  live: LiveKernel;
}

async function notebook(session = 's'): Promise<Notebook> {
  await kit.brain.recovery.done;
  const kernel = await create(kit);
  const client = new Client(session).attach(kit.brain, kernel);
  return { kernel, client, live: kit.brain.table.get(kernel)! };
}

function hostOf(live: LiveKernel): string {
  return [...live.members.values()].map(({ host }) => host).join();
}

function asked(t: string): number {
  return kit.agents.requests.filter((request) => request.t === t).length;
}

async function isAtRest({ kernel, live }: Notebook): Promise<void> {
  const group = (): string[] =>
    [...kit.agents.groups.get(kernel)!.members.values()].map(({ process }) => process);
  await until(() => group().join() === 'resting', 'its process has ended');
  assert.is(live.front(), undefined);
}

async function loseHost(live: LiveKernel): Promise<string> {
  const host = hostOf(live);
  kit.agents.kill(host);
  await until(() => !kit.brain.hosts.isUp(host), 'it is lost');
  return host;
}

async function startAgain(policy: Policy): Promise<void> {
  kit.brain.close();
  kit.brain = newBrain(kit.agents, {}, {}, () => undefined, undefined, policy);
  kit.agents.connect(kit.brain);
  await kit.brain.recovery.done;
}

for (const policy of [batchFcfs, lcp] as Policy[]) {
  const { name } = policy;

  test(`${name}: cells on any host, one count, one reply each`, async () => {
    start(policy, 4);
    const { client, live } = await notebook();
    const hosts = new Set<string>();
    for (let count = 1; count <= 8; count++) {
      const id = client.run('print 2');
      assert.is((await client.reply(id))['execution_count'], count);
      assert.is(client.text(id), '0\n1\n');
      assert.is(client.of(id, 'execute_reply').length, 1);
      hosts.add(hostOf(live));
    }
    assert.equal([...kit.agents.runs.values()], Array(8).fill(1));
    if (name === 'batch-fcfs') assert.ok(hosts.size > 1, 'it was on several hosts');
    else assert.is(hosts.size, 1);
    kit.brain.loop.core.check();
  });

  test(`${name}: kernel_info and the like before the first cell`, async () => {
    start(policy);
    const { client, live } = await notebook();
    assert.is(live.state, 'idle');
    const info = await client.reply(client.ask('kernel_info_request', {}), 'kernel_info_reply');
    assert.is((info['language_info'] as { name: string }).name, 'python');
    assert.is(info['protocol_version'], '5.3');
    const about = { code: 'pri', cursor_pos: 3 };
    const complete = client.ask('complete_request', about);
    assert.equal((await client.reply(complete, 'complete_reply'))['matches'], []);
    assert.equal(
      client.of(complete, 'status').map(({ execution_state: state }) => state),
      ['busy', 'idle'],
    );
    const debug = client.ask('debug_request', {}, {}, 'control');
    assert.is((await client.reply(debug, 'debug_reply'))['status'], 'error');
    const interrupt = client.ask('interrupt_request', {}, {}, 'control');
    assert.is((await client.reply(interrupt, 'interrupt_reply'))['status'], 'ok');
    assert.is(kit.agents.groups.size, 0);
  });

  test(`${name}: the reply waits until what the cell did is in the store`, async () => {
    start(policy);
    const { kernel, client } = await notebook();
    kit.agents.saveMs = 300;
    const id = client.run('print 1');
    await until(() => asked('save-replica') === 1, 'it is being saved');
    assert.is(client.of(id, 'execute_reply').length, 0);
    assert.is(kit.agents.saved.has(kernel), false);
    await client.reply(id);
    assert.is(kit.agents.saved.has(kernel), true);
  });

  test(`${name}: a store that takes nothing: the reply leaves with a notice`, async () => {
    start(policy, 3, { saveMs: 50 });
    const { client } = await notebook();
    kit.agents.storeSays = new NbosError('store-unreachable', 'shelf: nobody there');
    const id = client.run('print 1');
    assert.is((await client.reply(id))['status'], 'ok');
    assert.match(client.text(id), /is on h\d only, and lost with it: .*nobody there/);
    kit.agents.storeSays = undefined;
    assert.is((await client.reply(client.run('print 1')))['execution_count'], 2);
  });

  test(`${name}: a host is lost while a cell runs: that ends, the next one runs elsewhere`, async () => {
    start(policy);
    const { client, live } = await notebook();
    await client.reply(client.run('print 1'));
    const id = client.run('hang');
    await until(() => live.running !== undefined, 'it runs');
    const behind = client.run('print 1', {}, { stop_on_error: false });
    const lost = await loseHost(live);
    assert.is((await client.reply(id))['ename'], 'ExecutorLost');
    await client.reply(behind);
    assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
    assert.is.not(hostOf(live), lost);
    kit.agents.hello(lost);
    await until(() => kit.brain.hosts.isUp(lost), 'it is back');
    assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
  });

  test(`${name}: a host is lost at rest: on from the store; back before that: from its log`, async () => {
    start(policy, 1);
    const { client, live } = await notebook();
    await client.reply(client.run('print 1'));
    const lost = await loseHost(live);
    const waiting = client.run('print 1');
    const second = client.run('print 1');
    await kit.brain.kernels.interrupt(live.id);
    assert.is((await client.reply(waiting))['ename'], 'KeyboardInterrupt');
    assert.is((await client.reply(second))['status'], 'aborted');
    kit.agents.hello(lost);
    assert.is((await client.reply(client.run('print 1')))['execution_count'], 2);
    assert.is(asked('restore-replica'), 0);
  });

  test(`${name}: the gateway starts again: at rest, with cells that wait, with one that runs`, async () => {
    start(policy);
    const books = [await notebook('a'), await notebook('b'), await notebook('c')];
    for (const { client } of books) await client.reply(client.run('print 1'));
    const [resting, running, waiting] = books as [Notebook, Notebook, Notebook];
    const runs = running.client.run('hang');
    const first = waiting.client.run('hang');
    await until(() => running.live.running !== undefined, 'it runs');
    await until(() => waiting.live.running !== undefined, 'it runs');
    const behind = waiting.client.run('print 1', {}, { stop_on_error: false });
    await until(() => [...waiting.live.cells.values()].every(({ accepted }) => accepted), 'taken');
    await startAgain(policy);
    for (const book of books) {
      book.client.attach(kit.brain, book.kernel);
      book.live = kit.brain.table.get(book.kernel)!;
    }
    kit.brain.loop.core.check();
    assert.is(kit.brain.loop.core.state.totals.running, 2);
    await kit.brain.kernels.interrupt(running.kernel);
    await running.client.reply(runs);
    await kit.brain.kernels.interrupt(waiting.kernel);
    await waiting.client.reply(first);
    await waiting.client.reply(behind);
    for (const { client } of [resting, running, waiting]) {
      const reply = await client.reply(client.run('print 1'));
      assert.is(reply['status'], 'ok');
    }
    kit.brain.loop.core.check();
    for (const count of kit.agents.runs.values()) assert.is(count, 1);
  });

  test(`${name}: restart before the first cell, at rest, and while a cell runs`, async () => {
    start(policy);
    const { kernel, client, live } = await notebook();
    await kit.brain.kernels.restart(kernel);
    await client.reply(client.run('print 1'));
    await kit.brain.kernels.restart(kernel);
    assert.is((await client.reply(client.run('print 1')))['execution_count'], 1);
    const id = client.run('hang');
    await until(() => live.running !== undefined, 'it runs');
    await kit.brain.kernels.restart(kernel);
    assert.is((await client.reply(id))['status'], 'aborted');
    const reply = await client.reply(client.run('print 1'));
    assert.equal([reply['status'], reply['execution_count']], ['ok', 1]);
    kit.brain.loop.core.check();
  });

  test(`${name}: a shutdown removes its log, at rest and while a cell runs`, async () => {
    start(policy);
    for (const code of ['print 1', 'hang']) {
      const { kernel, client, live } = await notebook(code);
      const id = client.run(code);
      if (code === 'hang') await until(() => live.running !== undefined, 'it runs');
      else await client.reply(id);
      await kit.brain.kernels.remove(kernel);
      const { groups } = kit.agents;
      await until(() => groups.get(kernel)!.members.size === 0, 'nothing is left of it');
      const said = kit.agents.requests.findLast(({ t }) => t === 'stop-replica');
      assert.is(said?.t === 'stop-replica' && said.closed, true);
    }
    kit.brain.loop.core.check();
  });

  test(`${name}: a kernel of a policy of the other kind is left where it is`, async () => {
    start(policy);
    const { kernel, client } = await notebook();
    await client.reply(client.run('print 1'));
    kit.brain.close();
    kit.brain = newBrain(kit.agents);
    kit.agents.connect(kit.brain);
    await kit.brain.recovery.done;
    assert.is(kit.brain.table.get(kernel), undefined);
    await startAgain(policy);
    client.attach(kit.brain, kernel);
    assert.is((await client.reply(client.run('print 1')))['execution_count'], 2);
  });
}

test('batch-fcfs: there is no process between cells', async () => {
  start(batchFcfs);
  const book = await notebook();
  for (let cell = 0; cell < 3; cell++) {
    await book.client.reply(book.client.run('print 1'));
    await isAtRest(book);
  }
  assert.is(kit.brain.loop.core.state.containers.size, 0);
});

test('a beginning that fails: the cell is rejected as the store says, the kernel goes on', async () => {
  start(batchFcfs, 2, { saveMs: 20 });
  const { client, live } = await notebook();
  await client.reply(client.run('print 1'));
  const lost = await loseHost(live);
  kit.agents.storeSays = new NbosError('store-denied', 'shelf: not for you');
  const reply = await client.reply(client.run('print 1'));
  assert.match(String(reply['evalue']), /store-denied: shelf: not for you/);
  kit.agents.storeSays = undefined;
  assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
  assert.is.not(hostOf(live), lost);
});

test('a process that does not start anywhere: the cell is rejected, the next one runs', async () => {
  start(batchFcfs, 2);
  for (const host of kit.agents.hosts) kit.agents.broken.add(host);
  const { client } = await notebook();
  const reply = await client.reply(client.run('print 1'));
  assert.match(String(reply['evalue']), /no module named ipykernel/);
  kit.agents.broken.clear();
  assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
});

test('lcp: the process stays for the next cell, and goes when another kernel needs its container', async () => {
  start(lcp, 1);
  const first = await notebook('a');
  await first.client.reply(first.client.run('print 1'));
  await first.client.reply(first.client.run('print 1'));
  assert.is(asked('start-replica'), 1);
  assert.is(asked('rest-replica'), 0);
  const others = [await notebook('b'), await notebook('c')];
  for (const { client } of others) await client.reply(client.run('print 1'));
  await isAtRest(first);
  assert.is((await first.client.reply(first.client.run('print 1')))['execution_count'], 3);
  kit.brain.loop.core.check();
});

test('lcp: back in its container after it was elsewhere', async () => {
  start(lcp, 2);
  const { client, live } = await notebook();
  await client.reply(client.run('print 1'));
  const home = hostOf(live);
  // All GPUs of its host are taken, for a while.
  const others: Notebook[] = [];
  for (const session of ['b', 'c', 'd', 'e']) others.push(await notebook(session));
  for (const other of others) other.client.run('hang');
  await until(() => others.filter(({ live: each }) => each.running).length === 4, 'all run');
  const id = client.run('print 1');
  await kit.brain.kernels.interrupt(others.find((each) => hostOf(each.live) !== home)!.kernel);
  await client.reply(id);
  assert.is.not(hostOf(live), home);
  for (const { kernel, live: each } of others)
    if (each.running !== undefined) await kit.brain.kernels.interrupt(kernel);
  assert.is((await client.reply(client.run('print 1')))['execution_count'], 3);
  kit.brain.loop.core.check();
});

test('lcp: a process that has died between cells is started again', async () => {
  start(lcp, 1);
  const { kernel, client } = await notebook();
  await client.reply(client.run('print 1'));
  kit.agents.die(kernel);
  const reply = await client.reply(client.run('print 1'));
  assert.equal([reply['status'], reply['execution_count']], ['ok', 2]);
});

test('an agent that starts again while a process comes: the cell is placed anew', async () => {
  start(lcp, 1);
  const { kernel, client, live } = await notebook();
  await client.reply(client.run('print 1'));
  const others = [await notebook('b'), await notebook('c')];
  for (const other of others) await other.client.reply(other.client.run('print 1'));
  kit.agents.startMs = 200;
  const id = client.run('print 1');
  const group = kit.agents.groups.get(kernel)!;
  await until(() => [...group.members.values()][0]?.process === 'starting', 'its process comes');
  // Sooner than anybody misses it.
  const host = hostOf(live);
  kit.agents.kill(host);
  kit.agents.hello(host);
  const reply = await client.reply(id);
  assert.is(reply['status'], 'ok', JSON.stringify(reply));
});

test('what a gateway before this one had begun elsewhere is told to go', async () => {
  start(batchFcfs, 2);
  const { kernel, client, live } = await notebook();
  await client.reply(client.run('print 1'));
  const other = kit.agents.hosts.find((host) => host !== hostOf(live))!;
  const beginning = { beyond: live.appliedIndex, after: 0, empty: false, waiting: [] };
  const request = { t: 'restore-replica' as const, pooled: '', meta: live.meta, member: 99 };
  await kit.agents.request(other, { ...request, ...beginning });
  await until(() => {
    const { requests } = kit.agents;
    return requests.some((each) => each.t === 'stop-replica' && each.member === 99);
  }, 'it is told to go');
  assert.is((await client.reply(client.run('print 1')))['execution_count'], 2);
  assert.is(kit.brain.table.get(kernel), live);
});

test.run();
