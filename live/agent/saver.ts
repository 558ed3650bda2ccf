import { NbosError } from '../../core/errors.ts';
import type { KernelStore, SavedTable } from '../stores/kernel-store.ts';
import type { Blobs } from './ports.ts';
import { SavedKernel, type SaverLimits } from './saved-kernel.ts';

export const SAVER_LIMITS: SaverLimits = {
  settleMs: 500,
  restRatio: 4,
  atOnce: 2,
  retryMs: 1_000,
  maxRetryMs: 60_000,
  graceMs: 60_000,
  garbageBytes: 64 * 2 ** 20,
};

/** What the saver needs of a replica. */
export interface Savable {
  /** What is to be saved now; undefined when all is, or when another member sees to it. */
  unsaved(): (SavedTable & { readonly hosts: readonly string[] }) | undefined;
  /** Whether the store has this change, as the log says. */
  isSaved(changedAt: number): boolean;
  /**
   * The table of this index and its blobs are in the store: tells the log; and of a generation that
   * was claimed.
   */
  saved(index: number, generation?: number): Promise<void>;
}

/** How far a kernel's state in the store is behind. */
export interface Standing {
  saved: boolean;
  /** ms since the epoch at which it fell behind, 0 when it is not */
  since: number;
  /** of files that are on their way or wait to be */
  bytes: number;
}

export interface SaverOf {
  store: KernelStore;
  blobs: Blobs;
  log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
  /** ms, of a clock that never goes back */
  now(): number;
  limits?: Partial<SaverLimits>;
}

/**
 * Brings the state of the kernels that are led from here to the store, behind their backs: nothing
 * waits for it. A kernel is in the queue at most once, and what is saved is its newest table, so an
 * outage costs no more than the tables that came and went meanwhile.
 */
export class Saver {
  readonly #of: SaverOf;
  readonly #limits: SaverLimits;
  readonly #kernels = new Map<string, SavedKernel>();
  /** kernels that ended and are to be removed from the store, with what may still be saving them */
  readonly #ended = new Map<string, SavedKernel | undefined>();
  #running = 0;
  /** of the store: what it said, and when it is tried again */
  #outage: { since: number; tries: number; until: number } | undefined;
  #closed = false;

  constructor(of: SaverOf) {
    this.#of = of;
    this.#limits = { ...SAVER_LIMITS, ...of.limits };
  }

  get storeName(): string {
    return this.#of.store.name;
  }

  /** Whether anything is on its way to the store. */
  get isBusy(): boolean {
    return this.#running > 0;
  }

  /** Something of the kernel is to be saved, soon; also when this member has come to lead it. */
  changed(kernel: string, savable: Savable): void {
    if (this.#closed) return;
    this.#ended.delete(kernel);
    const known = this.#kernels.get(kernel);
    if (known !== undefined && known.savable === savable) known.due(this.#of.now());
    else this.#kernels.set(kernel, new SavedKernel(kernel, savable, this.#of, this.#limits));
  }

  /**
   * What is to be saved is saved now, ahead of all others; one save that is under way is joined.
   * Resolves once the log says that this change is in the store; rejects as the store says.
   */
  async save(kernel: string, savable: Savable, changedAt: number): Promise<void> {
    if (this.#kernels.get(kernel)?.savable !== savable) this.changed(kernel, savable);
    for (let turn = 0; turn < MOST_JOINED && !this.#closed; turn++) {
      if (savable.isSaved(changedAt)) return;
      const saving = this.#kernels.get(kernel);
      if (saving?.savable !== savable) break;
      if (!saving.isRunning) this.#save(saving);
      await saving.written;
      if (!savable.isSaved(changedAt)) await saving.ended;
    }
    if (savable.isSaved(changedAt)) return;
    throw new NbosError('not-leader', `kernel ${kernel} is not led from here any more`);
  }

  /** The kernel's state is another all at once: it is saved as soon as may be. */
  hurry(kernel: string, savable: Savable): void {
    this.changed(kernel, savable);
    this.#kernels.get(kernel)?.hurry(this.#of.now());
  }

  /** See SavedKernel.takeBack. */
  async takeBack(kernel: string, savable: Savable, generation: number): Promise<void> {
    this.changed(kernel, savable);
    await this.#kernels.get(kernel)?.takeBack(generation);
  }

  /** Another member leads it now, or it is gone from here. */
  forget(kernel: string): void {
    this.#kernels.get(kernel)?.abandon();
    this.#kernels.delete(kernel);
  }

  /** The kernel is no more, on any host. */
  ended(kernel: string): void {
    const known = this.#kernels.get(kernel);
    this.forget(kernel);
    this.#ended.set(kernel, known);
  }

  /** Files that are on their way to the store: they stay until they are there. */
  pinned(kernel: string): ReadonlySet<string> {
    return this.#kernels.get(kernel)?.pinned ?? NOTHING;
  }

  standing(kernel: string): Standing {
    return this.#kernels.get(kernel)?.standing ?? { saved: true, since: 0, bytes: 0 };
  }

  /** Starts what is due; cheap when nothing is. */
  tick(): void {
    const now = this.#of.now();
    if (this.#closed || (this.#outage !== undefined && now < this.#outage.until)) return;
    // While the store is out, one try at a time is enough.
    const most = this.#outage === undefined ? this.#limits.atOnce : 1;
    for (const [kernel, saving] of this.#ended) {
      if (this.#running >= most) return;
      if (saving?.isRunning) continue;
      this.#ended.delete(kernel);
      this.#run(
        () => this.#of.store.remove(kernel),
        () => this.#ended.set(kernel, undefined),
      );
    }
    for (const [id, kernel] of this.#kernels) {
      if (this.#running >= most) return;
      if (!kernel.isDue(now)) continue;
      // The others come before it is its turn again.
      this.#kernels.delete(id);
      this.#kernels.set(id, kernel);
      this.#save(kernel);
    }
  }

  #save(kernel: SavedKernel): void {
    this.#run(
      () => kernel.save(),
      (error) => kernel.failed(error, this.#of.now()),
    );
  }

  /** Fetches a file's bytes for a host that found it nowhere else. False: not there. */
  read(
    kernel: string,
    blob: { hash: string; bytes: number },
    take: (piece: Uint8Array) => Promise<void>,
  ): Promise<boolean> {
    return this.#of.store.readBlob(kernel, blob, take);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#of.store.close();
  }

  #run(work: () => Promise<void>, failed: (error: unknown) => void): void {
    this.#running++;
    work()
      .then(
        () => this.#reached(),
        (error: unknown) => {
          if (this.#closed) return;
          failed(error);
          this.#notReached(error);
        },
      )
      .finally(() => this.#running--);
  }

  #reached(): void {
    if (this.#outage === undefined || this.#closed) return;
    const ms = Math.round(this.#of.now() - this.#outage.since);
    this.#outage = undefined;
    this.#of.log.info({ store: this.storeName, ms }, 'the store takes state again');
  }

  #notReached(error: unknown): void {
    const ofStore = error instanceof NbosError && OF_STORE.has(error.code);
    if (!ofStore) return;
    const now = this.#of.now();
    if (this.#outage === undefined) {
      this.#outage = { since: now, tries: 0, until: 0 };
      const { code, message, hint } = error as NbosError;
      this.#of.log.warn(
        { code, reason: message, hint },
        'state cannot be brought to the store; kernels go on, and it is tried again',
      );
    }
    const { retryMs, maxRetryMs } = this.#limits;
    const waitMs = Math.min(retryMs * 2 ** this.#outage.tries, maxRetryMs);
    this.#outage.tries = Math.min(this.#outage.tries + 1, MOST_DOUBLINGS);
    this.#outage.until = now + waitMs;
  }
}

const NOTHING: ReadonlySet<string> = new Set();
const OF_STORE: ReadonlySet<string> = new Set(['store-unreachable', 'store-denied', 'disk-full']);
const MOST_DOUBLINGS = 20;
/** Saves that one waits for: one that had begun before, and its own. */
const MOST_JOINED = 3;
