// time-limit: 1800 s
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, connect, createServer as createTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { contentOf } from '../../../live/stores/checked-content.ts';
import { CheckedStore } from '../../../live/stores/checked-store.ts';
import { openStore } from '../../../live/stores/open-store.ts';
import { testWithPart } from '../../skip.ts';
import { rejects } from './contract.ts';
import {
  missingHdfs,
  missingMoto,
  missingRedis,
  type Server,
  startHdfs,
  startMoto,
  startRedis,
} from './servers.ts';

const GB = 2 ** 30;
const AWS = { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret' };
Object.assign(process.env, AWS);

interface Kind {
  name: string;
  missing: string;
  start(): Promise<Server>;
  /** URL of a store in it, reached on `port` */
  url(port: number): string;
  prepare(port: number): Promise<void>;
}

const KINDS: readonly Kind[] = [
  {
    name: 's3',
    missing: missingMoto,
    start: startMoto,
    url: (port) => `s3://bucket/nbos?endpoint=http://127.0.0.1:${port}`,
    prepare: async (port) => {
      await fetch(`http://127.0.0.1:${port}/bucket`, { method: 'PUT' });
    },
  },
  {
    name: 'redis',
    missing: missingRedis,
    start: startRedis,
    url: (port) => `redis://127.0.0.1:${port}/0/nbos`,
    prepare: async () => undefined,
  },
  {
    name: 'webhdfs',
    missing: missingHdfs,
    start: startHdfs,
    url: (port) => `webhdfs://127.0.0.1:${port}/nbos`,
    prepare: async () => undefined,
  },
];

/** For answers, which a busy server may take its time for. */
const PATIENT = { tries: 2, retryMs: 50, stallMs: 60_000 };
/** For silence. */
const FAST = { ...PATIENT, stallMs: 1_500 };

/** A line between store and server that can be cut, or made to end after so many bytes. */
async function line(to: number) {
  let bytesLeft = Number.POSITIVE_INFINITY;
  const open = new Set<{ destroy(): void }>();
  const server = createTcp((socket) => {
    const onward = connect(to, '127.0.0.1');
    for (const each of [socket, onward]) {
      open.add(each);
      each.on('error', () => undefined);
      each.on('close', () => {
        open.delete(each);
        socket.destroy();
        onward.destroy();
      });
    }
    socket.pipe(onward);
    onward.on('data', (data) => {
      bytesLeft -= data.length;
      if (bytesLeft < 0) {
        bytesLeft = Number.POSITIVE_INFINITY;
        socket.destroy();
      } else socket.write(data);
    });
  });
  let port = 0;
  const listen = (): Promise<void> =>
    new Promise((done) => server.listen(port, '127.0.0.1', () => done()));
  const cut = async (): Promise<void> => {
    const closed = new Promise((done) => server.close(done));
    for (const each of open) each.destroy();
    await closed;
  };
  await listen();
  ({ port } = server.address() as AddressInfo);
  return {
    port,
    cut,
    mend: listen,
    breakAfter: (bytes: number): void => {
      bytesLeft = bytes;
    },
  };
}

for (const { name, missing, start, url, prepare } of KINDS) {
  testWithPart(test, missing, `${name}: outages, broken and silent lines, 1 GB`, async () => {
    const server = await start();
    try {
      await prepare(server.port);
      await large(url(server.port));
      const between = await line(server.port);
      const store = new CheckedStore(openStore(url(between.port)), PATIENT);
      const data = randomBytes(9_000_000);
      const content = contentOf(data);
      await store.put('k/x', content);
      // WebHDFS has its data from another port, which this line does not lead to.
      if (name !== 'webhdfs') {
        between.breakAfter(5_000_000);
        assert.ok((await store.readWhole('k/x', content.sha256))?.equals(data), 'goes on');
      }
      await between.cut();
      const from = performance.now();
      await rejects(store.put('k/y', content), 'store-unreachable');
      await rejects(store.readWhole('k/x', content.sha256), 'store-unreachable');
      await rejects(store.list(''), 'store-unreachable');
      assert.ok(performance.now() - from < 15_000);
      await between.mend();
      assert.ok((await store.readWhole('k/x', content.sha256))?.equals(data), 'after an outage');
      const hasty = new CheckedStore(openStore(url(between.port)), FAST);
      server.signal('SIGSTOP');
      await rejects(hasty.head('k/x'), 'store-unreachable');
      server.signal('SIGCONT');
      await hasty.close();
      assert.is((await store.head('k/x'))?.bytes, data.length);
      await store.remove(['k/x', 'k/y']);
      assert.equal(await store.list(''), []);
      await store.close();
      await between.cut();
    } finally {
      await server.stop();
    }
  });
}

const WORKER = fileURLToPath(new URL('./large-object.ts', import.meta.url));
const MOST_MB = 220;

async function large(url: string): Promise<void> {
  const built = WORKER.replace(/\.ts$/, '.js');
  const words = existsSync(WORKER) ? ['--import', 'tsx', WORKER] : [built];
  const { stdout } = await promisify(execFile)(process.execPath, [...words, url, String(GB)], {
    timeout: 600_000,
  });
  const took = JSON.parse(stdout);
  process.stdout.write(`${url.split(':')[0]}: ${stdout}`);
  assert.ok(took.found);
  assert.is(took.read, GB);
  assert.is(took.left, 0);
  assert.ok(took.grownMb < MOST_MB, `its memory grew by ${took.grownMb} MB`);
}

test('file: 1 GB', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'nbos-large-'));
  try {
    await large(`file:${folder}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

testWithPart(
  test,
  missingRedis,
  'redis: a full server, a wrong password, parts that went',
  async () => {
    const server = await startRedis(['--maxmemory', '30mb', '--requirepass', 'secret']);
    try {
      const at = `redis://127.0.0.1:${server.port}/0/nbos`;
      const anonymous = new CheckedStore(openStore(at, {}), PATIENT);
      await rejects(anonymous.head('k/x'), 'store-denied');
      await anonymous.close();
      const wrong = new CheckedStore(openStore(at, { REDIS_PASSWORD: 'no' }), PATIENT);
      await rejects(wrong.head('k/x'), 'store-denied');
      await wrong.close();
      const raw = openStore(at, { REDISCLI_AUTH: 'secret' });
      const store = new CheckedStore(raw, PATIENT);
      await rejects(store.put('k/big', contentOf(randomBytes(60_000_000))), 'disk-full');
      const small = contentOf(randomBytes(5_000_000));
      await store.put('k/x', small);
      await store.put('k/x', small);
      const { Redis } = await import('ioredis');
      const client = new Redis(server.port, '127.0.0.1', { password: 'secret' });
      const chunks = await client.keys('nbos:chunk:*');
      assert.is(chunks.length, 2, 'no chunk is left of what was refused or replaced');
      assert.is(await client.ttl(chunks[0]!), -1);
      await client.del(chunks[1]!);
      await rejects(store.readWhole('k/x', small.sha256), 'store-unreachable');
      await client.set('nbos:object:nbos/k/z', 'nonsense');
      await rejects(store.head('k/z'), 'store-corrupt');
      client.disconnect();
      await store.close();
    } finally {
      await server.stop();
    }
  },
);

testWithPart(
  test,
  missingHdfs,
  'webhdfs: a folder of somebody else, and one with a quota',
  async () => {
    const server = await startHdfs();
    try {
      const { userInfo } = await import('node:os');
      const base = `http://127.0.0.1:${server.port}/webhdfs/v1`;
      const me = `user.name=${userInfo().username}`;
      await fetch(`${base}/mine?op=MKDIRS&permission=700&${me}`, { method: 'PUT' });
      const at = `127.0.0.1:${server.port}`;
      const other = new CheckedStore(openStore(`webhdfs://stranger@${at}/mine/x`), PATIENT);
      await rejects(other.put('k/x', contentOf(Buffer.from('x'))), 'store-denied');
      await fetch(`${base}/small?op=MKDIRS&${me}`, { method: 'PUT' });
      const quota = 'op=SETQUOTA&namespacequota=100&storagespacequota=1000';
      const set = await fetch(`${base}/small?${quota}&${me}`, { method: 'PUT' });
      assert.is(set.status, 200, await set.text());
      const small = new CheckedStore(openStore(`webhdfs://${at}/small/x`), PATIENT);
      await rejects(small.put('k/x', contentOf(randomBytes(3_000_000))), 'disk-full');
      assert.equal(await small.list(''), []);
    } finally {
      await server.stop();
    }
  },
);

test('s3: expired credentials, a full server, a bucket that is not there', async () => {
  const errors: Record<string, [status: number, code: string]> = {
    ExpiredToken: [400, 'store-denied'],
    AccessDenied: [403, 'store-denied'],
    NoSuchBucket: [404, 'store-denied'],
    XMinioStorageFull: [507, 'disk-full'],
    SlowDown: [503, 'store-unreachable'],
  };
  let now = '';
  const server: HttpServer = createServer((request, answer) => {
    request.resume();
    request.on('end', () => {
      answer.writeHead(errors[now]![0], { 'content-type': 'application/xml' });
      answer.end(`<?xml version="1.0"?><Error><Code>${now}</Code><Message>no</Message></Error>`);
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()));
  const { port } = server.address() as AddressInfo;
  const at = `s3://b-1/p?endpoint=http://127.0.0.1:${port}`;
  const store = new CheckedStore(openStore(at), PATIENT);
  for (const [name, [, code]] of Object.entries(errors)) {
    now = name;
    await rejects(store.put('k/x', contentOf(Buffer.from('x'))), code);
  }
  await store.close();
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
});

test('s3: no credentials anywhere', async () => {
  const { S3Store } = await import('../../../live/stores/s3-store.ts');
  const place = { bucket: 'b-1', prefix: '', endpoint: 'http://127.0.0.1:9', region: 'us-east-1' };
  const none = (): Promise<never> =>
    Promise.reject(Object.assign(new Error('none found'), { name: 'CredentialsProviderError' }));
  const store = new CheckedStore(new S3Store(place, { credentials: none }), PATIENT);
  await rejects(store.head('k/x'), 'store-denied');
  await store.close();
});

test.run();
