import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Dealer } from 'zeromq';
import { AgentLinks } from '../../../live/wire/agent-links.ts';
import type { Head } from '../../../live/wire/codec.ts';
import {
  AllowList,
  allow,
  disallow,
  type KeyPair,
  keyPair,
  newKeyPair,
  publicKeyOf,
} from '../../../live/wire/keys.ts';
import { LinkClient } from '../../../live/wire/link-client.ts';
import type { AgentHello, AgentNotice } from '../../../live/wire/messages.ts';
import { Nearby } from '../../../live/wire/nearby.ts';
import { answerError, answerOk } from '../../../live/wire/requests.ts';
import { gatewayWords } from '../../../live/wire/shapes.ts';
import { errorOf, eventually } from './eventually.ts';

const log = pino({ level: 'silent' });

let folder = '';
let nearby: Nearby | undefined;
let gatewayKeys: KeyPair;
let agentKeys: KeyPair;

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nbos-link-'));
  gatewayKeys = await keyPair(folder, 'gateway');
  agentKeys = await keyPair(folder, 'h1');
  await allow(folder, 'h1', agentKeys.publicKey);
});

test.after(() => rm(folder, { recursive: true }));

function hello(host: string, v = 1): AgentHello {
  return {
    t: 'hello',
    v,
    host,
    pid: 1,
    peer: '',
    key: '',
    gpus: 0,
    cpuMillis: 0,
    memoryMb: 0,
    vramMb: 0,
    kernels: [],
    pooled: [],
  };
}

/** Over sockets, and within one process. */
function bothWays(name: string, body: () => Promise<void>): void {
  test(name, body);
  test(`${name}, within one process`, async () => {
    nearby = new Nearby();
    await body().finally(() => {
      nearby = undefined;
    });
  });
}

interface Side {
  links: AgentLinks;
  hellos: string[];
  notices: { notice: AgentNotice; frames: readonly Buffer[] }[];
  lost: string[];
}

async function gateway(endpoint = 'tcp://127.0.0.1:0'): Promise<Side> {
  const side: Omit<Side, 'links'> = { hellos: [], notices: [], lost: [] };
  const links = await AgentLinks.listen({
    endpoint,
    keys: gatewayKeys,
    allowed: new AllowList(folder),
    log,
    nearby,
    onHello: (host) => side.hellos.push(host),
    onNotice: (_, notice, frames) => side.notices.push({ notice, frames }),
    onLost: (host) => side.lost.push(host),
  });
  return { ...side, links };
}

interface AgentSide {
  client: LinkClient;
  got: { head: Head; frames: Buffer[] }[];
  ups: number;
  downs: number;
}

function agent(endpoint: string, keys = agentKeys, v = 1, onMessage?: (head: Head) => void) {
  const side = { got: [] as AgentSide['got'], ups: 0, downs: 0 } as AgentSide;
  side.client = new LinkClient({
    endpoint,
    serverKey: gatewayKeys.publicKey,
    keys,
    words: gatewayWords,
    log,
    nearby,
    hello: () => hello('h1', v),
    onUp: () => side.ups++,
    onDown: () => side.downs++,
    onMessage: (head, frames) => {
      side.got.push({ head, frames });
      onMessage?.(head);
    },
  });
  return side;
}

test('keys are made once, kept to their owner, and read back', async () => {
  const again = await keyPair(folder, 'gateway');
  assert.equal(again, gatewayKeys);
  assert.is(await publicKeyOf(folder, 'gateway'), gatewayKeys.publicKey);
  assert.is((await stat(join(folder, 'gateway.key'))).mode & 0o777, 0o600);
  const made = await Promise.all(Array.from({ length: 8 }, () => keyPair(folder, 'raced')));
  assert.is(new Set(made.map(({ publicKey }) => publicKey)).size, 1);
  const missing = await publicKeyOf(folder, 'nobody').catch((error) => error);
  assert.is(missing.code, 'key-invalid');
});

bothWays('a message with frames goes both ways, after hello', async () => {
  const { links, hellos, notices } = await gateway();
  const { client, got } = agent(links.endpoint);
  await eventually(() => hellos.length === 1);
  assert.equal(links.hosts(), ['h1']);
  links.tell('h1', { t: 'to-kernel', kernel: 'k', member: 1, channel: 'shell' }, [
    Buffer.from('header'),
    Buffer.alloc(0),
    new Uint8Array([1, 2]),
  ]);
  await eventually(() => got.length === 1);
  assert.is(got[0]!.head.t, 'to-kernel');
  assert.equal(
    got[0]!.frames.map((frame) => frame.toString('hex')),
    ['686561646572', '', '0102'],
  );
  client.send({ t: 'output', kernel: 'k', member: 1, seq: 0, after: -1, cell: 1, attempt: 1 }, [
    Buffer.from('x'),
  ]);
  await eventually(() => notices.length === 1);
  assert.is(notices[0]!.frames[0]!.toString(), 'x');
  client.close();
  links.close();
});

bothWays('ten thousand messages arrive in order, none lost', async () => {
  const { links, hellos, notices } = await gateway();
  const { client } = agent(links.endpoint);
  await eventually(() => hellos.length === 1);
  const body = Buffer.alloc(300, 7);
  for (let seq = 0; seq < 10_000; seq++)
    client.send({ t: 'output', kernel: 'k', member: 1, seq, after: seq - 1, cell: 1, attempt: 1 }, [
      body,
    ]);
  await eventually(() => notices.length === 10_000);
  assert.ok(notices.every(({ notice }, at) => notice.t === 'output' && notice.seq === at));
  client.close();
  links.close();
});

bothWays('requests are answered, refused with their code, or run out of time', async () => {
  const { links, hellos } = await gateway();
  const { client } = agent(links.endpoint, agentKeys, 1, (head) => {
    if (head.t === 'report') client.send(answerOk(head.rq!, ['report']));
    if (head.t === 'stop-pooled') client.send(answerError(head.rq!, new Error('no such process')));
  });
  await eventually(() => hellos.length === 1);
  assert.equal(await links.request('h1', { t: 'report' }), ['report']);
  const refused = await errorOf(links.request('h1', { t: 'stop-pooled', pooled: 'p' }));
  assert.is(refused.code, 'agent-failed');
  assert.is(refused.message, 'no such process');
  const slow = links.request('h1', { t: 'interrupt', kernel: 'k', member: 1 }, 50);
  assert.is((await errorOf(slow)).code, 'link-timeout');
  const nobody = await errorOf(links.request('h9', { t: 'report' }));
  assert.is(nobody.code, 'link-lost');
  const cut = links.request('h1', { t: 'interrupt', kernel: 'k', member: 1 }, 5000);
  links.drop('h1');
  assert.is((await errorOf(cut)).code, 'link-lost');
  client.close();
  links.close();
});

bothWays("a stranger's key does not get in, and nobody is disturbed", async () => {
  const { links, hellos } = await gateway();
  const stranger = agent(links.endpoint, newKeyPair());
  await eventually(() => links.counts.refused > 0);
  assert.is(stranger.ups, 0);
  const known = agent(links.endpoint);
  await eventually(() => hellos.length === 1);
  assert.is(stranger.client.send({ t: 'answer', rq: 1, ok: true }), false);
  stranger.client.close();
  known.client.close();
  links.close();
});

bothWays('a key counts as soon as it is allowed, and no more once it is taken away', async () => {
  const { links, hellos } = await gateway();
  const keys = newKeyPair();
  const late = agent(links.endpoint, keys);
  await eventually(() => links.counts.refused > 0);
  await allow(folder, 'late', keys.publicKey);
  await eventually(() => hellos.length === 1);
  late.client.close();
  await disallow(folder, 'late');
  const again = agent(links.endpoint, keys);
  const before = links.counts.refused;
  await eventually(() => links.counts.refused > before);
  assert.is(again.ups, 0);
  again.client.close();
  links.close();
});

test('without encryption there is no connection', async () => {
  const { links, hellos } = await gateway();
  const plain = new Dealer({ linger: 0 });
  plain.connect(links.endpoint);
  void plain.send(JSON.stringify(hello('h1')));
  const known = agent(links.endpoint);
  await eventually(() => hellos.length === 1);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.is(hellos.length, 1);
  plain.close();
  known.client.close();
  links.close();
});

bothWays('a newer format is refused with a message', async () => {
  const { links, hellos } = await gateway();
  const newer = agent(links.endpoint, agentKeys, 2);
  await eventually(() => newer.downs > 0);
  assert.is(hellos.length, 0);
  newer.client.close();
  links.close();
});

test('garbage, strangers to the words and messages before hello are dropped and counted', async () => {
  const { links, hellos, notices } = await gateway();
  const raw = new Dealer({
    linger: 0,
    curvePublicKey: agentKeys.publicKey,
    curveSecretKey: agentKeys.secretKey,
    curveServerKey: gatewayKeys.publicKey,
  });
  raw.connect(links.endpoint);
  const beat = JSON.stringify({ t: 'agent-beat', at: 1, positions: [] });
  await raw.send(beat);
  for (const bad of ['', 'x', '{', '[]', 'null', '7', '{"t":"hello"}', '{"t":"to-kernel"}'])
    await raw.send([bad]);
  await raw.send([JSON.stringify(hello('h2'))]);
  await raw.send('{"t":"agent-beat","at":"soon","positions":[]}');
  await raw.send('{"t":"answer","rq":-1,"ok":true}');
  await raw.send(beat);
  await eventually(() => notices.length === 1);
  assert.equal(hellos, ['h2']);
  assert.is(links.counts.dropped, 11);
  raw.close();
  links.close();
});

bothWays('a client comes back when the server is started again on the same port', async () => {
  const first = await gateway();
  const { endpoint } = first.links;
  const side = agent(endpoint);
  await eventually(() => first.hellos.length === 1);
  first.links.close();
  await eventually(() => side.downs === 1);
  assert.is(side.client.send({ t: 'answer', rq: 1, ok: true }), false);
  const second = await gateway(endpoint);
  await eventually(() => second.hellos.length === 1);
  assert.is(side.ups, 2);
  assert.is(await taken(endpoint), 'port-taken');
  side.client.close();
  second.links.close();
});

async function taken(endpoint: string): Promise<string> {
  return gateway(endpoint).then(
    () => 'free',
    (error) => error.code,
  );
}

bothWays('an agent that comes anew replaces its old link; one that left is noticed', async () => {
  const { links, hellos, lost } = await gateway();
  const first = agent(links.endpoint);
  await eventually(() => hellos.length === 1);
  const second = agent(links.endpoint);
  await eventually(() => hellos.length === 2);
  assert.equal(links.hosts(), ['h1']);
  first.client.close();
  second.client.close();
  await eventually(() => {
    links.tell('h1', { t: 'gateway-beat', at: 1 });
    return lost.length === 1;
  });
  assert.equal(links.hosts(), []);
  links.close();
});

test.run();
