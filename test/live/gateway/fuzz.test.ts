import { connect, type Socket } from 'node:net';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually } from '../wire/eventually.ts';
import { fetched, type Served, served } from './http-server.ts';

const seed = Number(process.env['NBOS_SEED'] ?? 11);
const runs = (numRuns: number) => ({ seed, numRuns });
const repeat = `repeat with NBOS_SEED=${seed}`;

let http: Served;
let kernel: string;
test.before(async () => {
  http = await served({ enableFaults: true });
  kernel = (await (await http.ask('/api/kernels', { method: 'POST' })).json()).id;
});
test.after(() => http.stop());

const WORDS = [
  'name',
  'path',
  'type',
  'kernel',
  'id',
  'env',
  'content',
  'format',
  'fault',
  'notebook',
];
const nearlyRight = fc.dictionary(fc.constantFrom(...WORDS), fc.jsonValue({ maxDepth: 2 }));
const body = fc.oneof(
  nearlyRight.map((each) => JSON.stringify(each)),
  fc.json(),
  fc.string(),
  nearlyRight.chain((each) => {
    const text = JSON.stringify(each);
    return fc.nat(text.length).map((end) => text.slice(0, end));
  }),
);

test('no body breaks a route', async () => {
  const routes = fc.constantFrom<[string, string]>(
    ['POST', '/api/kernels'],
    ['POST', '/api/sessions'],
    ['PUT', '/api/contents/a'],
    ['POST', '/api/contents'],
    ['PATCH', '/api/contents/a'],
    ['POST', '/nbos/faults'],
    ['POST', '/nbos/tokens'],
    ['POST', `/nbos/kernels/${kernel}/migrate`],
  );
  const check = fc.asyncProperty(routes, body, async ([method, path], text) => {
    const answer = await http.ask(path, { method, body: text });
    await answer.arrayBuffer();
    const unknownSpec = answer.status === 500 || answer.status === 501;
    assert.ok(answer.status < 500 || unknownSpec, `${method} ${path} ${text}: ${answer.status}`);
  });
  await fc.assert(check, runs(400));
  const wrong = http.log.filter((line) => line.includes('unexpectedly'));
  assert.equal(wrong, [], repeat);
});

test('no path breaks the server, and none gets by without a token', async () => {
  const part = fc.oneof(
    fc.constantFrom('api', 'kernels', 'sessions', 'contents', 't', 'nbos', '..', '%2e%2e', '%', ''),
    fc.string({ maxLength: 12 }).map(encodeURIComponent),
    fc.webFragments({ size: 'small' }),
  );
  const path = fc.array(part, { maxLength: 6 }).map((parts) => `/${parts.join('/')}`);
  const check = fc.asyncProperty(path, async (at) => {
    const open = await fetched(http.server.url + at);
    assert.ok(open.status === 403 || open.url.endsWith('/healthz'), `${at}: ${open.status}`);
    const answer = await http.ask(at);
    await answer.arrayBuffer();
    assert.ok(answer.status < 500, `${at}: ${answer.status}`);
  });
  await fc.assert(check, runs(300));
});

function upgraded(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(http.server.port, '127.0.0.1', () =>
      socket.write(
        `GET /api/kernels/${kernel}/channels HTTP/1.1\r\nHost: localhost\r\n` +
          `Authorization: token ${http.token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
          'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n' +
          'Sec-WebSocket-Protocol: v1.kernel.websocket.jupyter.org\r\n\r\n',
      ),
    );
    socket.once('data', () => resolve(socket));
    socket.on('error', reject);
  });
}

test('no bytes after the upgrade harm anyone else', async () => {
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 300 });
  const check = fc.asyncProperty(
    fc.array(bytes, { minLength: 1, maxLength: 4 }),
    async (chunks) => {
      const socket = await upgraded();
      socket.removeAllListeners('error').on('error', () => undefined);
      for (const chunk of chunks) if (socket.writable) socket.write(chunk);
      await new Promise((resolve) => setImmediate(resolve));
      socket.destroy();
    },
  );
  await fc.assert(check, runs(200));
  await eventually(() => http.service.of(kernel).clients.size === 0).catch(() => undefined);
  assert.is(http.service.of(kernel).clients.size, 0, repeat);
  assert.is((await http.ask('/api')).status, 200);
});

test('no bytes in place of HTTP harm anyone else', async () => {
  const line = fc.oneof(
    fc.uint8Array({ maxLength: 100 }).map((each) => Buffer.from(each)),
    fc.string().map((text) => Buffer.from(`GET ${text} HTTP/1.1\r\nHost: ${text}\r\n\r\n`)),
    fc.string().map((text) => Buffer.from(`POST /api/kernels HTTP/1.1\r\n${text}: 1\r\n\r\n`)),
  );
  const check = fc.asyncProperty(line, async (data) => {
    const socket = connect(http.server.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.end(data);
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
  });
  await fc.assert(check, runs(200));
  assert.is((await http.ask('/api')).status, 200, repeat);
});

test.run();
