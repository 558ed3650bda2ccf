import { join } from 'node:path';
import { NbosError } from '../../core/errors.ts';
import type { Blob } from '../log/entries.ts';
import { filesOf } from './replica-table.ts';
import type { Savable, SaverOf, Standing } from './saver.ts';

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
  bytes: number;
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
  /** another change came while it ran */
  #again = false;
  #notBefore = 0;
  #abandoned = false;
  /** in a row */
  #failures = 0;
  /** blobs in the store by hash; undefined until it was asked */
  #blobs: Map<string, Kept> | undefined;
  /** keys of tables in the store, oldest first */
  #tables: string[] = [];
  /** blobs of the table before the newest one */
  #before: ReadonlySet<string> = new Set();

  constructor(kernel: string, savable: Savable, of: SaverOf, limits: SaverLimits) {
    this.kernel = kernel;
    this.savable = savable;
    this.#of = of;
    this.#limits = limits;
    this.due(of.now());
  }

  get standing(): Standing {
    const saved = this.#dueAt === undefined && !this.#running;
    return { saved, since: saved ? 0 : this.#since, bytes: saved ? 0 : this.#bytes };
  }

  due(now: number): void {
    if (this.#running) this.#again = true;
    if (this.#dueAt !== undefined || this.#running) return;
    this.#since = Date.now();
    this.#dueAt = Math.max(now + this.#limits.settleMs, this.#notBefore);
  }

  get isRunning(): boolean {
    return this.#running;
  }

  /** It is not this host's any more: what is under way ends soon. */
  abandon(): void {
    this.#abandoned = true;
  }

  isDue(now: number): boolean {
    return !this.#running && this.#dueAt !== undefined && this.#dueAt <= now;
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
    this.#again = false;
    const files = filesOf(table.state.units);
    this.pinned = new Set(files.map(({ hash }) => hash));
    this.written = this.#write(table, files);
    const whole = this.written.then(() => this.#collect(this.pinned)).finally(() => this.#rest());
    // Who waits for both hears of failures by one of them.
    this.written.catch(() => undefined);
    this.ended = whole.catch(() => undefined);
    return whole;
  }

  async #write(table: Unsaved, files: readonly Blob[]): Promise<void> {
    const from = this.#of.now();
    const blobs = await this.#known();
    await this.#saveBlobs(blobs, files, table.hosts);
    this.#checkWanted();
    this.#tables.push(await this.#of.store.saveTable(this.kernel, table));
    this.#checkWanted();
    await this.savable.saved(table.index);
    this.#failures = 0;
    const now = this.#of.now();
    this.#notBefore = now + (now - from) * this.#limits.restRatio;
  }

  #rest(): void {
    this.#running = false;
    this.pinned = new Set();
    this.#bytes = 0;
    if (this.#again) this.due(this.#of.now());
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

  async #known(): Promise<Map<string, Kept>> {
    if (this.#blobs !== undefined) return this.#blobs;
    const { blobs, tables } = await this.#of.store.objects(this.kernel);
    const now = this.#of.now();
    this.#tables = tables.map(({ key }) => key);
    this.#blobs = new Map(
      Array.from(blobs, ([hash, { bytes }]) => [hash, { bytes, unusedSince: now }]),
    );
    return this.#blobs;
  }

  #checkWanted(): void {
    if (this.#abandoned)
      throw new NbosError('replica-stopped', `kernel ${this.kernel} is not led from here any more`);
  }

  async #saveBlobs(
    known: Map<string, Kept>,
    files: readonly Blob[],
    hosts: readonly string[],
  ): Promise<void> {
    const { store, blobs } = this.#of;
    const missing = files.filter(({ hash, bytes }) => known.get(hash)?.bytes !== bytes);
    this.#bytes = missing.reduce((sum, { bytes }) => sum + bytes, 0);
    // A leader need not be among those that had to have them.
    await blobs.ensure(this.kernel, missing, hosts);
    for (const blob of missing) {
      this.#checkWanted();
      const path = join(blobs.directory(this.kernel), blob.hash);
      await store.saveBlob(this.kernel, blob, path);
      known.set(blob.hash, { bytes: blob.bytes, unusedSince: 0 });
      this.#bytes -= blob.bytes;
    }
    for (const { hash } of files) known.get(hash)!.unusedSince = 0;
  }

  /**
   * Removes what neither this table nor the one before needs: after a while, or at once when it
   * has become more than what is in use. Objects whose removal fails are tried again next time.
   */
  async #collect(used: ReadonlySet<string>): Promise<void> {
    const { graceMs, garbageBytes } = this.#limits;
    const known = await this.#known();
    const now = this.#of.now();
    let live = 0;
    let garbage = 0;
    const unused: [string, Kept][] = [];
    for (const [hash, kept] of known) {
      if (used.has(hash)) {
        live += kept.bytes;
        continue;
      }
      if (kept.unusedSince === 0) kept.unusedSince = now;
      if (this.#before.has(hash)) continue;
      garbage += kept.bytes;
      unused.push([hash, kept]);
    }
    this.#before = used;
    unused.sort(([, a], [, b]) => a.unusedSince - b.unusedSince);
    const gone: string[] = [];
    for (const [hash, kept] of unused) {
      const old = now - kept.unusedSince > graceMs;
      if (!old && garbage <= Math.max(live, garbageBytes)) break;
      garbage -= kept.bytes;
      gone.push(hash);
    }
    const { store } = this.#of;
    const tables = this.#tables.slice(0, -TABLES_KEPT);
    await store.removeTables(tables);
    this.#tables = this.#tables.slice(-TABLES_KEPT);
    await store.removeBlobs(this.kernel, gone);
    for (const hash of gone) known.delete(hash);
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
