import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NbosError } from '../../../core/errors.ts';
import type { Blobs } from '../../../live/agent/ports.ts';
import { type Savable, Saver } from '../../../live/agent/saver.ts';
import type { Blob, Unit } from '../../../live/log/entries.ts';
import { KernelLog } from '../../../live/log/kernel-log.ts';
import { CheckedStore } from '../../../live/stores/checked-store.ts';
import { KernelStore } from '../../../live/stores/kernel-store.ts';
import { Seal } from '../../../live/stores/seal.ts';
import { ShakyStore } from '../stores/shaky-store.ts';
import { eventually } from '../wire/eventually.ts';
import { metaOf } from './agent-parts.ts';

const root = await mkdtemp(join(tmpdir(), 'nbos-saver-'));
test.after(() => rm(root, { recursive: true, force: true }));

/** A kernel whose log is here, with blobs as files. */
class Kernel implements Savable {
  readonly id: string;
  readonly log = new KernelLog();
  leads = true;
  refuses = false;
  readonly #world: SaverWorld;

  constructor(world: SaverWorld, id: string) {
    this.#world = world;
    this.id = id;
    this.log.apply(1, { v: 1, type: 'create', meta: metaOf(id) });
  }

  /** A cell that leaves `name` with other bytes. */
  async change(name: string, bytes: number): Promise<Blob> {
    const data = randomBytes(bytes);
    const hash = createHash('sha256').update(data).digest('hex');
    const folder = join(root, this.id);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, hash), data);
    const blob = { hash, bytes, mac: '' };
    const skeleton = { hash: 'f'.repeat(64), bytes: 1, mac: '', inline: 'eA==' };
    const unit: Unit = {
      ...{ id: name, version: this.log.applied, kind: 'names', names: [name] },
      ...{ skeleton, buffers: [blob] },
    };
    const delta = { units: [unit], dropped: [], unreplicated: [], pinned: [], stateBytes: bytes };
    this.log.apply(this.log.applied + 1, { v: 1, type: 'state', epoch: 0, delta });
    this.#world.saver.changed(this.id, this);
    return blob;
  }

  unsaved(): ReturnType<Savable['unsaved']> {
    if (!this.leads || this.log.saved >= this.log.changedAt) return undefined;
    return { index: this.log.applied, state: this.log.state(), hosts: ['h1'] };
  }

  isSaved(changedAt: number): boolean {
    return this.log.saved >= changedAt;
  }

  async saved(index: number): Promise<void> {
    if (this.refuses) throw new NbosError('replica-stopped', 'it was stopped');
    this.log.apply(this.log.applied + 1, { v: 1, type: 'saved', index });
  }
}

class SaverWorld {
  readonly raw = new ShakyStore();
  readonly store: KernelStore;
  readonly saver: Saver;
  readonly said: string[] = [];
  now = 1;

  constructor(stallMs = 60_000) {
    const checked = new CheckedStore(this.raw, { tries: 1, stallMs });
    this.store = new KernelStore(checked, new Seal(randomBytes(32)));
    const blobs: Partial<Blobs> = {
      directory: (kernel) => join(root, kernel),
      ensure: async () => undefined,
    };
    const say = (_: object, message: string): void => void this.said.push(message);
    this.saver = new Saver({
      ...{ store: this.store, blobs: blobs as Blobs, log: { info: say, warn: say } },
      now: () => this.now,
      limits: { garbageBytes: 1_000 },
    });
  }

  /** Lets so many ms pass; what is under way takes no time. */
  async run(ms: number): Promise<void> {
    const step = ms > 5_000 ? 400 : 50;
    for (const end = this.now + ms; this.now < end; this.now += step) {
      this.saver.tick();
      await this.settled();
    }
  }

  settled(): Promise<void> {
    return eventually(() => !this.saver.isBusy);
  }
}

test('what changed is brought to the store, and the log is told', async () => {
  const world = new SaverWorld();
  const kernel = new Kernel(world, 'first');
  const blobs = [await kernel.change('x', 100_000), await kernel.change('y', 200_000)];
  assert.equal(world.saver.standing('first').saved, false);
  await world.run(1_000);
  assert.equal(world.saver.standing('first'), { saved: true, since: 0, bytes: 0 });
  assert.is(kernel.log.saved, 3);
  const { hash, bytes } = blobs[0]!;
  const got: Uint8Array[] = [];
  const take = async (piece: Uint8Array): Promise<void> => void got.push(piece);
  assert.ok(await world.store.readBlob('first', { hash, bytes }, take));
  assert.is(Buffer.concat(got).length, bytes);
  const table = await world.store.latestTable('first');
  assert.equal(
    KernelLog.from(table?.state)
      .state()
      .units.map(({ id }) => id),
    ['x', 'y'],
  );
});

test('changes in quick succession are saved once, unchanged blobs are sent once', async () => {
  const world = new SaverWorld();
  const kernel = new Kernel(world, 'quick');
  await kernel.change('kept', 50_000);
  for (let turn = 0; turn < 20; turn++) await kernel.change('x', 50_000);
  await world.run(1_000);
  await kernel.change('x', 50_000);
  await world.run(3_000);
  const puts = world.raw.asked.filter((each) => each.startsWith('put'));
  assert.is(puts.filter((each) => each.includes('/blobs/')).length, 3, puts.join('\n'));
  assert.is(puts.filter((each) => each.includes('/tables/')).length, 2);
  assert.is(kernel.log.saved, kernel.log.changedAt + 0);
});

test('an outage is told once, tried ever more rarely, and made up for', async () => {
  const world = new SaverWorld();
  const kernels = ['o1', 'o2', 'o3'].map((id) => new Kernel(world, id));
  world.raw.trouble = 'outage';
  for (const kernel of kernels) await kernel.change('x', 70_000);
  await world.run(120_000);
  assert.ok(world.raw.asked.length < 12, `${world.raw.asked.length} tries`);
  assert.equal(
    world.said.filter((each) => /kernels go on/.test(each)).length,
    world.said.length,
    world.said.join(),
  );
  assert.is(world.said.length, 1);
  for (let turn = 0; turn < 5; turn++)
    for (const kernel of kernels) await kernel.change('x', 70_000);
  const { saved, since } = world.saver.standing('o2');
  assert.ok(!saved && since > 0);
  world.raw.trouble = '';
  await world.run(70_000);
  for (const kernel of kernels) assert.is(kernel.log.saved, 7, kernel.id);
  assert.is(world.said.length, 2);
  assert.match(world.said[1]!, 'again');
  // What came and went meanwhile was never sent.
  assert.is(world.raw.keys('/blobs/').length, 3);
});

test('credentials that have expired and a full store are outages too; silence is', async () => {
  for (const trouble of ['denied', 'full', 'silence'] as const) {
    const world = new SaverWorld(trouble === 'silence' ? 200 : undefined);
    const kernel = new Kernel(world, `t-${trouble}`);
    world.raw.trouble = trouble;
    await kernel.change('x', 70_000);
    await world.run(3_000);
    assert.is(world.said.length, 1, `${trouble}: ${world.said}`);
    world.raw.trouble = '';
    await world.run(70_000);
    assert.is(kernel.log.saved, 2, trouble);
  }
});

test('old objects go: at once when they are many, else after a while; the newest stay', async () => {
  const world = new SaverWorld();
  const kernel = new Kernel(world, 'big');
  const kept = await kernel.change('kept', 3_000);
  for (let turn = 0; turn < 40; turn++) {
    await kernel.change('x', 2_000);
    await world.run(600);
    const bytes = world.raw
      .keys('/blobs/')
      .reduce((sum, key) => sum + world.raw.objects.get(key)!.data.length, 0);
    assert.ok(bytes <= 3 * 5_000, `${bytes} bytes after ${turn}`);
    assert.ok(world.raw.keys('/tables/').length <= 2);
  }
  assert.ok(world.raw.objects.has(`kernels/big/blobs/${kept.hash}`));
  await world.run(61_000);
  const last = await kernel.change('x', 2_000);
  await world.run(1_000);
  const table = await world.store.latestTable('big');
  for (const { buffers } of table!.state.units)
    assert.ok(world.raw.objects.has(`kernels/big/blobs/${buffers[0]!.hash}`));
  assert.is(world.raw.keys('/blobs/').length, 3, last.hash);
});

test('files that are being saved are pinned, and only then', async () => {
  const world = new SaverWorld(50);
  const kernel = new Kernel(world, 'pins');
  const blob = await kernel.change('x', 70_000);
  world.raw.trouble = 'silence';
  world.now += 600;
  world.saver.tick();
  assert.ok(world.saver.pinned('pins').has(blob.hash));
  await world.settled();
  assert.is(world.saver.pinned('pins').size, 0);
});

test('a file that is gone is no outage: the others are saved', async () => {
  const world = new SaverWorld();
  const [bad, good] = [new Kernel(world, 'bad'), new Kernel(world, 'good')];
  const { hash } = await bad.change('x', 70_000);
  await rm(join(root, 'bad', hash));
  await good.change('x', 70_000);
  await world.run(5_000);
  assert.is(good.log.saved, 2);
  assert.is(bad.log.saved, 0);
  assert.is(world.said.length, 1, 'told once');
  await bad.change('x', 70_000);
  await world.run(20_000);
  assert.is(bad.log.saved, 3);
});

test('a member that does not lead, or whose log has stopped, saves nothing more', async () => {
  const world = new SaverWorld();
  const kernel = new Kernel(world, 'led');
  kernel.refuses = true;
  await kernel.change('x', 70_000);
  await world.run(1_000);
  assert.is(kernel.log.saved, 0);
  kernel.leads = false;
  await world.run(5_000);
  assert.ok(world.saver.standing('led').saved);
  assert.is(world.said.length, 0);
});

test('a kernel that ends leaves nothing, also one that is being saved then', async () => {
  const world = new SaverWorld();
  const other = new Kernel(world, 'other');
  const kernel = new Kernel(world, 'ends');
  await other.change('x', 70_000);
  await kernel.change('x', 70_000);
  await world.run(1_000);
  await kernel.change('x', 70_000);
  world.now += 5_000;
  world.saver.tick();
  world.saver.ended('ends');
  await world.run(1_000);
  assert.equal(world.raw.keys('ends'), []);
  await kernel.change('x', 70_000);
  await world.run(1_000);
  world.raw.trouble = 'outage';
  world.saver.ended('ends');
  await world.run(3_000);
  assert.ok(world.raw.keys('ends').length > 0);
  world.raw.trouble = '';
  await world.run(70_000);
  assert.equal(world.raw.keys('ends'), []);
  assert.is(world.raw.keys('other').length, 2);
});

test.run();
