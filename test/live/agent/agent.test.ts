import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AgentNotice, GatewayRequest } from '../../../live/wire/messages.ts';
import { errorOf, eventually } from '../wire/eventually.ts';
import { metaOf, type PaperHost, PaperSystem } from './agent-parts.ts';

const K1 = '0b5f4c1e-0000-4000-8000-000000000001';
const K2 = '0b5f4c1e-0000-4000-8000-000000000002';

let system: PaperSystem;
let one: PaperHost;

test.before.each(async () => {
  system = await PaperSystem.make();
  one = await system.startHost('h1');
  await eventually(() => system.hellos.length === 1);
});
test.after.each(() => system.close());

function start(kernel: string, member = 1, pooled = ''): GatewayRequest {
  const members = [{ member, host: 'h1' }];
  const rest = { members, joins: false, niced: false, pooled };
  return { t: 'start-replica', meta: metaOf(kernel), member, ...rest };
}

function ask(request: GatewayRequest): Promise<unknown> {
  return system.links!.request('h1', request);
}

async function codeOf(failing: Promise<unknown>): Promise<string> {
  return failing.then(
    () => '',
    (error) => error.code,
  );
}

function noticesOf<Kind extends AgentNotice['t']>(kind: Kind) {
  return system.notices.flatMap(({ notice }) =>
    notice.t === kind ? [notice as Extract<AgentNotice, { t: Kind }>] : [],
  );
}

test('hello says what the host has; beats follow', async () => {
  const [hello] = system.hellos;
  assert.is(hello!.host, 'h1');
  assert.equal([hello!.gpus, hello!.cpuMillis, hello!.memoryMb, hello!.vramMb], [2, 1000, 100, 10]);
  assert.equal(hello!.kernels, []);
  assert.is(hello!.peer, one.agent.peer);
  await eventually(() => noticesOf('agent-beat').length > 2);
});

test('a replica is started once, told everything, and stopped with all it had', async () => {
  await ask(start(K1));
  await ask(start(K1));
  const replica = one.replicas.get(K1)!;
  await ask({ t: 'propose', kernel: K1, entries: [{ v: 1, type: 'reset', epoch: 1 }] });
  await ask({ t: 'change-members', kernel: K1, add: { member: 4, host: 'h4' }, remove: 2 });
  await ask({ t: 'interrupt', kernel: K1, member: 1 });
  await ask({ t: 'resend-outputs', kernel: K1, from: 5 });
  const toKernel = { t: 'to-kernel', kernel: K1, member: 1, channel: 'shell' } as const;
  system.links!.tell('h1', toKernel, ['h', 'p', 'm', 'content'].map(Buffer.from));
  system.links!.tell('h1', toKernel, [Buffer.from('too few')]);
  system.links!.tell('h1', { ...toKernel, member: 2 }, ['h', 'p', 'm', 'c'].map(Buffer.from));
  system.links!.tell('h1', { t: 'outputs-seen', kernel: K1, upTo: 8, replied: 3 });
  const reports = (await ask({ t: 'report' })) as { outputs: object }[];
  assert.equal(reports[0]!.outputs, { first: 0, next: 0, seen: -1, replied: 3 });
  assert.equal(replica.said, [
    'propose reset',
    'change +4 -2',
    'interrupt',
    'resend 5',
    'shell content',
    'seen 8',
  ]);
  await eventually(() => replica.ticks > 3);
  const blobs = replica.parts.blobs.directory(K1);
  assert.ok((await stat(blobs)).isDirectory());
  await ask({ t: 'stop-replica', kernel: K1, member: 9 });
  assert.is(replica.said.at(-1), 'seen 8');
  await ask({ t: 'stop-replica', kernel: K1, member: 1 });
  assert.is(replica.said.at(-1), 'purge');
  assert.is(await codeOf(stat(blobs)), 'ENOENT');
  await ask({ t: 'stop-replica', kernel: K1, member: 1 });
});

test('another member of the same kernel takes the place of the first', async () => {
  await ask(start(K1, 1));
  const first = one.replicas.get(K1)!;
  await ask(start(K1, 7));
  assert.is(first.said.at(-1), 'purge');
  assert.is(one.replicas.get(K1)!.member, 7);
  assert.is(await codeOf(ask({ t: 'interrupt', kernel: K1, member: 1 })), 'kernel-unknown');
});

test('refusals carry their code and what to do', async () => {
  await ask(start(K1));
  const refusal = await errorOf(ask({ t: 'propose', kernel: K1, entries: [] }));
  assert.equal(
    [refusal.code, refusal.message, refusal.hint],
    ['replica-stopped', 'nothing to propose', 'Say something.'],
  );
  assert.is(await codeOf(ask({ t: 'propose', kernel: K2, entries: [] })), 'kernel-unknown');
  assert.is(await codeOf(ask({ t: 'gateway-beat', at: 1 } as never)), 'request-invalid');
});

test('pooled processes are started, taken, and their failures told', async () => {
  await ask({ t: 'start-pooled', pooled: 'p1', spec: 'python3', argv: ['python3'] });
  await ask({ t: 'start-pooled', pooled: 'p2', spec: 'python3', argv: [] });
  await eventually(() => noticesOf('pooled-ready').length === 1);
  await eventually(() => noticesOf('pooled-failed').length === 1);
  assert.equal(noticesOf('pooled-failed')[0]!.message, 'no command');
  await ask(start(K1, 1, 'p1'));
  await ask(start(K2, 1, 'p1'));
  assert.equal(one.runtimes.made, ['h1/3 p1', 'h1/4 ']);
  await ask({ t: 'stop-pooled', pooled: 'p1' });
});

test('processes are started ahead one by one, and not those that nobody wants by then', async () => {
  const held = one.runtimes.holdPooled();
  const argv = ['python3'];
  for (const pooled of ['p1', 'p2', 'p3'])
    await ask({ t: 'start-pooled', pooled, spec: 'python3', argv });
  await ask({ t: 'stop-pooled', pooled: 'p2' });
  assert.equal(one.runtimes.ahead, ['p1']);
  held();
  await eventually(() => noticesOf('pooled-ready').length === 2);
  assert.equal(one.runtimes.ahead, ['p1', 'p3']);
});

test('a replica that is to go again before its turn has come is not made', async () => {
  const first = ask(start(K1, 1));
  const second = codeOf(ask(start(K1, 2)));
  const gone = ask({ t: 'stop-replica', kernel: K1, member: 2 });
  const third = ask(start(K1, 3));
  await Promise.all([first, gone, third]);
  assert.is(await second, 'kernel-unknown');
  assert.is(one.replicas.get(K1)!.member, 3);
});

test('a killed agent finds its kernels again, at the same endpoint', async () => {
  await ask(start(K1, 3));
  await ask(start(K2, 4));
  const { peer } = one.agent;
  await mkdir(join(system.folder, 'h1', 'blobs', 'stray'), { recursive: true });
  await one.agent.leave();
  one = await system.startHost('h1');
  await eventually(() => system.hellos.length === 2);
  const members = system.hellos[1]!.kernels.map(({ kernel, member }) => [kernel, member]);
  assert.equal(members.sort(), [
    [K1, 3],
    [K2, 4],
  ]);
  assert.is(one.agent.peer, peer);
  assert.equal((await readdir(join(system.folder, 'h1', 'blobs'))).sort(), [K1, K2]);
});

test('a log that cannot be read keeps only its own kernel', async () => {
  await ask(start(K1, 3));
  await ask(start(K2, 4));
  await one.agent.close();
  const db = new ClassicLevel(join(system.folder, 'h1', 'log'));
  await db.put(`h/${K1}`, 'garbage');
  await db.close();
  one = await system.startHost('h1');
  await eventually(() => system.hellos.length === 2);
  assert.equal(
    system.hellos[1]!.kernels.map(({ kernel }) => kernel),
    [K2],
  );
  await eventually(() => noticesOf('replica-failed').length === 1);
  assert.is(noticesOf('replica-failed')[0]!.code, 'log-corrupt');
  assert.is(await codeOf(ask({ t: 'propose', kernel: K1, entries: [] })), 'log-corrupt');
  await ask(start(K1, 5));
  assert.is(one.replicas.get(K1)!.member, 5);
});

test('a second agent on the same folder is refused', async () => {
  assert.is(await codeOf(system.startHost('h1')), 'data-locked');
});

test('what is told without a gateway follows the next hello; outputs are asked for', async () => {
  await ask(start(K1));
  const { tell } = one.replicas.get(K1)!.parts;
  system.links!.close();
  await eventually(() =>
    system.said.some((line) => line.includes('the link to the gateway is lost')),
  );
  const message = { kernel: K1, member: 1 };
  tell({ t: 'output', ...message, seq: 1, after: 0, cell: 1, attempt: 1 });
  tell({ t: 'process-died', ...message, exit: 'first' });
  tell({ t: 'from-kernel', ...message, channel: 'shell' }, [Buffer.from('x')]);
  system.notices.length = 0;
  await system.startGateway();
  await eventually(() => noticesOf('from-kernel').length === 1);
  const kinds = system.notices.map(({ notice }) => notice.t).filter((t) => t !== 'agent-beat');
  assert.equal(kinds, ['process-died', 'from-kernel']);
  assert.is(system.hellos.at(-1)!.kernels.length, 1);
});

test('hosts learn of each other, and a silent one is told to all groups once', async () => {
  await ask(start(K1));
  const two = await system.startHost('h2');
  const replica = one.replicas.get(K1)!;
  two.replicas.clear();
  await eventually(() => replica.parts.peers.lastContact('h2') > 0);
  await system.links!.request('h2', { t: 'fault', fault: { kind: 'disconnect', forMs: 1000 } });
  await eventually(() => replica.said.includes('gone h2'));
  await eventually(() => performance.now() - replica.parts.peers.lastContact('h2') < 100);
  await two.agent.leave();
  await eventually(() => replica.said.filter((each) => each === 'gone h2').length === 2);
});

test('a full disk refuses writes for a while, and what stopped comes back', async () => {
  await ask(start(K1));
  const before = one.replicas.get(K1)!;
  await ask({ t: 'fault', fault: { kind: 'disk-full', forMs: 300 } });
  const reset = { t: 'propose', kernel: K1, entries: [{ v: 1, type: 'reset', epoch: 1 }] } as const;
  assert.is(await codeOf(ask(reset)), 'disk-full');
  const stopped = { kernel: K1, member: 1, code: 'disk-full', message: 'no space' };
  before.parts.tell({ t: 'replica-failed', ...stopped });
  await eventually(() => one.replicas.get(K1) !== before);
  assert.is(before.said.at(-1), 'leave');
  await ask(reset);
  await ask({ t: 'fault', fault: { kind: 'kill-replica', kernel: K1, member: 1 } });
  assert.is(one.replicas.get(K1)!.said.at(-1), 'kill-replica');
});

test('an agent starts without a gateway, and with what it remembers of the others', async () => {
  const two = await system.startHost('h2');
  await eventually(() => system.hellos.length === 2);
  await ask(start(K1));
  await eventually(() => one.replicas.get(K1)!.parts.peers.lastContact('h2') > 0);
  system.links!.close();
  await one.agent.leave();
  one = await system.startHost('h1');
  const { peers } = one.replicas.get(K1)!.parts;
  await eventually(() => peers.lastContact('h2') > 0);
  await writeFile(join(system.folder, 'h2', 'agent.json'), '{');
  await two.agent.close();
  await system.startHost('h2');
});

test.run();
