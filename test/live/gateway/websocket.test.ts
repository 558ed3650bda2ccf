import { createConnection } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { WebSocket } from 'ws';
import { pathSecret } from '../../../live/gateway/users.ts';
import type { JupyterMessage } from '../../../live/jupyter/message.ts';
import { decodeLegacy, encodeLegacy } from '../../../live/jupyter/websocket-legacy.ts';
import { decodeV1, encodeV1, V1_SUBPROTOCOL } from '../../../live/jupyter/websocket-v1.ts';
import { eventually } from '../wire/eventually.ts';
import { fetched, type Served, served } from './http-server.ts';

let http: Served;
let kernel: string;
test.before(async () => {
  http = await served({ limits: { backlogBytes: 2 ** 20 } });
  kernel = await newKernel(http);
});
test.after(() => http.stop());

async function newKernel(on: Served): Promise<string> {
  return (await (await on.ask('/api/kernels', { method: 'POST' })).json()).id;
}

interface Wish {
  on?: Served;
  protocols?: string[];
  query?: string;
  prefix?: string;
  headers?: Record<string, string>;
}

/** A client that names no user agent gets text only. */
const NAMED = { 'user-agent': 'test' };

function connect(to: string, wish: Wish = {}): WebSocket {
  const { on = http, protocols = [], query = '', prefix = '' } = wish;
  const url = `${on.server.url.replace('http', 'ws')}${prefix}/api/kernels/${to}/channels${query}`;
  const headers = wish.headers ?? { authorization: `token ${on.token}` };
  return new WebSocket(url, protocols, { headers: { ...NAMED, ...headers } });
}

const opened = (ws: WebSocket): Promise<WebSocket> =>
  new Promise((resolve, reject) => ws.once('open', () => resolve(ws)).once('error', reject));
const closed = (ws: WebSocket): Promise<number> =>
  new Promise((resolve) => ws.once('close', (code) => resolve(code)).on('error', () => undefined));
const refused = (ws: WebSocket): Promise<number> =>
  new Promise((resolve, reject) => {
    ws.on('error', () => undefined);
    ws.once('open', () => reject(new Error('was let in')));
    ws.once('unexpected-response', (_, answer) => {
      answer.resume();
      resolve(answer.statusCode!);
    });
  });
const frame = (ws: WebSocket): Promise<{ data: Buffer; binary: boolean }> =>
  new Promise((resolve) =>
    ws.once('message', (data: Buffer, binary: boolean) => resolve({ data, binary })),
  );
const frames = (ws: WebSocket, count: number): Promise<{ data: Buffer; binary: boolean }[]> =>
  new Promise((resolve) => {
    const all: { data: Buffer; binary: boolean }[] = [];
    ws.on('message', (data: Buffer, binary: boolean) => {
      if (all.push({ data, binary }) === count) resolve(all);
    });
  });

function message(type: string, content: object, buffers: Uint8Array[] = []): JupyterMessage {
  const header = { msg_id: `m-${type}`, msg_type: type, session: 's', username: 'u' };
  const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));
  return {
    header: json({ ...header, date: '2026-01-01T00:00:00.000000Z', version: '5.3' }),
    parent: json({ msg_id: 'parent' }),
    metadata: json({}),
    content: json(content),
    buffers,
  };
}

const textOf = ({ data }: { data: Buffer }) => JSON.parse(data.toString());

/** The one client that is connected to the kernel. */
const clientOf = (on: Served, id: string) => [...on.service.of(id).clients][0]!;

test('the subprotocol is chosen when offered, and only then', async () => {
  const v1 = await opened(connect(kernel, { protocols: ['other', V1_SUBPROTOCOL] }));
  assert.is(v1.protocol, V1_SUBPROTOCOL);
  assert.is(v1.extensions, '');
  const sent = message('execute_request', { code: '1' }, [Buffer.from([1, 2])]);
  v1.send(encodeV1('shell', sent));
  const echoed = await frame(v1);
  assert.ok(echoed.binary);
  assert.equal(decodeV1(echoed.data), { channel: 'shell', message: sent });
  v1.close();
  const plain = await opened(connect(kernel));
  assert.is(plain.protocol, '');
  plain.send(encodeLegacy('control', message('interrupt_request', {})).data, { binary: false });
  const text = await frame(plain);
  assert.not.ok(text.binary);
  assert.is(textOf(text).channel, 'control');
  assert.is(textOf(text).msg_type, 'interrupt_request');
  plain.send(encodeLegacy('shell', sent).data);
  const binary = await frame(plain);
  assert.ok(binary.binary);
  assert.equal(decodeLegacy(binary.data, true).message.buffers, [Buffer.from([1, 2])]);
  plain.close();
});

test('who may not is refused before the upgrade', async () => {
  const { token } = http;
  const none: Record<string, string> = {};
  assert.is(await refused(connect(kernel, { headers: none })), 403);
  assert.is(await refused(connect(kernel, { headers: { authorization: 'token no' } })), 403);
  assert.is(await refused(connect('unknown')), 404);
  assert.is(await refused(connect(`${kernel}/more`)), 404);
  const host = { authorization: `token ${token}`, host: 'evil.example' };
  assert.is(await refused(connect(kernel, { headers: host })), 403);
  const eve = await http.users.add('eve', false);
  const hers = { authorization: `token ${eve.token}` };
  assert.is(await refused(connect(kernel, { headers: hers })), 404);
  const byQuery = await opened(connect(kernel, { headers: none, query: `?token=${token}` }));
  byQuery.close();
  const prefix = `/t/${pathSecret(token)}`;
  const byPath = await opened(connect(kernel, { headers: none, prefix }));
  byPath.close();
});

test('a user whose token is removed is cut off', async () => {
  const ada = await http.users.add('ada', false);
  const headers = { authorization: `token ${ada.token}` };
  const made = await fetched(`${http.server.url}/api/kernels`, { method: 'POST', headers });
  const ws = await opened(connect((await made.json()).id, { headers }));
  const gone = closed(ws);
  await http.users.remove('ada');
  assert.is(await gone, 1011);
});

test('a second connection of a session replaces the first', async () => {
  const id = await newKernel(http);
  const first = await opened(connect(id, { query: '?session_id=abc' }));
  const other = await opened(connect(id, { query: '?session_id=other' }));
  const nameless = await opened(connect(id));
  const gone = closed(first);
  const second = await opened(connect(id, { query: '?session_id=abc' }));
  assert.is(await gone, 1001);
  // The server hears of an end a moment after its client.
  await eventually(() => http.service.of(id).clients.size === 3);
  for (const ws of [other, nameless, second]) assert.is(ws.readyState, WebSocket.OPEN);
  const removed = Promise.all([other, nameless, second].map(closed));
  await http.service.remove(id);
  assert.equal(await removed, [1001, 1001, 1001]);
});

test('a Jupyter server in gateway mode gets text only, and nothing above 10 MiB', async () => {
  const id = await newKernel(http);
  const headers = { authorization: `token ${http.token}`, 'user-agent': 'Tornado/6.5' };
  const ws = await opened(connect(id, { headers }));
  const got = frames(ws, 5);
  const client = clientOf(http, id);
  client.send('iopub', message('comm_msg', {}, [Buffer.alloc(100)]));
  client.send('iopub', message('comm_msg', {}, [Buffer.alloc(100)]));
  client.send('iopub', message('display_data', { data: 'x'.repeat(11 * 2 ** 20) }));
  client.send('shell', message('complete_reply', { matches: ['x'.repeat(11 * 2 ** 20)] }));
  const [comm, note, again, large, reply] = (await got).map((each) => {
    assert.not.ok(each.binary);
    return textOf(each);
  });
  assert.equal(comm.buffers, []);
  assert.is(note.msg_type, 'stream');
  assert.is(note.content.name, 'stderr');
  assert.is(note.parent_header.msg_id, 'parent');
  assert.is(again.msg_type, 'comm_msg');
  assert.is(large.msg_type, 'stream');
  assert.match(large.content.text, /display_data message of 11\.0 MiB was left out/);
  assert.is(reply.msg_type, 'complete_reply');
  assert.is(reply.content.status, 'error');
  ws.close();
});

test('a client that names no user agent gets text, of any size', async () => {
  const id = await newKernel(http);
  const url = `${http.server.url.replace('http', 'ws')}/api/kernels/${id}/channels`;
  const ws = await opened(new WebSocket(`${url}?token=${http.token}`));
  const got = frames(ws, 2);
  const large = { data: 'x'.repeat(11 * 2 ** 20) };
  clientOf(http, id).send('iopub', message('display_data', large, [Buffer.alloc(9)]));
  const [display, note] = await got;
  assert.not.ok(display!.binary);
  assert.is(textOf(display!).content.data.length, 11 * 2 ** 20);
  assert.is(textOf(note!).content.name, 'stderr');
  ws.close();
});

test('other clients get large and binary messages whole', async () => {
  const id = await newKernel(http);
  const ws = await opened(connect(id, { protocols: [V1_SUBPROTOCOL] }));
  const large = message('display_data', { data: 'x'.repeat(2 ** 20) }, [
    Buffer.alloc(11 * 2 ** 20),
  ]);
  const got = frame(ws);
  clientOf(http, id).send('iopub', large);
  assert.is(decodeV1((await got).data).message.buffers[0]!.length, 11 * 2 ** 20);
  ws.close();
});

test('garbage is dropped and counted, and the connection goes on', async () => {
  const before = http.service.received.length;
  const ws = await opened(connect(kernel, { protocols: [V1_SUBPROTOCOL] }));
  const legacy = await opened(connect(kernel));
  for (const bad of ['', 'hello', '{}', '[]', '{"channel":"iopub","header":{}}']) {
    ws.send(bad);
    legacy.send(bad);
    legacy.send(Buffer.from(bad));
  }
  const good = message('kernel_info_request', {});
  const echoes = [frame(ws), frame(legacy)];
  ws.send(encodeV1('iopub', good));
  ws.send(encodeV1('shell', good));
  legacy.send(encodeLegacy('shell', good).data, { binary: false });
  await Promise.all(echoes);
  assert.is(http.service.received.length, before + 2);
  const metrics = await http.registry.metrics();
  assert.match(metrics, /nbos_websocket_invalid_total\{framing="v1"\} 6/);
  assert.match(metrics, /nbos_websocket_invalid_total\{framing="legacy"\} 10/);
  ws.close();
  legacy.close();
});

test('a message above the limit ends its connection only', async () => {
  const other = await served({ limits: { messageBytes: 1000 } });
  const id = await newKernel(other);
  const good = await opened(connect(id, { on: other }));
  const bad = await opened(connect(id, { on: other }));
  const gone = closed(bad);
  bad.send('x'.repeat(2000));
  assert.is(await gone, 1009);
  good.send(encodeLegacy('shell', message('kernel_info_request', {})).data, { binary: false });
  await frame(good);
  await other.stop();
});

test('a client that never reads is dropped; the others are not', async () => {
  const id = await newKernel(http);
  const slow = await opened(connect(id));
  const slowClient = clientOf(http, id);
  const fast = await opened(connect(id));
  const fastClient = [...http.service.of(id).clients][1]!;
  let read = 0;
  fast.on('message', () => read++);
  slow.pause();
  const line = message('stream', { text: 'x'.repeat(10_000) });
  let sent = 0;
  let dropped = false;
  while (!dropped && sent < 5_000) {
    dropped = !slowClient.send('iopub', line);
    assert.ok(fastClient.send('iopub', line));
    if (++sent % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(dropped);
  assert.ok(slowClient.backlog < 3 * 2 ** 20);
  assert.is(http.service.of(id).clients.size, 1);
  const code = closed(slow);
  slow.resume();
  assert.is(await code, 1011);
  await eventually(() => read >= sent);
  assert.is(read, sent);
  assert.match(await http.registry.metrics(), /nbos_websocket_dropped_total\{why="slow"\} 1/);
  fast.close();
});

test('all clients together have a limit too', async () => {
  const other = await served({ limits: { totalBacklogBytes: 3 * 2 ** 20 } });
  const id = await newKernel(other);
  const slow = await Promise.all([1, 2, 3].map(() => opened(connect(id, { on: other }))));
  for (const ws of slow) ws.pause();
  const gone = Promise.all(slow.map((ws) => closed(ws)));
  const clients = [...other.service.of(id).clients];
  const line = message('stream', { text: 'x'.repeat(2 ** 20) });
  // The kernel's buffers take some megabytes of their own.
  const sending = setInterval(() => {
    for (const client of clients) client.send('iopub', line);
  }, 100);
  await eventually(() => other.service.of(id).clients.size < 3);
  clearInterval(sending);
  assert.match(await other.registry.metrics(), /nbos_websocket_dropped_total\{why="slow"\} [1-3]/);
  for (const ws of slow) ws.terminate();
  await gone;
  await other.stop();
});

test('silent clients are ended, those that answer pings stay', async () => {
  const other = await served({ limits: { pingMs: 300 } });
  const id = await newKernel(other);
  const quiet = await opened(connect(id, { on: other }));
  const alive = await opened(connect(id, { on: other }));
  (quiet as unknown as { _autoPong: boolean })._autoPong = false;
  let pings = 0;
  alive.on('ping', () => pings++);
  assert.ok([1006, 1011].includes(await closed(quiet)));
  await eventually(() => pings > 3);
  assert.is(alive.readyState, WebSocket.OPEN);
  await other.stop();
});

test('a closing server tells its clients to come back', async () => {
  const other = await served();
  const id = await newKernel(other);
  const ws = await opened(connect(id, { on: other }));
  const gone = closed(ws);
  await other.server.close(true);
  assert.is(await gone, 1012);
  await other.stop();
});

test('a thousand connections are served at once', async () => {
  const id = await newKernel(http);
  const all = await Promise.all(Array.from({ length: 1000 }, () => opened(connect(id))));
  const told = Promise.all(all.map(frame));
  for (const client of http.service.of(id).clients) client.send('iopub', message('status', {}));
  assert.is((await told).length, 1000);
  assert.match(await http.registry.metrics(), /nbos_websocket_connections 100[0-9]/);
  const gone = Promise.all(all.map(closed));
  for (const ws of all) ws.close();
  await gone;
  await eventually(() => http.service.of(id).clients.size === 0);
});

test('above its limit a server refuses WebSockets and serves on', async () => {
  const other = await served({ limits: { webSockets: 2 } });
  const id = await newKernel(other);
  await opened(connect(id, { on: other }));
  const second = await opened(connect(id, { on: other }));
  assert.is(await refused(connect(id, { on: other })), 503);
  second.close();
  await eventually(() => other.service.of(id).clients.size === 1);
  await opened(connect(id, { on: other }));
  await other.stop();
});

test('what is no HTTP gets 400, and nobody else notices', async () => {
  const { port } = http.server;
  const answerTo = (bytes: string | Buffer): Promise<string> =>
    new Promise((resolve) => {
      let text = '';
      const socket = createConnection(port, '127.0.0.1', () => socket.write(bytes));
      socket.on('data', (data) => (text += data));
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(text));
    });
  assert.match(await answerTo('\u0000\u0001\u0002 garbage\r\n\r\n'), /^HTTP\/1\.1 400 /);
  assert.match(await answerTo(`GET / HTTP/1.1\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`), / 431 /);
  const upgrade = (path: string) =>
    `GET ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: token ${http.token}\r\n` +
    'Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
  assert.match(await answerTo(upgrade(`/api/kernels/${kernel}/channels`)), /^HTTP\/1\.1 400 /);
  assert.match(await answerTo(upgrade('//')), /^HTTP\/1\.1 40[04] /);
  assert.is((await http.ask('/api')).status, 200);
  assert.match(await http.registry.metrics(), /nbos_http_refused_total\{why="garbage"\} 2/);
});

test.run();
