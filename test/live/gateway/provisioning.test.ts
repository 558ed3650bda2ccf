import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { hostStatus } from '../../../live/gateway/host-status.ts';
import { HostPool } from '../../../live/gateway/provision/host-pool.ts';
import type { KnownHosts } from '../../../live/gateway/provision/provisioner.ts';
import {
  Client,
  create,
  type Kit,
  type KitOptions,
  newBrain,
  pause,
  startKit,
  stopKit,
  until,
} from './brain-kit.ts';

const pool = (hosts: KnownHosts) => new HostPool(hosts);
const CONFIG = { minHosts: 2, bufferHosts: 0, scaleIntervalMs: 40, scaleInHoldMs: 120 };

let kit: Kit;
function start(options: KitOptions = {}): void {
  kit = startKit({ config: CONFIG, provisioner: pool, ...options });
}
test.after.each(() => {
  kit.brain.loop.core.check();
  stopKit(kit);
});

function up(): string[] {
  return kit.brain.hosts
    .all()
    .filter(({ number }) => number !== -1)
    .map(({ id }) => id);
}

/** ids of hosts with a process of the kernel, as the agents know it */
function placesOf(kernel: string): string[] {
  return [...kit.agents.groups.get(kernel)!.members.values()].map(({ host }) => host).sort();
}

test('a burst brings hosts into use; when it is quiet they are emptied and put by', async () => {
  start();
  await until(() => up().length === 2, 'the fewest are in use');
  const kernels = [await create(kit), await create(kit), await create(kit)];
  await until(() => up().length === 3, 'three replicas need three hosts');
  const clients = kernels.map((kernel, at) => new Client(`s${at}`).attach(kit.brain, kernel));
  const need = { nbos: { gpus: 2 } };
  const cells = clients.map((client) => client.run('hang', need));
  // Three hosts serve the three at once; two more kernels need another host.
  const more = [await create(kit), await create(kit)];
  const late = more.map((kernel, at) => new Client(`t${at}`).attach(kit.brain, kernel));
  const lateCells = late.map((client) => client.run('print 1', need));
  await until(() => up().length === 4, 'the fourth comes');
  for (const kernel of kernels) kit.agents.end(kernel);
  for (const [at, client] of clients.entries())
    assert.is((await client.reply(cells[at]!))['status'], 'ok');
  for (const [at, client] of late.entries())
    assert.is((await client.reply(lateCells[at]!))['status'], 'ok');
  await until(() => up().length === 3, 'one is put by');
  const [idle] = kit.brain.hosts.all().filter(({ number }) => number === -1);
  await until(() => idle!.note === 'not needed now', 'its agent has been heard since');
  for (const kernel of [...kernels, ...more]) {
    assert.is(placesOf(kernel).length, 3);
    assert.not.ok(placesOf(kernel).includes(idle!.id), 'nothing is left there');
  }
  for (const client of [...clients, ...late])
    assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
});

test('a host that an operator drains is emptied once its cell has ended', async () => {
  start();
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  await client.reply(client.run('print 1'));
  const cell = client.run('hang');
  const live = kit.brain.table.get(kernel)!;
  await until(() => live.running !== undefined, 'it runs');
  const host = kit.brain.hosts.get(live.members.get(live.running!.executor)!.host)!;
  kit.brain.drains.begin(host);
  const other = await create(kit, { KERNEL_GPUS: '0' });
  assert.not.ok(placesOf(other).includes(host.id), 'it takes nothing new');
  assert.ok(placesOf(kernel).includes(host.id), 'the running cell stays');
  kit.agents.end(kernel);
  assert.is((await client.reply(cell))['status'], 'ok');
  await until(() => host.number === -1, 'it is out of service');
  assert.not.ok(placesOf(kernel).includes(host.id));
  assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
  kit.agents.hello(host.id);
  await pause(100);
  assert.is(host.number, -1, 'a hello does not bring it back');
  const { hosts } = kit.brain.loop.core.state;
  const before = hosts.length;
  kit.brain.drains.end(host);
  kit.brain.provisioning.enable(host);
  // It may be put by again at once, because nothing needs it.
  await until(() => (hosts[before]?.upAt ?? -1) !== -1, 'it is back in service');
});

test('a host that dies while it is drained is lost, and its kernels go on', async () => {
  start();
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  await client.reply(client.run('print 1'));
  const host = kit.brain.hosts.get(placesOf(kernel)[0]!)!;
  kit.agents.startMs = 150;
  kit.brain.drains.begin(host);
  kit.agents.kill(host.id);
  await until(() => host.number === -1, 'it is lost');
  assert.is(kit.brain.loop.core.state.totals.hostsLost, 1);
  await until(() => up().length === 3, 'another takes its place');
  assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
  kit.agents.hello(host.id);
  await until(
    () =>
      host.number === -1 && placesOf(kernel).length === 3 && !placesOf(kernel).includes(host.id),
    'it is emptied when it is back',
  );
});

test('after a restart hosts with kernels are in use, whatever the fewest are', async () => {
  start({ config: { ...CONFIG, scaleInHoldMs: 60_000 } });
  const kernel = await create(kit);
  const places = placesOf(kernel);
  assert.is(places.length, 3);
  kit.brain.close();
  kit.brain = newBrain(kit.agents, CONFIG, {}, undefined, pool);
  kit.agents.connect(kit.brain);
  await kit.brain.recovery.done;
  assert.equal(
    places.filter((id) => kit.brain.hosts.isUp(id)),
    places,
  );
  const client = new Client('s').attach(kit.brain, kernel);
  assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
});

test('what an operator drained stays so after a restart', async () => {
  start({ prepare: ({ drains }) => drains.recall(['h1']) });
  await until(() => up().length === 2, 'two others are in use');
  assert.equal(up(), ['h2', 'h3']);
});

test('a drain goes on after a restart of the gateway', async () => {
  start();
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  client.run('hang');
  const live = kit.brain.table.get(kernel)!;
  await until(() => live.running !== undefined, 'it runs');
  const id = live.members.get(live.running!.executor)!.host;
  kit.brain.drains.begin(kit.brain.hosts.get(id)!);
  kit.brain.close();
  kit.brain = newBrain(kit.agents, CONFIG, {}, ({ drains }) => drains.recall([id]), pool);
  kit.agents.connect(kit.brain);
  await kit.brain.recovery.done;
  assert.ok(kit.brain.hosts.isUp(id), 'it has a cell');
  kit.agents.end(kernel);
  await until(() => !kit.brain.hosts.isUp(id), 'it is emptied');
  assert.not.ok(placesOf(kernel).includes(id));
  const again = new Client('t').attach(kit.brain, kernel);
  assert.is((await again.reply(again.run('print 1')))['status'], 'ok');
});

test('where all hosts are in use one can be drained, if there are more than replicas', async () => {
  start({ provisioner: undefined });
  await until(() => up().length === 4, 'all are up');
  const kernel = await create(kit);
  const host = kit.brain.hosts.get(placesOf(kernel)[0]!)!;
  kit.brain.drains.begin(host);
  await until(() => host.number === -1, 'it is emptied');
  assert.is(placesOf(kernel).length, 3);
  // Three are left for three replicas: the next one stays until there is another.
  const next = kit.brain.hosts.get(placesOf(kernel)[0]!)!;
  kit.brain.drains.begin(next);
  await pause(300);
  assert.is(hostStatus(kit.brain, next).state, 'draining');
  assert.match(hostStatus(kit.brain, next).note, 'no other host');
  kit.brain.drains.end(host);
  kit.brain.provisioning.enable(host);
  await until(() => next.number === -1 && host.number !== -1, 'they change places');
  assert.ok(placesOf(kernel).includes(host.id));
});

test('a host that does not come in time is given up, and asked for again later', async () => {
  start({ connected: ['h1', 'h2'], limits: { provisionMs: 100, backoffMs: 50, recoveryMs: 20 } });
  kit.brain.kernels
    .create({
      ...{ spec: 'python3', user: { id: 'ann', admin: false }, env: {} },
      ...{ path: 'a', name: 'a', type: 'notebook', id: 's' },
    })
    .catch(() => undefined);
  const { state } = kit.brain.loop.core;
  await until(() => state.hosts.filter(({ end }) => end === 'failed').length >= 2, 'two attempts');
  kit.agents.hello('h4');
  await until(() => up().includes('h4'), 'the one that is there is taken');
});

test('a host that keeps replicas in spite of being given back is not ended', async () => {
  const ended: string[] = [];
  const hostPool = (hosts: KnownHosts) => {
    const inner = new HostPool(hosts);
    return {
      enable: (signal: AbortSignal) => inner.enable(signal),
      disable: (host: string) => {
        ended.push(host);
        return Promise.resolve();
      },
    };
  };
  start({ provisioner: hostPool, limits: { releaseMs: 200 } });
  const kernel = await create(kit);
  const live = kit.brain.table.get(kernel)!;
  const host = kit.brain.hosts.get(placesOf(kernel)[0]!)!;
  const stray = { ...live.members.values().next().value!, member: 99, joined: false };
  live.members.set(99, { ...stray, container: -1, host: host.id });
  kit.brain.drains.begin(host);
  await until(() => host.number === -1, 'it is given back');
  await pause(50);
  assert.equal(ended, []);
  live.members.delete(99);
});

test.run();
