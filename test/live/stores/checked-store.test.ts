import { randomBytes } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { contentOf } from '../../../live/stores/checked-content.ts';
import { CheckedStore } from '../../../live/stores/checked-store.ts';
import { openStore } from '../../../live/stores/open-store.ts';
import { rejects, storeContract } from './contract.ts';
import { ShakyStore } from './shaky-store.ts';

const FAST = { tries: 3, retryMs: 1 };

storeContract(test, { name: 'memory', missing: '', open: async () => new ShakyStore() });

function pair(stallMs = 60_000): { raw: ShakyStore; store: CheckedStore } {
  const raw = new ShakyStore();
  return { raw, store: new CheckedStore(raw, { ...FAST, stallMs }) };
}

test('a passing outage is not seen, a lasting one is told', async () => {
  const { raw, store } = pair();
  const content = contentOf(Buffer.from('x'));
  raw.trouble = 'outage';
  raw.times = 2;
  assert.ok(await store.put('k', content));
  raw.times = 3;
  await rejects(store.put('k', content), 'store-unreachable');
  raw.times = 3;
  await rejects(store.list(''), 'store-unreachable');
  assert.is(raw.times, 0);
});

test('what another try does not mend is told at once', async () => {
  for (const [trouble, code] of [
    ['denied', 'store-denied'],
    ['full', 'disk-full'],
  ] as const) {
    const { raw, store } = pair();
    raw.trouble = trouble;
    await rejects(store.put('k', contentOf(Buffer.from('x'))), code);
    assert.is(raw.asked.length, 1);
  }
});

test('a store that says nothing is left after the time limit', async () => {
  const { raw, store } = pair(100);
  raw.trouble = 'silence';
  await rejects(store.head('k'), 'store-unreachable');
  assert.is(raw.asked.length, FAST.tries);
});

test('a slow one is not: as long as something comes', async () => {
  const { raw, store } = pair(1_000);
  const content = contentOf(randomBytes(1_000_000));
  await store.put('k', content);
  raw.pieceMs = 80;
  assert.ok(await store.readWhole('k', content.sha256));
  assert.equal(raw.asked.filter((each) => each.startsWith('get')).length, 1);
});

test('a reading that breaks off goes on where it was', async () => {
  const { raw, store } = pair();
  const data = randomBytes(1_000_000);
  const { sha256 } = contentOf(data);
  await store.put('k', contentOf(data));
  raw.trouble = 'short';
  raw.times = 2;
  assert.ok((await store.readWhole('k', sha256))?.equals(data));
  const offsets = raw.asked.filter((each) => each.startsWith('get')).map((each) => each.slice(6));
  assert.equal(offsets.length, 3, String(offsets));
  assert.ok(Number(offsets[1]) > 0 && Number(offsets[2]) > Number(offsets[1]));
  raw.times = 3;
  await rejects(store.readWhole('k', sha256), 'store-unreachable');
});

test('damaged bytes are never given as good', async () => {
  const { raw, store } = pair();
  const content = contentOf(randomBytes(200_000));
  await store.put('k', content);
  raw.trouble = 'wrong';
  await rejects(store.readWhole('k', content.sha256), 'store-corrupt');
});

test('where it is taken to may fail: it is told as it is, once', async () => {
  const { raw, store } = pair();
  const content = contentOf(randomBytes(200_000));
  await store.put('k', content);
  const full = (): never => {
    throw new Error('ENOSPC');
  };
  await rejects(store.read('k', { sha256: content.sha256 }, full), 'file-unwritable');
  assert.is(raw.asked.filter((each) => each.startsWith('get')).length, 1);
});

test('closing ends what waits', async () => {
  const { raw } = pair();
  const store = new CheckedStore(raw, { tries: 3, retryMs: 1, stallMs: 60_000 });
  raw.trouble = 'silence';
  const waiting = rejects(store.head('k'), 'store-unreachable');
  await store.close();
  await waiting;
  await rejects(store.head('k'), 'store-unreachable');
});

test('URLs name stores, and wrong ones are told as such', () => {
  const names = {
    'file:/var/nbos': 'file:/var/nbos',
    'file:///var/nbos/': 'file:/var/nbos',
    's3://bucket/a/b/?endpoint=http://127.0.0.1:9000': 's3://bucket/a/b',
    's3://bucket': 's3://bucket',
    'redis://127.0.0.1': 'redis://127.0.0.1:6379/0',
    'rediss://user@host:7000/2/a/b': 'rediss://host:7000/2/a/b',
    'webhdfs://me@name:9870/user/me/nbos': 'webhdfs://name:9870/user/me/nbos',
    'swebhdfs://name/x': 'swebhdfs://name:9871/x',
  };
  for (const [url, name] of Object.entries(names)) assert.is(openStore(url, {}).name, name);
  const wrong = [
    ...['', 'nowhere', '/tmp/store', 'ftp://host/x', 'file:', 'file://', 's3:///prefix'],
    ...['redis://h/x', 'redis://:secret@h', 'webhdfs://h', 'webhdfs://h/../x y', 's3://b?x=1'],
    ...['s3://b?endpoint=nowhere', 's3://b/a//b', 's3://key:secret@bucket'],
  ];
  for (const url of wrong)
    try {
      openStore(url, {});
      assert.unreachable(`${url} was taken`);
    } catch (error) {
      const { code, message, hint } = error as { code: string; message: string; hint: string };
      assert.is(code, 'config-bad-value', url);
      assert.ok(hint.length > 10);
      assert.not(/secret/.test(message), message);
    }
});

test.run();
