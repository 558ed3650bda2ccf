import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NbosError } from '../../../core/errors.ts';
import type { GatewayRequest } from '../../../live/wire/messages.ts';
import {
  Client,
  create,
  type Kit,
  newBrain,
  pause,
  startKit,
  stopKit,
  until,
} from './brain-kit.ts';
import type { FakeAgents } from './fake-agents.ts';

let kit: Kit;
test.before.each(() => {
  kit = startKit();
});
test.after.each(() => {
  kit.brain.loop.core.check();
  stopKit(kit);
});

type Batch = Extract<GatewayRequest, { t: 'propose' }>;

/** Entries on their way: those that `holds` picks are committed only when asked for. */
class Held {
  readonly batches: Batch[] = [];
  #answers: (() => void)[] = [];
  readonly #agents: FakeAgents;
  readonly #request: FakeAgents['request'];

  constructor(agents: FakeAgents, holds: (batch: Batch) => boolean) {
    this.#agents = agents;
    this.#request = agents.request.bind(agents);
    agents.request = (host, request) => {
      if (request.t !== 'propose' || !holds(request)) return this.#request(host, request);
      this.batches.push(request);
      return new Promise((resolve) => this.#answers.push(() => resolve(undefined)));
    };
  }

  /** Whoever asked for them may be gone by now. */
  commit(): void {
    for (const { kernel, entries } of this.batches.splice(0))
      for (const entry of entries) this.#agents.apply(kernel, entry);
    for (const answer of this.#answers.splice(0)) answer();
  }

  end(): void {
    this.#agents.request = this.#request;
  }
}

async function restart(hosts = kit.agents.hosts): Promise<void> {
  kit.brain.close();
  kit.brain = newBrain(kit.agents);
  kit.agents.connect(kit.brain, hosts);
  await kit.brain.recovery.done;
}

/** A request with the identity of an earlier one. */
function again(client: Client, id: string, code: string): void {
  const header = { msg_id: id, msg_type: 'execute_request', session: client.session };
  const content = { code, silent: false };
  client.again({ ...header, username: '', date: '', version: '' }, content, {}, 'shell');
}

test('a request that only the log remembers is answered, and the kernel goes on', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  const first = client.run('print 1');
  await client.reply(first);
  for (let cell = 0; cell < 70; cell++) await client.reply(client.run('print 1'));
  again(client, first, 'print 1');
  await until(() => client.of(first, 'execute_reply').length === 2, 'an answer');
  assert.is(client.of(first, 'execute_reply')[1]!['status'], 'error');
  assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
  for (const runs of kit.agents.runs.values()) assert.is(runs, 1);
  assert.is(kit.agents.runs.size, 72);
});

test('cells that the scheduler rejects at once are answered and are not left open', async () => {
  stopKit(kit);
  kit = startKit({ config: { kernelQueueLimit: 2 } });
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  const ids = Array.from({ length: 6 }, () => client.run('slow 30'));
  const replies = await Promise.all(ids.map((id) => client.reply(id)));
  assert.equal(
    replies.map(({ ename }) => ename ?? 'ok'),
    ['ok', 'ok', 'ok', 'CellRejected', 'CellRejected', 'CellRejected'].map((each) =>
      each === 'ok' ? 'slow' : each,
    ),
  );
  assert.is(kit.agents.groups.get(kernel)!.log.open.size, 0);
});

test('a cell that ends while hosts are still waited for is answered', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  const id = client.run('hang');
  await until(() => kit.brain.table.get(kernel)!.running !== undefined, 'it runs');
  const behind = client.run('print 1');
  await until(() => kit.agents.groups.get(kernel)!.log.open.size === 2, 'both are accepted');
  const live = kit.brain.table.get(kernel)!;
  const idle = kit.agents.hosts.find((host) => host !== live.members.get(live.executor)!.host)!;
  kit.agents.kill(idle);
  // It is waited for, and meanwhile the cell ends.
  const restarted = restart(kit.agents.hosts.filter((host) => host !== idle));
  setImmediate(() => kit.agents.end(kernel));
  await restarted;
  assert.is(kit.agents.groups.get(kernel)!.log.open.size, 1);
  const later = new Client('s').attach(kit.brain, kernel);
  assert.is((await later.reply(id))['status'], 'ok');
  assert.is((await later.reply(behind))['status'], 'ok');
  for (const runs of kit.agents.runs.values()) assert.is(runs, 1);
});

for (const when of ['before', 'after'] as const)
  test(`entries of a dead gateway that commit late, ${when} those of the next`, async () => {
    const kernel = await create(kit);
    const client = new Client('s').attach(kit.brain, kernel);
    await client.reply(client.run('print 1'));
    const held = new Held(kit.agents, () => true);
    const old = client.run('print 1');
    await until(() => held.batches.length > 0, 'it is proposed');
    const { batches } = held;
    held.end();
    await restart();
    const other = new Client('t').attach(kit.brain, kernel);
    const page = new Client('s').attach(kit.brain, kernel);
    if (when === 'before') held.commit();
    const id = other.run('print 2');
    const reply = await other.reply(id);
    assert.is(reply['status'], 'ok');
    assert.is(other.text(id), '0\n1\n');
    if (when === 'after') held.commit();
    else assert.is((await page.reply(old))['status'], 'ok');
    assert.is((await other.reply(other.run('print 1')))['status'], 'ok');
    const { log } = kit.agents.groups.get(kernel)!;
    await until(() => log.open.size === 0, 'nothing is open');
    await until(() => kit.brain.table.get(kernel)!.cells.size === 0, 'all are answered');
    for (const runs of kit.agents.runs.values()) assert.is(runs, 1);
    assert.is(batches.length, 0);
  });

test('a START of a dead gateway that wins late is the one that counts', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  await client.reply(client.run('print 1'));
  const held = new Held(kit.agents, ({ entries }) => entries.some(({ type }) => type === 'start'));
  const id = client.run('hang');
  await until(() => held.batches.length > 0, 'it is proposed');
  held.end();
  // Its SUBMIT alone is known to the next one.
  const [batch] = held.batches;
  kit.agents.apply(kernel, batch!.entries[0]!);
  const next = new Held(kit.agents, ({ entries }) => entries.some(({ type }) => type === 'start'));
  await restart();
  const page = new Client('s').attach(kit.brain, kernel);
  await until(() => next.batches.length > 0, 'the next one starts it as well');
  next.end();
  held.commit();
  next.commit();
  await pause(30);
  assert.ok(kit.brain.table.get(kernel)!.running, 'it is known to run');
  kit.agents.end(kernel);
  assert.is((await page.reply(id))['status'], 'ok');
  assert.is(page.of(id, 'execute_reply').length, 1);
  assert.equal([...kit.agents.runs.values()], [1, 1]);
  assert.is((await page.reply(page.run('print 1')))['status'], 'ok');
});

test('a restart ends what was accepted before it, and nothing that came after', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  const running = client.run('hang');
  await until(() => kit.brain.table.get(kernel)!.running !== undefined, 'it runs');
  const behind = client.run('print 1');
  await until(() => kit.agents.groups.get(kernel)!.log.open.size === 2, 'both are accepted');
  const held = new Held(kit.agents, ({ entries }) => entries.some(({ type }) => type === 'reset'));
  const restarted = kit.brain.kernels.restart(kernel);
  await until(() => held.batches.length > 0, 'the RESET is on its way');
  const after = client.run('print 1');
  held.end();
  held.commit();
  await restarted;
  assert.is((await client.reply(running))['status'], 'aborted');
  assert.is((await client.reply(behind))['status'], 'aborted');
  assert.is((await client.reply(after))['status'], 'ok');
  assert.is(kit.agents.groups.get(kernel)!.log.open.size, 0);
  assert.is(kit.agents.runs.size, 2);
});

test('a cell whose END was before the RESET keeps its result', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  await client.reply(client.run('print 1'));
  const live = kit.brain.table.get(kernel)!;
  // Its last line is late: END and RESET are applied before it is there.
  kit.agents.lost.add(kit.agents.groups.get(kernel)!.nextOutput + 2);
  const id = client.run('print 1');
  await until(() => live.cells.get(1)?.state === 'deciding', 'its END is applied');
  await kit.brain.kernels.restart(kernel);
  assert.is((await client.reply(id))['status'], 'ok');
  assert.is(client.of(id, 'execute_reply').length, 1);
  assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
});

test('an interrupt that meets a START on its way never says that nothing ran', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  await client.reply(client.run('print 1'));
  const live = kit.brain.table.get(kernel)!;
  const host = live.members.get(live.executor)!.host;
  const held = new Held(kit.agents, ({ entries }) => entries.some(({ type }) => type === 'start'));
  const lost = client.run('hang');
  const next = client.run('print 1');
  await until(() => held.batches.length === 1, 'the first START is on its way');
  kit.agents.kill(host);
  await until(() => !kit.brain.hosts.isUp(host), 'its host is lost');
  await until(() => live.cells.get(2)?.attempt !== 0, 'core goes on to the next');
  held.end();
  held.commit();
  assert.is((await client.reply(lost))['ename'], 'ExecutorLost');
  const { status } = await client.reply(next);
  const ran = kit.agents.runs.get(`${kernel} 2`) ?? 0;
  assert.equal([status, ran], status === 'ok' ? ['ok', 1] : ['aborted', 0]);
});

test('hosts that lag are no reason to forget what the others know', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  await client.reply(client.run('print 1'));
  const live = kit.brain.table.get(kernel)!;
  const [lagging, ...others] = [...live.members.values()].map(({ host }) => host);
  const { log } = kit.agents.groups.get(kernel)!;
  const old = structuredClone(log.state());
  for (let cell = 0; cell < 5; cell++) await client.reply(client.run('print 1'));
  kit.brain.close();
  kit.brain = newBrain(kit.agents);
  const group = kit.agents.groups.get(kernel)!;
  const now = group.log;
  const { KernelLog } = await import('../../../live/log/kernel-log.ts');
  group.log = KernelLog.from(old);
  kit.agents.connect(kit.brain, [lagging!]);
  await kit.brain.recovery.done;
  group.log = now;
  for (const host of others) kit.agents.hello(host);
  await until(() => kit.brain.table.get(kernel) !== undefined, 'it is known');
  const page = new Client('s').attach(kit.brain, kernel);
  const reply = await page.reply(page.run('print 1'));
  assert.equal([reply['status'], reply['execution_count']], ['ok', 7]);
  assert.is(kit.agents.groups.get(kernel)!.members.size, 3);
});

test('the last copy of a kernel is not removed because two others are gone', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  await client.reply(client.run('print 1'));
  const group = kit.agents.groups.get(kernel)!;
  const [first, ...others] = [...group.members.keys()];
  const host = group.members.get(first!)!.host;
  for (const member of others) group.members.delete(member);
  kit.brain.close();
  kit.brain = newBrain(kit.agents);
  kit.agents.connect(
    kit.brain,
    kit.agents.hosts.filter((each) => each !== host),
  );
  await kit.brain.recovery.done;
  kit.agents.hello(host);
  await until(() => kit.brain.hosts.isUp(host), 'it is back');
  await pause(100);
  assert.is(group.members.size, 1);
});

for (const goesOn of [false, true])
  test(`a cell fails while there is no gateway: stop_on_error ${!goesOn}`, async () => {
    const kernel = await create(kit);
    const client = new Client('s').attach(kit.brain, kernel);
    await client.reply(client.run('print 1'));
    const failing = client.run('hang', {}, goesOn ? { stop_on_error: false } : {});
    const behind = [client.run('print 1'), client.run('print 1')];
    const { log } = kit.agents.groups.get(kernel)!;
    await until(() => log.open.size === 3, 'all are accepted');
    await until(() => kit.agents.groups.get(kernel)!.run !== undefined, 'it runs');
    kit.brain.close();
    kit.agents.groups.get(kernel)!.run!.end(true);
    kit.brain = newBrain(kit.agents);
    kit.agents.connect(kit.brain);
    await kit.brain.recovery.done;
    const page = new Client('s').attach(kit.brain, kernel);
    assert.is((await page.reply(failing))['status'], 'error');
    for (const id of behind) assert.is((await page.reply(id))['status'], goesOn ? 'ok' : 'aborted');
    assert.is(kit.agents.runs.size, goesOn ? 4 : 2);
    assert.is((await page.reply(page.run('print 1')))['status'], 'ok');
  });

/** What a host does with its log when it is told that this is all there is. */
function recovering(agents: FakeAgents): void {
  const request = agents.request.bind(agents);
  agents.request = async (host, asked) => {
    if (asked.t === 'change-members') {
      const answer = await request(host, asked);
      // A learner that is not there never catches up.
      const { members, addresses } = agents.groups.get(asked.kernel)!;
      if (asked.add === undefined || members.has(asked.add.member)) return answer;
      addresses.delete(asked.add.member);
      throw new NbosError('change-refused', 'it took too long');
    }
    if (asked.t !== 'recover-replica') return request(host, asked);
    const group = agents.groups.get(asked.kernel)!;
    group.index += 1_000_000;
    group.members.clear();
    group.addresses.clear();
    group.members.set(asked.as, { host, process: 'ready' });
    group.addresses.set(asked.as, host);
    const start = group.log.running?.start;
    group.run = undefined;
    if (start === undefined) return undefined;
    const { cell, attempt, epoch } = start;
    const why = { reason: 'host-lost', message: 'recovered' } as const;
    agents.apply(asked.kernel, { v: 1, type: 'abort', cell, attempt, epoch, ...why });
    return undefined;
  };
}

test('a kernel that has lost two of three goes on from the third when it is told to', async () => {
  stopKit(kit);
  kit = startKit({ hosts: 5 });
  recovering(kit.agents);
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  await client.reply(client.run('print 1'));
  const live = kit.brain.table.get(kernel)!;
  await until(() => [...live.members.values()].every(({ ready }) => ready), 'all ready');
  const [kept, ...others] = [...live.members.values()];
  const early = await kit.brain.recover.from(live, kept!).catch(({ code }) => code);
  assert.is(early, 'change-refused');
  const running = client.run('hang');
  await until(() => live.running !== undefined, 'it runs');
  const waiting = client.run('print 1', {}, { stop_on_error: false });
  const { log } = kit.agents.groups.get(kernel)!;
  await until(() => log.open.size === 2, 'both are accepted');
  for (const { host } of others) kit.agents.kill(host);
  await until(() => others.every(({ host }) => !kit.brain.hosts.isUp(host)), 'both are lost');
  const member = await kit.brain.recover.from(live, kept!);
  assert.is(member.host, kept!.host);
  assert.match(String((await client.reply(running))['status']), /error/);
  assert.match(String((await client.reply(waiting))['status']), /ok|aborted/);
  assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
  for (const { host } of others) kit.agents.hello(host);
  await until(() => others.every(({ host }) => kit.brain.hosts.isUp(host)), 'both are back');
  await until(() => live.members.size === 3, 'two new replicas');
  assert.ok(others.every((other) => !live.members.has(other.member)));
  assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
  for (const runs of kit.agents.runs.values()) assert.is(runs, 1);
});

test.run();
