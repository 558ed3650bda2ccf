// time-limit: 240 s
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Blobs, LogStore, StoredGroup } from '../../../live/agent/ports.ts';
import { filesOf } from '../../../live/agent/replica-table.ts';
import { restoreGroup } from '../../../live/agent/restore-group.ts';
import { type Savable, Saver } from '../../../live/agent/saver.ts';
import { KernelLog } from '../../../live/log/kernel-log.ts';
import { CheckedStore } from '../../../live/stores/checked-store.ts';
import { KernelStore } from '../../../live/stores/kernel-store.ts';
import { Seal } from '../../../live/stores/seal.ts';
import { ShakyStore } from '../stores/shaky-store.ts';
import { metaOf } from './agent-parts.ts';
import { SteppedStore } from './stepped-store.ts';

const K = 'k1';
const root = await mkdtemp(join(tmpdir(), 'nbos-fence-'));
test.after(() => rm(root, { recursive: true, force: true }));
await mkdir(join(root, K));
const written = new Set<string>();

/** A host that has, or begins, the only log of the kernel. */
class Host implements Savable {
  readonly name: string;
  readonly steps: SteppedStore;
  readonly store: KernelStore;
  readonly saver: Saver;
  log = new KernelLog();
  /** indexes that its saver has told its log of, by generation */
  readonly told: { generation: number; index: number }[] = [];
  /** index of the table that it began with; undefined before */
  base: number | undefined;
  failure: unknown;

  constructor(name: string, raw: ShakyStore, seal: Seal) {
    this.name = name;
    this.steps = new SteppedStore(name, raw);
    this.store = new KernelStore(new CheckedStore(this.steps, { tries: 1 }), seal);
    const blobs: Partial<Blobs> = {
      directory: () => join(root, K),
      ensure: async () => undefined,
    };
    const say = (): void => undefined;
    this.saver = new Saver({
      ...{ store: this.store, blobs: blobs as Blobs, log: { info: say, warn: say } },
      now: () => performance.now(),
      // As much is removed as may be.
      limits: { garbageBytes: 0, graceMs: 0 },
    });
  }

  unsaved(): ReturnType<Savable['unsaved']> {
    if (this.isSaved(this.log.changedAt)) return undefined;
    return { index: this.log.applied, state: this.log.state(), hosts: [this.name] };
  }

  isSaved(changedAt: number): boolean {
    return this.log.saved >= changedAt;
  }

  async saved(index: number, generation?: number): Promise<void> {
    const claimed = generation === undefined ? {} : { generation };
    this.log.apply(this.log.applied + 1, { v: 1, type: 'saved', index, ...claimed });
    if (index > 0) this.told.push({ generation: this.log.generation, index });
  }

  begin(): void {
    this.log.apply(1, { v: 1, type: 'create', meta: { ...metaOf(K), name: this.name } });
  }

  /** A cell that leaves `x` with this content, saved before its reply. False: it was not. */
  async cell(text: string): Promise<boolean> {
    const hash = createHash('sha256').update(text).digest('hex');
    if (!written.has(hash)) await writeFile(join(root, K, hash), text);
    written.add(hash);
    const blob = { hash, bytes: text.length, mac: '' };
    const of = { id: 'x', version: this.log.applied, kind: 'names', names: ['x'] };
    const inline = { hash: 'f'.repeat(64), bytes: 1, mac: '', inline: 'eA==' };
    const units = [{ ...of, skeleton: inline, buffers: [blob] }];
    const delta = { units, dropped: [], unreplicated: [], pinned: [], stateBytes: 1 };
    this.log.apply(this.log.applied + 1, { v: 1, type: 'state', epoch: 0, delta });
    return this.saver.save(K, this, this.log.changedAt).then(
      () => true,
      (error) => {
        const { code } = error;
        assert.ok(code === 'replica-stopped' || code === 'not-leader', code);
        return false;
      },
    );
  }

  /** The kernel goes on here with what the store has. False when that was not to be. */
  async restore(): Promise<boolean> {
    let made: StoredGroup | undefined;
    const logs = {
      create: async (_kernel: string, group: StoredGroup): Promise<void> => {
        made = group;
      },
    } as unknown as LogStore;
    const beginning = {
      ...{ meta: { ...metaOf(K), name: this.name }, member: 2, beyond: 0, after: 0 },
      ...{ empty: false, waiting: [] },
    };
    const ground = {
      ...{ host: this.name, logs, clear: async () => undefined },
      fetch: (files: Parameters<typeof readAll>[1]) => readAll(this.store, files),
    };
    try {
      this.base = (await restoreGroup(ground, this.store, beginning)).index;
    } catch (error) {
      assert.is((error as { code?: string }).code, 'change-refused', String(error));
      return false;
    }
    const { state } = JSON.parse(String(made!.snapshot!.data)) as { state: unknown };
    this.log = KernelLog.from(state);
    return true;
  }

  does(work: () => Promise<unknown>): void {
    work().then(
      () => {
        this.steps.done = true;
      },
      (error: unknown) => {
        this.failure = error;
        this.steps.done = true;
      },
    );
  }
}

async function readAll(
  store: KernelStore,
  files: readonly { hash: string; bytes: number }[],
): Promise<void> {
  for (const { hash, bytes } of files)
    assert.ok(await store.readBlob(K, { hash, bytes }, async () => undefined), `blob ${hash}`);
}

interface Pair {
  raw: ShakyStore;
  seal: Seal;
  old: Host;
  next: Host;
}

/** A kernel that is on one host, with some of it saved, and another host that is to have it. */
async function pair(): Promise<Pair> {
  const raw = new ShakyStore();
  const seal = new Seal(randomBytes(32));
  const old = new Host('old', raw, seal);
  old.begin();
  old.does(async () => {
    assert.ok(await old.cell('content O'));
    assert.ok(await old.cell('content P'));
  });
  await old.steps.finish();
  assert.is(old.failure, undefined);
  old.steps.hold();
  return { raw, seal, old, next: new Host('next', raw, seal) };
}

/** Who does how many operations before it is the other's turn; in the end both finish. */
type Turns = (readonly [who: 'old' | 'next', steps: number])[];

async function play(hosts: Pair, turns: Turns): Promise<void> {
  for (const [who, steps] of turns)
    for (let at = 0; at < steps; at++) if (!(await hosts[who].steps.step())) break;
  const [last] = turns.at(-1)!;
  const first = last === 'old' ? 'next' : 'old';
  for (const who of [first, last] as const) {
    await hosts[who].steps.finish();
    if (hosts[who].failure !== undefined) throw hosts[who].failure;
  }
}

/** All ways, or one in so many, in which each stands still once, at any of its operations, while the other goes on. */
function allTurns(every = 1): Turns[] {
  const all: Turns[] = [];
  for (let k = 0; k <= OLD_STEPS; k++)
    for (let j = 0; j <= NEXT_STEPS; j++) {
      const [old, next] = [['old', k] as const, ['next', j] as const];
      all.push([old, next], [next, old]);
    }
  return all.filter((_, at) => at % every === 0);
}

/** A few more than there are, so that none is left out. */
const OLD_STEPS = 18;
const NEXT_STEPS = 25;

test('who saves for a group that was replaced takes nothing from the one in its place', async () => {
  for (const [at, turns] of [...allTurns(), ...allTurns()].entries()) {
    const hosts = await pair();
    const { raw, seal, old, next } = hosts;
    // As the old one had it, which it may be removing at this moment.
    const contents = at < allTurns().length ? ['content O', 'content P'] : ['content P'];
    const before = old.steps.steps;
    old.does(async () => {
      await old.cell('content Q');
      await old.cell('content R');
    });
    next.does(async () => {
      assert.ok(await next.restore());
      for (const content of contents) assert.ok(await next.cell(content));
    });
    await play(hosts, turns);
    const where = JSON.stringify(turns);
    assert.ok(old.steps.steps - before <= OLD_STEPS && next.steps.steps <= NEXT_STEPS);
    for (const { index } of old.told)
      assert.ok(index <= next.base!, `${where}: ${index} was told as saved, begun at ${next.base}`);
    const reader = new KernelStore(new CheckedStore(raw), seal);
    const table = await reader.latestTable(K);
    assert.is(table?.index, next.told.at(-1)?.index, where);
    assert.is(table?.state.meta?.name, 'next', where);
    await readAll(reader, filesOf(table?.state.units ?? []));
    assert.is(await old.cell('content S'), false, `${where}: the old one saves still`);
    assert.is((await reader.latestTable(K))?.key, table?.key, where);
  }
});

test('a host that only began has what it began with, whatever came after', async () => {
  for (const turns of allTurns(5)) {
    const hosts = await pair();
    const { raw, seal, old, next } = hosts;
    old.does(async () => {
      await old.cell('content Q');
      await old.cell('content R');
    });
    next.does(() => next.restore());
    await play(hosts, turns);
    const where = JSON.stringify(turns);
    const third = new Host('third', raw, seal);
    third.does(() => third.restore());
    await third.steps.finish();
    assert.is(third.failure, undefined, where);
    // What the second one's users saw, and not what was saved for the lost group later.
    assert.is(third.base, next.base, where);
  }
});

test('a kernel that goes on where it was has the store again, unless it began elsewhere', async () => {
  const seen = { old: 0, next: 0 };
  for (const turns of allTurns(5)) {
    const hosts = await pair();
    const { raw, seal, old, next } = hosts;
    // The gateway has given up to begin it on the other host, which does not know yet.
    old.does(async () => {
      await old.saver.takeBack(K, old, old.log.generation);
      await old.cell('content Q');
    });
    next.does(async () => {
      if (await next.restore()) await next.cell('content O');
    });
    await play(hosts, turns);
    const where = JSON.stringify(turns);
    const reader = new KernelStore(new CheckedStore(raw), seal);
    const begun = await reader.claims.begun(K, await reader.claims.list(K));
    const owner = begun?.generation === old.log.generation ? old : next;
    const other = owner === old ? next : old;
    seen[owner.name as 'old' | 'next']++;
    assert.is(begun?.generation, owner.log.generation, where);
    assert.ok(await owner.cell('content T'), `${where}: ${owner.name} has it`);
    const table = await reader.latestTable(K);
    assert.is(table?.index, owner.told.at(-1)?.index, where);
    await readAll(reader, filesOf(table?.state.units ?? []));
    if (other.base !== undefined || other === old) assert.is(await other.cell('content S'), false);
    assert.is((await reader.latestTable(K))?.key, table?.key, where);
  }
  assert.ok(seen.old > 0 && seen.next > 0, JSON.stringify(seen));
});

test('a claim of a host that went away does not keep the others for long', async () => {
  const { raw, old, next } = await pair();
  old.steps.free();
  const generation = await (async () => {
    next.steps.free();
    return next.store.claims.claim(K);
  })();
  assert.is(await old.cell('content Q'), false, 'it may begin still');
  for (const [key, object] of raw.objects)
    if (key.includes('/claims/')) object.modifiedAt -= 3_600_000;
  assert.ok(await old.cell('content R'));
  assert.is(await next.store.claims.begin(K, generation, ''), false, 'it came too late');
  assert.ok(await old.cell('content S'));
});

test.run();
