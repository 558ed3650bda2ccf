import { join } from 'node:path';
import { NbosError } from '../../core/errors.ts';
import type { Blob } from '../log/entries.ts';
import type { KernelLogState } from '../log/log-state.ts';
import type { Claim } from '../stores/claims.ts';
import { counting, type StoredTable } from '../stores/kernel-store.ts';
import { filesOf } from './replica-table.ts';
import type { Savable, SaverOf, Standing } from './saver.ts';
import { SavingFence } from './saving-fence.ts';

export interface SaverLimits {
  /** ms after a change, for more of them to come */
  settleMs: number;
  /** after a save of t ms a kernel rests for so many t */
  restRatio: number;
  /** kernels of a host that are saved at a time */
  atOnce: number;
  /** ms until a store that failed is tried again, doubled each time up to the other */
  retryMs: number;
  maxRetryMs: number;
  /** ms for which objects stay that no table needs, for who reads an older one */
  graceMs: number;
  /** bytes of such objects above which, and above the live ones, they do not stay so long */
  garbageBytes: number;
}

/** An object of the store, as it is remembered. */
interface Kept {
  readonly key: string;
  readonly hash: string;
  readonly bytes: number;
  /** of the saver's clock, when the last table that needs it was replaced; 0 while one does */
  unusedSince: number;
}

type Unsaved = NonNullable<ReturnType<Savable['unsaved']>>;

/** One kernel's way to the store, while this host leads it. */
export class SavedKernel {
  readonly kernel: string;
  readonly savable: Savable;
  pinned: ReadonlySet<string> = new Set();
  /** settles as the latest save: once the log says that it is done */
  written: Promise<void> = Promise.resolve();
  /** once it is over, with what it removed */
  ended: Promise<void> = Promise.resolve();
  readonly #of: SaverOf;
  readonly #limits: SaverLimits;
  /** ms of the saver's clock; undefined when all is saved */
  #dueAt: number | undefined;
  #since = 0;
  #bytes = 0;
  #running = false;
  /** what it runs for is not saved yet */
  #writing = false;
  /** another change came while it ran */
  #again = false;
  #notBefore = 0;
  #abandoned = false;
  /** in a row */
  #failures = 0;
  readonly #fence: SavingFence;
  /** blobs in the store by hash that may be relied on; undefined until it was asked */
  #blobs: Map<string, Kept> | undefined;
  /** that no table needs which counts: those of older generations may be on their way out */
  #strays: Kept[] = [];
  #claims: readonly Claim[] = [];
  /** keys of tables in the store, oldest first */
  #tables: string[] = [];
  /** blobs of the table before the newest one */
  #before: ReadonlySet<string> = new Set();

  constructor(kernel: string, savable: Savable, of: SaverOf, limits: SaverLimits) {
    this.kernel = kernel;
    this.savable = savable;
    this.#of = of;
    this.#limits = limits;
    this.#fence = new SavingFence(kernel, of.store);
    this.due(of.now());
  }

  get standing(): Standing {
    const saved = this.#dueAt === undefined && !this.#writing && !this.#again;
    return { saved, since: saved ? 0 : this.#since, bytes: saved ? 0 : this.#bytes };
  }

  due(now: number): void {
    if (this.#running) this.#again = true;
    if (this.#dueAt !== undefined || this.#running) return;
    this.#since = Date.now();
    this.#dueAt = Math.max(now + this.#limits.settleMs, this.#notBefore);
  }

  /** What the store has is wrong by now: it does not wait for more changes. */
  hurry(now: number): void {
    this.#notBefore = now;
    if (this.#dueAt !== undefined) this.#dueAt = now;
  }

  get isRunning(): boolean {
    return this.#running;
  }

  /** It is not this host's any more: what is under way ends soon. */
  abandon(): void {
    this.#abandoned = true;
  }

  isDue(now: number): boolean {
    if (this.#running || this.#fence.isSuperseded) return false;
    return this.#dueAt !== undefined && this.#dueAt <= now;
  }

  /** Rejects when the store, a host or the log fails; it is due still then, see `failed`. */
  save(): Promise<void> {
    const table = this.savable.unsaved();
    this.#dueAt = undefined;
    if (table === undefined) {
      this.written = Promise.resolve();
      return this.written;
    }
    this.#running = true;
    this.#writing = true;
    this.#again = false;
    const files = filesOf(table.state.units);
    this.pinned = new Set(files.map(({ hash }) => hash));
    this.written = this.#write(table, files);
    const whole = this.written
      .then(() => this.#collect(this.pinned, table.state))
      .finally(() => this.#rest());
    // Who waits for both hears of failures by one of them.
    this.written.catch(() => undefined);
    this.ended = whole.catch(() => undefined);
    return whole;
  }

  /**
   * The kernel is this group's, says the gateway, whoever has claimed it meanwhile: what it saves
   * counts again. Resolves once its log says so.
   */
  async takeBack(generation: number): Promise<void> {
    while (this.#running) await this.ended;
    this.#running = true;
    const work = this.#takeBack(generation).finally(() => this.#rest());
    this.ended = work.catch(() => undefined);
    this.written = this.ended;
    await work;
  }

  async #takeBack(generation: number): Promise<void> {
    const taken = await this.#fence.takeBack(generation);
    if (taken === undefined) return;
    this.#blobs = undefined;
    this.#again = true;
    await this.savable.saved(0, taken);
  }

  async #write(table: Unsaved, files: readonly Blob[]): Promise<void> {
    const from = this.#of.now();
    const { generation = 0 } = table.state;
    const blobs = await this.#known(generation);
    await this.#saveBlobs(blobs, files, table.hosts, generation);
    this.#checkWanted();
    const { key } = await this.#of.store.saveTable(this.kernel, table, generation);
    this.#tables.push(key);
    await this.#fence.check(generation);
    this.#checkWanted();
    await this.savable.saved(table.index);
    this.#writing = false;
    this.#failures = 0;
    const now = this.#of.now();
    this.#notBefore = now + (now - from) * this.#limits.restRatio;
  }

  #rest(): void {
    this.#running = false;
    this.#writing = false;
    this.pinned = new Set();
    this.#bytes = 0;
    if (!this.#again) return;
    this.#again = false;
    this.due(this.#of.now());
  }

  failed(error: unknown, now: number): void {
    const { retryMs, maxRetryMs } = this.#limits;
    // Another host may have changed what is there.
    this.#blobs = undefined;
    const code = error instanceof NbosError ? error.code : '';
    // The saver tells of outages and when they are over; who leads changes now and then.
    if (QUIET.has(code)) {
      this.#dueAt = now + retryMs;
      return;
    }
    this.#dueAt = now + Math.min(retryMs * 2 ** this.#failures, maxRetryMs);
    if (this.#failures++ > 0) return;
    const { kernel } = this;
    this.#of.log.warn({ err: error, kernel }, 'the state of a kernel was not brought to the store');
  }

  /**
   * What is there is a later generation's only where its newest table needs it: the rest may be on
   * the way out still, by those who saved before.
   */
  async #known(generation: number): Promise<Map<string, Kept>> {
    if (this.#blobs !== undefined) return this.#blobs;
    const { store } = this.#of;
    const { blobs, tables, claims } = await store.objects(this.kernel);
    const older = claims.filter((claim) => claim.generation <= generation);
    const begun = await store.claims.begun(this.kernel, older);
    const ours = counting(tables, begun);
    const others = tables.filter((table) => !ours.includes(table));
    const needed = begun === undefined ? undefined : await this.#needed(ours);
    const known = new Map<string, Kept>();
    this.#strays = [];
    const now = this.#of.now();
    for (const { key, hash, bytes } of blobs) {
      const kept = { key, hash, bytes, unusedSince: now };
      // Of two, the one with a generation of its own comes later.
      const before = known.get(hash);
      if (needed?.has(hash) === false) this.#strays.push(kept);
      else known.set(hash, kept);
      if (before !== undefined) this.#strays.push(before);
    }
    this.#before = needed ?? new Set();
    this.#tables = [...others, ...ours].map(({ key }) => key);
    this.#claims = older;
    this.#blobs = known;
    return known;
  }

  async #needed(tables: readonly StoredTable[]): Promise<ReadonlySet<string>> {
    const newest = tables.at(-1);
    const state = newest && (await this.#of.store.readTable(this.kernel, newest));
    return new Set(filesOf(state?.units ?? []).map(({ hash }) => hash));
  }

  #checkWanted(): void {
    if (this.#abandoned)
      throw new NbosError('replica-stopped', `kernel ${this.kernel} is not led from here any more`);
  }

  async #saveBlobs(
    known: Map<string, Kept>,
    files: readonly Blob[],
    hosts: readonly string[],
    generation: number,
  ): Promise<void> {
    const { store, blobs } = this.#of;
    const missing = files.filter(({ hash, bytes }) => known.get(hash)?.bytes !== bytes);
    this.#bytes = missing.reduce((sum, { bytes }) => sum + bytes, 0);
    // A leader need not be among those that had to have them.
    await blobs.ensure(this.kernel, missing, hosts);
    for (const blob of missing) {
      this.#checkWanted();
      const { hash, bytes } = blob;
      const path = join(blobs.directory(this.kernel), hash);
      const key = await store.saveBlob(this.kernel, blob, path, generation);
      this.#strays = this.#strays.filter((stray) => stray.key !== key);
      known.set(hash, { key, hash, bytes, unusedSince: 0 });
      this.#bytes -= bytes;
    }
    for (const { hash } of files) known.get(hash)!.unusedSince = 0;
  }

  /**
   * Removes what neither this table nor the one before needs: after a while, or at once when it
   * has become more than what is in use. Objects whose removal fails are tried again next time.
   */
  async #collect(used: ReadonlySet<string>, { generation = 0 }: KernelLogState): Promise<void> {
    const { graceMs, garbageBytes } = this.#limits;
    const known = await this.#known(generation);
    const now = this.#of.now();
    let live = 0;
    let garbage = 0;
    const unused: Kept[] = [];
    for (const kept of known.values()) {
      const { hash, bytes } = kept;
      if (used.has(hash)) {
        live += bytes;
        continue;
      }
      if (kept.unusedSince === 0) kept.unusedSince = now;
      if (this.#before.has(hash)) continue;
      garbage += bytes;
      unused.push(kept);
    }
    for (const stray of this.#strays) garbage += stray.bytes;
    unused.push(...this.#strays);
    this.#before = used;
    unused.sort((a, b) => a.unusedSince - b.unusedSince);
    const gone: Kept[] = [];
    for (const kept of unused) {
      const old = now - kept.unusedSince > graceMs;
      if (!old && garbage <= Math.max(live, garbageBytes)) break;
      garbage -= kept.bytes;
      gone.push(kept);
    }
    const { store } = this.#of;
    await store.removeObjects(this.#tables.slice(0, -TABLES_KEPT));
    this.#tables = this.#tables.slice(-TABLES_KEPT);
    await store.removeObjects(gone.map(({ key }) => key));
    for (const kept of gone) if (known.get(kept.hash) === kept) known.delete(kept.hash);
    this.#strays = this.#strays.filter((stray) => !gone.includes(stray));
    await store.claims.forgetBefore(this.kernel, this.#claims, generation);
    this.#claims = [];
  }
}

/** The newest, and the one before for whom it cannot be read. */
const TABLES_KEPT = 2;

const QUIET: ReadonlySet<string> = new Set([
  'store-unreachable',
  'store-denied',
  'disk-full',
  'not-leader',
  'replica-stopped',
]);
