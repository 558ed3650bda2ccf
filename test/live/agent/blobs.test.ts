import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, unlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Blob } from '../../../live/log/entries.ts';
import { eventually } from '../wire/eventually.ts';
import { type LinkedHost, type LinkedHosts, linkedHosts } from './linked-hosts.ts';

const KERNEL = '0b5f4c1e-0000-4000-8000-000000000001';
const MIB = 2 ** 20;

let cluster: LinkedHosts;
let first: LinkedHost;
let second: LinkedHost;
let third: LinkedHost;
let linked: { link: boolean };
const NAMES = ['h1', 'h2', 'h3'];

/** All of it twice: with blobs sent, and with those of one machine linked in. */
const SUITES = [false, true].map((link) => {
  const each = suite(link ? 'linked' : 'sent');
  each.before(async () => {
    linked = { link };
    cluster = await linkedHosts(3, { ...linked, stallMs: 1_500 });
    [first, second, third] = cluster.hosts as [LinkedHost, LinkedHost, LinkedHost];
    for (const { blobs } of cluster.hosts) await blobs.prepare(KERNEL);
  });
  each.after(() => cluster.close());
  return each;
});

function test(name: string, body: () => Promise<void>): void {
  for (const each of SUITES) each(name, body);
}

/** Puts a blob where a kernel's process would. */
async function spooled(at: LinkedHost, content: Buffer): Promise<Blob> {
  const hash = createHash('sha256').update(content).digest('hex');
  await mkdir(at.blobs.directory(KERNEL), { recursive: true });
  await writeFile(join(at.blobs.directory(KERNEL), hash), content);
  return { hash, bytes: content.byteLength, mac: '' };
}

/** Hosts of their own that soon give up: for what is refused only after a time. */
async function impatient(body: (hosts: LinkedHost[]) => Promise<void>): Promise<void> {
  const own = await linkedHosts(3, { ...linked, replicateMs: 800, ensureMs: 800, stallMs: 300 });
  try {
    for (const { blobs } of own.hosts) await blobs.prepare(KERNEL);
    await body(own.hosts);
  } finally {
    await own.close();
  }
}

function bytes(count: number): Buffer {
  return randomBytes(count);
}

async function has(host: LinkedHost, { hash }: Blob): Promise<boolean> {
  return stat(join(host.blobs.directory(KERNEL), hash)).then(
    () => true,
    () => false,
  );
}

async function filesAt(host: LinkedHost): Promise<string[]> {
  return (await readdir(host.blobs.directory(KERNEL)).catch(() => [])).sort();
}

async function codeOf(failing: Promise<unknown>): Promise<string> {
  return failing.then(
    () => '',
    (error) => error.code,
  );
}

test('blobs of every size come to all hosts, byte for byte', async () => {
  const sizes = [70_000, MIB, MIB + 1, 3 * MIB, 20 * MIB + 17];
  const contents = sizes.map(bytes);
  const blobs = await Promise.all(contents.map((content) => spooled(first, content)));
  await first.blobs.replicate(KERNEL, [...blobs, blobs[0]!], NAMES, 3);
  for (const host of [second, third])
    for (const [at, { hash }] of blobs.entries()) {
      const found = await readFile(join(host.blobs.directory(KERNEL), hash));
      assert.ok(found.equals(contents[at]!), `${sizes[at]} bytes at ${host.host}`);
    }
  const left = (await filesAt(second)).filter((name) => name.endsWith('.part'));
  assert.equal(left, []);
});

test('a quorum is enough, and inline blobs need none', async () => {
  third.faults.cut(600_000);
  const blob = await spooled(first, bytes(2 * MIB));
  await first.blobs.replicate(KERNEL, [blob], NAMES, 2);
  assert.ok(await has(second, blob));
  assert.not(await has(third, blob));
  const inline = { ...blob, hash: '0'.repeat(64), inline: 'AAAA' };
  await first.blobs.replicate(KERNEL, [inline], NAMES, 3);
  third.faults.cut(0);
  // What failed is tried again behind the reply.
  await eventually(() => existsSync(join(third.blobs.directory(KERNEL), blob.hash)));
});

test('without a quorum it is refused in time, naming a host', async () => {
  await impatient(async ([from, ...others]) => {
    for (const { faults } of others) faults.cut(600_000);
    const blob = await spooled(from!, bytes(MIB));
    const error = await from!.blobs.replicate(KERNEL, [blob], NAMES, 2).catch((e) => e);
    assert.is(error.code, 'peer-unreachable');
    assert.match(error.message, /h[23]/);
    assert.is(await codeOf(from!.blobs.replicate(KERNEL, [blob], ['h1'], 2)), 'peer-unreachable');
  });
});

test('a blob that is not what its name says is refused by everyone', async () => {
  for (const size of [MIB, 3 * MIB]) {
    const blob = await spooled(first, bytes(size));
    const path = join(first.blobs.directory(KERNEL), blob.hash);
    await writeFile(path, bytes(size));
    assert.is(await codeOf(first.blobs.replicate(KERNEL, [blob], NAMES, 2)), 'blob-lost');
    assert.not(await has(second, blob));
    await unlink(path);
  }
});

test('what is missing here or has another size is told at once', async () => {
  const blob = { hash: 'ab'.repeat(32), bytes: MIB, mac: '' };
  assert.is(await codeOf(first.blobs.replicate(KERNEL, [blob], NAMES, 2)), 'blob-lost');
  const other = await spooled(first, bytes(MIB));
  const longer = { ...other, bytes: MIB + 1 };
  assert.is(await codeOf(first.blobs.replicate(KERNEL, [longer], NAMES, 2)), 'blob-lost');
});

test('missing blobs are fetched from whoever has them', async () => {
  const contents = [bytes(MIB / 2), bytes(5 * MIB)];
  const blobs = await Promise.all(contents.map((content) => spooled(second, content)));
  const both = [third.blobs, third.blobs].map((each) => each.ensure(KERNEL, blobs, NAMES));
  await Promise.all(both);
  for (const [at, { hash }] of blobs.entries())
    assert.ok((await readFile(join(third.blobs.directory(KERNEL), hash))).equals(contents[at]!));
  const nowhere = { hash: 'cd'.repeat(32), bytes: 5, mac: '' };
  await impatient(async ([, , at]) => {
    assert.is(await codeOf(at!.blobs.ensure(KERNEL, [nowhere], NAMES)), 'blob-lost');
    assert.is(await codeOf(at!.blobs.ensure(KERNEL, [nowhere], ['h3'])), 'blob-lost');
  });
});

test('what was sent before is not sent again: a thousand blobs cost one question', async () => {
  const blobs = await Promise.all(
    Array.from({ length: 1000 }, (_, at) => spooled(first, Buffer.alloc(66_000, `${at} `))),
  );
  await first.blobs.replicate(KERNEL, blobs, NAMES, 3);
  const before = first.sent;
  await first.blobs.replicate(KERNEL, blobs, NAMES, 3);
  assert.is(first.sent - before, 2, 'one to each of the other hosts');
});

test('a disk that is full refuses, and goes on when there is space', async () => {
  second.blobs.setFull(true);
  third.blobs.setFull(true);
  const blob = await spooled(first, bytes(3 * MIB));
  assert.is(await codeOf(first.blobs.replicate(KERNEL, [blob], NAMES, 2)), 'blob-lost');
  second.blobs.setFull(false);
  third.blobs.setFull(false);
  await first.blobs.replicate(KERNEL, [blob], NAMES, 3);
  first.blobs.setFull(true);
  assert.is(await codeOf(first.blobs.replicate(KERNEL, [blob], NAMES, 2)), 'disk-full');
  first.blobs.setFull(false);
});

test('rewriting all state in each of many cells leaves little behind', async () => {
  await first.blobs.remove(KERNEL);
  await second.blobs.remove(KERNEL);
  await second.blobs.prepare(KERNEL);
  let most = 0;
  for (let cell = 0; cell < 30; cell++) {
    const blob = await spooled(first, Buffer.concat([bytes(32), Buffer.alloc(2 * MIB)]));
    await first.blobs.replicate(KERNEL, [blob], ['h1', 'h2'], 2);
    for (const host of [first, second]) {
      await host.blobs.collect(KERNEL, new Set([blob.hash]));
      most = Math.max(most, (await filesAt(host)).length);
      assert.ok(await has(host, blob));
    }
  }
  assert.ok(most <= 3, `${most} blobs at once`);
});

test('a blob on its way into the log outlives collections that do not know it', async () => {
  await first.blobs.remove(KERNEL);
  const before = await spooled(first, bytes(100_000));
  await first.blobs.replicate(KERNEL, [before], NAMES, 1);
  await first.blobs.collect(KERNEL, new Set([before.hash]));
  const after = await spooled(first, bytes(100_000));
  await first.blobs.collect(KERNEL, new Set([before.hash]));
  assert.ok(await has(first, after));
  await first.blobs.replicate(KERNEL, [after], NAMES, 1);
  await first.blobs.collect(KERNEL, new Set([before.hash]));
  assert.ok(await has(first, after));
  await first.blobs.collect(KERNEL, new Set([after.hash]));
  assert.not(await has(first, before));
  // Offered again while in use: it stays for a moment when it goes out of use.
  await first.blobs.replicate(KERNEL, [after], NAMES, 1);
  await first.blobs.collect(KERNEL, new Set());
  assert.ok(await has(first, after));
  const old = await spooled(first, bytes(100_000));
  const path = join(first.blobs.directory(KERNEL), old.hash);
  await utimes(path, new Date(0), new Date(0));
  await first.blobs.collect(KERNEL, new Set());
  assert.not(await has(first, old));
});

test('names that lead elsewhere and nonsense change nothing', async () => {
  const hash = 'ef'.repeat(32);
  const chunk = [new Uint8Array(10)];
  const send = (fields: object, frames: readonly Uint8Array[] = chunk): void =>
    first.blobs.take('h2', { t: 'blob', kernel: KERNEL, hash, ...fields } as never, frames);
  const before = await filesAt(first);
  send({ offset: 0, total: 10, kernel: '../up' });
  send({ offset: 0, total: 10, hash: '../../up' });
  send({ offset: 5, total: 10 });
  send({ offset: 0, total: 20 });
  send({ offset: 0, total: 1e15 });
  send({ offset: 0, total: Number.NaN });
  send({ offset: -MIB, total: 10 });
  send({ offset: 0, total: 10 }, []);
  send({ offset: 0, total: 10 });
  first.blobs.take('h2', { t: 'blob-ack', kernel: KERNEL, hash, offset: 7 }, []);
  first.blobs.take('h2', { t: 'wanted-blobs', id: 999, missing: ['x'] }, []);
  first.blobs.take('h2', { t: 'want-blob', kernel: '..', hash }, []);
  first.blobs.take('h2', { t: 'offer-blobs', id: 1, kernel: '..', hashes: ['x', 7 as never] }, []);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(await filesAt(first), before);
});

test('a kernel that was removed from a host does not come back with a late blob', async () => {
  await impatient(async ([from, gone]) => {
    const contents = [bytes(100_000), bytes(3 * MIB)];
    const blobs = await Promise.all(contents.map((content) => spooled(from!, content)));
    await gone!.blobs.remove(KERNEL);
    assert.is(await codeOf(from!.blobs.replicate(KERNEL, blobs, ['h1', 'h2'], 2)), 'blob-lost');
    assert.is(await codeOf(gone!.blobs.ensure(KERNEL, blobs, NAMES)), 'blob-lost');
    assert.equal(await gone!.blobs.kernels(), []);
  });
});

for (const each of SUITES) each.run();
