import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { pino } from 'pino';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { configurationOf, type Entry, type Snapshot } from '../../../core/raft/index.ts';
import type { StoredGroup } from '../../../live/agent/ports.ts';
import { LevelStore } from '../../../live/agent/store.ts';
import { Dice } from '../../random-run.ts';

const log = pino({ level: 'silent' });
let folder = '';
let made = 0;

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nbos-store-'));
});
test.after(() => rm(folder, { recursive: true }));

function open(path = join(folder, `log${++made}`)): Promise<LevelStore> {
  return LevelStore.open(path, log);
}

function entry(index: number, term = 1, data: string | Uint8Array = `entry ${index} é`): Entry {
  return { v: 1, term, index, kind: 'data', data };
}

function snapshot(index: number, term = 1): Snapshot {
  return { v: 1, index, term, config: configurationOf([1, 2, 3]), data: `state ${index}` };
}

function group(entries: readonly Entry[] = []): StoredGroup {
  const hardState = { term: 1, vote: 2, commit: 0 };
  return { identity: '{"member":2}', hardState, snapshot: snapshot(0, 0), entries };
}

test('what is written is there after a restart', async () => {
  const path = join(folder, 'restart');
  const store = await open(path);
  await store.create('k1', group());
  const bytes = new Uint8Array([0, 10, 255]);
  const config: Entry = { ...entry(3), kind: 'config', config: configurationOf([1, 2], [3]) };
  await store.write('k1', { entries: [entry(1), entry(2, 1, bytes), config], mustSync: true });
  await store.write('k1', { hardState: { term: 2, vote: 1, commit: 3 }, mustSync: true });
  await store.write('k1', { identity: '{"member":2,"x":1}', mustSync: false });
  await store.close();
  const again = await open(path);
  assert.equal(await again.kernels(), ['k1']);
  const found = (await again.load('k1'))!;
  assert.equal(found, {
    identity: '{"member":2,"x":1}',
    hardState: { term: 2, vote: 1, commit: 3 },
    snapshot: snapshot(0, 0),
    entries: [entry(1), entry(2, 1, bytes), config],
  });
  assert.is(await again.load('k2'), undefined);
  await again.close();
});

test('entries replace those at and after the first of them', async () => {
  const store = await open();
  await store.create('k', group([1, 2, 3, 4].map((index) => entry(index))));
  await store.write('k', { entries: [entry(3, 2)], mustSync: true });
  const { entries } = (await store.load('k'))!;
  assert.equal(entries, [entry(1), entry(2), entry(3, 2)]);
  await store.close();
});

test("a member's own snapshot keeps the log; the leader's replaces it", async () => {
  const store = await open();
  await store.create('k', group([1, 2, 3, 4, 5].map((index) => entry(index))));
  await store.write('k', { snapshot: snapshot(4), compactTo: 2, mustSync: true });
  const own = (await store.load('k'))!;
  assert.is(own.snapshot?.index, 4);
  assert.equal(own.entries, [entry(5)]);
  await store.write('k', { snapshot: snapshot(9, 3), mustSync: true });
  await store.write('k', { entries: [entry(10, 3)], mustSync: true });
  const sent = (await store.load('k'))!;
  assert.is(sent.snapshot?.index, 9);
  assert.equal(sent.entries, [entry(10, 3)]);
  // One in the middle of entries of another term: they were never committed.
  await store.write('k', { entries: [entry(11, 3), entry(12, 3)], mustSync: true });
  await store.write('k', { snapshot: snapshot(11, 5), mustSync: true });
  assert.equal((await store.load('k'))!.entries, []);
  await store.close();
});

test('writes of one turn share a sync, those during a write the next', async () => {
  const store = await open();
  const kernels = Array.from({ length: 20 }, (_, at) => `k${at}`);
  await Promise.all(kernels.map((kernel) => store.create(kernel, group())));
  assert.is(store.syncs, 1);
  const first = kernels.map((k) => store.write(k, { entries: [entry(1)], mustSync: true }));
  await new Promise(setImmediate);
  const second = kernels.map((k) => store.write(k, { entries: [entry(2)], mustSync: true }));
  await Promise.all([...first, ...second]);
  assert.is(store.syncs, 3);
  // The commit index alone waits for no disk.
  const hardState = { term: 1, vote: 2, commit: 2 };
  await Promise.all(kernels.map((k) => store.write(k, { hardState, mustSync: false })));
  assert.is(store.syncs, 3);
  await store.close();
});

test('a removed group leaves nothing', async () => {
  const path = join(folder, 'removed');
  const store = await open(path);
  await store.create('k', group([entry(1), entry(2)]));
  await store.create('k-other', group([entry(1)]));
  await store.remove('k');
  assert.equal(await store.kernels(), ['k-other']);
  await store.close();
  const db = new ClassicLevel(path);
  assert.equal(
    (await db.keys().all()).filter((key) => !key.includes('k-other')),
    [],
  );
  await db.close();
});

test('a full disk stops the groups that wrote, and is over when there is space', async () => {
  const store = await open();
  await store.create('k', group());
  await store.create('other', group());
  store.setFull(true);
  const failures = [entry(1), entry(2)].map((each) =>
    store.write('k', { entries: [each], mustSync: true }).catch((error) => error.code),
  );
  assert.equal(await Promise.all(failures), ['disk-full', 'disk-full']);
  store.setFull(false);
  const refused = await store.write('k', { entries: [entry(1)], mustSync: true }).catch((e) => e);
  assert.is(refused.code, 'file-unwritable');
  await store.write('other', { entries: [entry(1)], mustSync: true });
  assert.equal((await store.load('k'))!.entries, []);
  await store.write('k', { entries: [entry(1)], mustSync: true });
  assert.equal((await store.load('k'))!.entries, [entry(1)]);
  await store.close();
});

test('a second process is refused; damage is told with the place', async () => {
  const path = join(folder, 'damaged');
  const store = await open(path);
  assert.is((await open(path).catch((error) => error)).code, 'data-locked');
  await store.create('k', group([entry(1), entry(2), entry(3)]));
  await store.close();
  const db = new ClassicLevel<string, Buffer>(path, { valueEncoding: 'buffer' });
  const key = 'e/k/0000000000000002';
  const whole = (await db.get(key))!;
  for (const bad of [undefined, whole.subarray(0, -1), Buffer.from('x'), Buffer.from('{}\n')]) {
    if (bad === undefined) await db.del(key);
    else await db.put(key, bad);
    await db.close();
    const again = await open(path);
    const error = await again.load('k').catch((e) => e);
    assert.is(error.code, 'log-corrupt');
    assert.ok(error.message.includes(path));
    await again.close();
    await db.open();
  }
  await db.close();
  for (const name of await readdir(path))
    if (name.startsWith('MANIFEST')) await writeFile(join(path, name), 'garbage');
  assert.is((await open(path).catch((error) => error)).code, 'log-corrupt');
});

test('any sequence of writes leaves what a list in memory has', async () => {
  const seed = Number(process.env['NBOS_SEED'] ?? 7);
  const dice = new Dice(seed);
  const below = (limit: number): number => dice.between(0, limit - 1);
  const path = join(folder, 'random');
  let store = await open(path);
  await store.create('k', group());
  let base = 0;
  let baseTerm = 0;
  let term = 1;
  let entries: Entry[] = [];
  for (let step = 0; step < 300; step++) {
    const last = entries.at(-1)?.index ?? base;
    const kind = below(10);
    if (kind < 6) {
      const from = base + 1 + below(last - base + 1);
      if (from <= last) term++;
      const added = Array.from({ length: 1 + below(3) }, (_, at) => entry(from + at, term));
      entries = [...entries.filter(({ index }) => index < from), ...added];
      await store.write('k', { entries: added, mustSync: true });
    } else if (kind < 8 && entries.length > 0) {
      const kept = entries[below(entries.length)]!;
      base = kept.index;
      baseTerm = kept.term;
      entries = entries.filter(({ index }) => index > base);
      const compactTo = Math.max(0, base - below(4));
      await store.write('k', { snapshot: snapshot(base, baseTerm), compactTo, mustSync: true });
    } else if (kind === 8) {
      base = last + 1 + below(5);
      baseTerm = ++term;
      entries = [];
      await store.write('k', { snapshot: snapshot(base, baseTerm), mustSync: true });
    } else {
      await store.close();
      store = await open(path);
    }
    const found = (await store.load('k'))!;
    const where = `step ${step} of NBOS_SEED=${seed}`;
    assert.equal(found.entries, entries, where);
    assert.is(found.snapshot?.index, base, where);
  }
  await store.close();
});

test.run();
