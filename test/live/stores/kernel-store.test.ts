import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Unit } from '../../../live/log/entries.ts';
import { KernelLog } from '../../../live/log/kernel-log.ts';
import { CheckedStore } from '../../../live/stores/checked-store.ts';
import { KernelStore } from '../../../live/stores/kernel-store.ts';
import { Seal, sealOf } from '../../../live/stores/seal.ts';
import { metaOf } from '../agent/agent-parts.ts';
import { rejects } from './contract.ts';
import { ShakyStore } from './shaky-store.ts';

const K = 'k1';
const folder = await mkdtemp(join(tmpdir(), 'nbos-seal-'));
test.after(() => rm(folder, { recursive: true, force: true }));

function unit(id: string, inline: string): Unit {
  const hash = createHash('sha256').update(inline).digest('hex');
  const skeleton = { hash, bytes: inline.length, mac: '', inline };
  return { id, version: 1, kind: 'names', names: [id], skeleton, buffers: [] };
}

function logOf(units: readonly Unit[]): KernelLog {
  const log = new KernelLog();
  log.apply(1, { v: 1, type: 'create', meta: { ...metaOf(K), stateKey: 'the-key-of-blobs' } });
  const delta = { units, dropped: [], unreplicated: [], pinned: [], stateBytes: 7 };
  log.apply(2, { v: 1, type: 'state', epoch: 0, delta });
  return log;
}

function make(key = randomBytes(32)): { raw: ShakyStore; store: KernelStore } {
  const raw = new ShakyStore();
  return { raw, store: new KernelStore(new CheckedStore(raw, { retryMs: 1 }), new Seal(key)) };
}

test('a table comes back as the state that it was, of any size', async () => {
  for (const count of [0, 1, 300]) {
    const { raw, store } = make();
    const units = Array.from({ length: count }, (_, at) => unit(`u${at}`, 'x'.repeat(at * 20)));
    const state = logOf(units).state();
    await store.saveTable(K, { index: 2, state }, 0);
    const back = await store.latestTable(K);
    assert.is(back?.index, 2);
    assert.equal(KernelLog.from(back?.state).state(), state);
    const stored = raw.objects.get(raw.keys('tables')[0]!)!.data;
    for (const secret of ['the-key-of-blobs', '"units"', 'kernel'])
      assert.is(stored.includes(secret), false, `${secret} can be read in the store`);
  }
});

test('the newest whole table counts; one that was tampered with is passed over', async () => {
  const { raw, store } = make();
  await store.saveTable(K, { index: 9, state: logOf([unit('a', 'old')]).state() }, 0);
  const newer = { index: 10, state: logOf([unit('a', 'new')]).state() };
  const { key } = await store.saveTable(K, newer, 0);
  assert.is((await store.latestTable(K))?.index, 10);
  raw.objects.get(key)!.data[60]! ^= 1;
  assert.is((await store.latestTable(K))?.index, 9);
  // With a checksum to match: who can write there still cannot make one up.
  const data = raw.objects.get(key)!.data;
  const sha256 = createHash('sha256').update(data).digest('hex');
  raw.objects.delete(key);
  raw.objects.set(`kernels/${K}/tables/0000000000000011-${sha256}`, { data, modifiedAt: 0 });
  const [old] = raw.keys('tables') as [string];
  assert.is((await store.latestTable(K))?.index, 9);
  raw.objects.delete(old);
  await rejects(store.latestTable(K), 'store-corrupt');
});

test('a table of another kernel, another time or another system is not taken', async () => {
  const { raw, store } = make();
  const { key } = await store.saveTable(K, { index: 3, state: logOf([]).state() }, 0);
  const object = raw.objects.get(key)!;
  const moved = { ...object, data: Buffer.from(object.data) };
  raw.objects.set(key.replace('kernels/k1', 'kernels/k2'), moved);
  raw.objects.set(key.replace('0003-', '0004-'), moved);
  await rejects(store.latestTable('k2'), 'store-corrupt');
  assert.is((await store.latestTable(K))?.index, 3);
  const other = new KernelStore(new CheckedStore(raw, { retryMs: 1 }), new Seal(randomBytes(32)));
  await rejects(other.latestTable(K), 'store-corrupt');
  assert.is(await other.latestTable('k3'), undefined);
  assert.equal(await store.kernels(), ['k1', 'k2']);
  await store.remove(K);
  assert.equal(await store.kernels(), ['k2']);
});

test('of a kernel that began anew only what its generation saved counts', async () => {
  const { raw, store } = make();
  const save = async (index: number, generation: number): Promise<string> => {
    const state = logOf([unit('a', `${index}`)]).state();
    return (await store.saveTable(K, { index, state }, generation)).key;
  };
  const latest = async (): Promise<number | undefined> => (await store.latestTable(K))?.index;
  const base = await save(9, 0);
  const first = await store.claims.claim(K);
  await save(10, 0);
  assert.is(await latest(), 10, 'nobody has begun yet');
  assert.ok(await store.claims.begin(K, first, base));
  await save(11, 0);
  assert.is(await latest(), 9, 'what was saved for the lost log does not count');
  const own = await save(1_000_010, first);
  assert.is(await latest(), 1_000_010);
  // A restart of the kernel: what there was before does not come back.
  const second = await store.claims.claim(K);
  assert.ok(await store.claims.begin(K, second, ''));
  assert.is(await latest(), undefined);
  const third = await store.claims.claim(K);
  assert.ok(await store.claims.giveUp(K, third));
  assert.is(await latest(), undefined);
  // A table is not made another generation's by its name.
  const moved = own.replace(/\.1$/, '.2');
  raw.objects.set(moved, raw.objects.get(own)!);
  await rejects(store.latestTable(K), 'store-corrupt');
  raw.objects.delete(moved);
  await save(2_000_000, second);
  assert.is(await latest(), 2_000_000);
  await store.remove(K);
  assert.equal(raw.keys(), []);
});

test('a blob is found under the name of any generation', async () => {
  const { raw, store } = make();
  const path = join(folder, 'blob');
  await writeFile(path, 'content');
  const blob = { hash: createHash('sha256').update('content').digest('hex'), bytes: 7, mac: '' };
  const read = async (): Promise<string | undefined> => {
    const pieces: Uint8Array[] = [];
    const found = await store.readBlob(K, blob, async (piece) => void pieces.push(piece));
    return found ? String(Buffer.concat(pieces)) : undefined;
  };
  assert.is(await read(), undefined);
  const keys: string[] = [];
  for (const generation of [0, 2, 10]) {
    keys.push(await store.saveBlob(K, blob, path, generation));
    assert.is(await read(), 'content');
  }
  const { blobs } = await store.objects(K);
  assert.equal(
    blobs.map(({ key }) => key),
    keys,
    'the newest generation comes last',
  );
  for (const key of keys.reverse()) {
    assert.is(await read(), 'content');
    await store.removeObjects([key]);
  }
  assert.is(await read(), undefined);
  assert.equal(raw.keys(), []);
});

test('the seal of a system is made once, for its user alone', async () => {
  const place = join(folder, 'keys');
  const seals = await Promise.all([1, 2, 3, 4].map(() => sealOf(place)));
  const sealed = Buffer.concat([...seals[0]!.close('n', [Buffer.from('hello')])]);
  for (const seal of [...seals, await sealOf(place)])
    assert.is(String(seal.open('n', sealed)), 'hello');
  assert.is(seals[0]!.open('m', sealed), undefined);
  assert.is(seals[0]!.open('n', sealed.subarray(0, -1)), undefined);
  assert.is(seals[0]!.open('n', Buffer.alloc(3)), undefined);
  assert.is((await stat(join(place, 'store.json'))).mode & 0o777, 0o600);
  await writeFile(join(place, 'store.json'), '{"v":1,"key":"zz"}');
  await rejects(sealOf(place), 'key-invalid');
  assert.is(await readFile(join(place, 'store.json'), 'utf8'), '{"v":1,"key":"zz"}');
});

test.run();
