import { ClassicLevel } from 'classic-level';
import type { Logger } from 'pino';
import { NbosError } from '../../core/errors.ts';
import { assertReadable } from '../../core/raft/entry.ts';
import type { Entry, HardState } from '../../core/raft/index.ts';
import type { LogStore, StoredGroup, StoredUpdate } from './ports.ts';
import {
  corrupt,
  decodeEntry,
  decodeJson,
  decodeSnapshot,
  encodeEntry,
  encodeSnapshot,
  kernelOf,
  keysOf,
  rangeOf,
} from './store-format.ts';

type Database = ClassicLevel<string, Buffer>;
type Operation = { type: 'put'; key: string; value: Buffer } | { type: 'del'; key: string };

/** What is on disk of a group, so that writes need no reads. */
interface Known {
  /** index of terms[0] */
  first: number;
  terms: number[];
  /** a write failed: nothing is taken until it is loaded anew */
  broken: boolean;
}

interface Waiting {
  known: Known;
  resolve(): void;
  reject(error: NbosError): void;
}

/**
 * Logs of all groups of a host in one LevelDB. Writes of one turn of the loop, and those that come
 * while the disk is busy, share a batch and a sync.
 */
export class LevelStore implements LogStore {
  readonly #folder: string;
  readonly #log: Logger;
  readonly #known = new Map<string, Known>();
  #db: Database;
  #operations: Operation[] = [];
  #waiting: Waiting[] = [];
  #sync = false;
  /** a batch is due or being written */
  #busy = false;
  #reopen = false;
  #full = false;
  /** fsyncs so far, for figures */
  syncs = 0;

  private constructor(folder: string, db: Database, log: Logger) {
    this.#folder = folder;
    this.#db = db;
    this.#log = log;
  }

  /** Throws `data-locked` or `log-corrupt`. */
  static async open(folder: string, log: Logger): Promise<LevelStore> {
    return new LevelStore(folder, await openDatabase(folder), log);
  }

  async kernels(): Promise<readonly string[]> {
    const found = [];
    for await (const key of this.#db.keys({ gte: 'i/', lt: 'i0' })) found.push(kernelOf(key));
    return found;
  }

  async load(kernel: string): Promise<StoredGroup | undefined> {
    await this.#settled();
    if (this.#reopen) await this.#openAnew();
    const keys = keysOf(kernel);
    const [identity, hardState, snapshot] = await this.#db.getMany([
      keys.identity,
      keys.hardState,
      keys.snapshot,
    ]);
    if (identity === undefined) return undefined;
    const where = `log of kernel ${kernel} in ${this.#folder}`;
    const found: Entry[] = [];
    for await (const [key, value] of this.#db.iterator(rangeOf(kernel)))
      found.push(decodeEntry(value, key, where));
    const base = snapshot === undefined ? undefined : decodeSnapshot(snapshot, where);
    for (let at = 1; at < found.length; at++)
      if (found[at]!.index !== found[at - 1]!.index + 1 || found[at]!.term < found[at - 1]!.term)
        throw corrupt(where, `entry ${found[at - 1]!.index + 1} is missing`);
    for (const { v } of base === undefined ? found : [...found, base]) assertReadable(v, where);
    // What a snapshot stands for was kept for slow members only; a restart does without it.
    const entries = found.filter(({ index }) => index > (base?.index ?? 0));
    const first = (base?.index ?? 0) + 1;
    if (entries.length > 0 && entries[0]!.index !== first)
      throw corrupt(where, `entries ${first} to ${entries[0]!.index - 1} are missing`);
    this.#known.set(kernel, {
      first: found[0]?.index ?? first,
      terms: found.map(({ term }) => term),
      broken: false,
    });
    return {
      identity: identity.toString(),
      hardState: decodeJson<HardState>(hardState, where),
      snapshot: base,
      entries,
    };
  }

  async create(kernel: string, group: StoredGroup): Promise<void> {
    const before = this.#known.get(kernel);
    if (before !== undefined) this.#dropEntries(kernel, before, before.first);
    const known = { first: (group.snapshot?.index ?? 0) + 1, terms: [], broken: false };
    this.#known.set(kernel, known);
    if (group.snapshot === undefined)
      this.#operations.push({ type: 'del', key: keysOf(kernel).snapshot });
    const { identity, hardState, entries, snapshot } = group;
    const base = snapshot === undefined ? {} : { snapshot };
    return this.write(kernel, { identity, hardState, entries, ...base, mustSync: true });
  }

  write(kernel: string, update: StoredUpdate): Promise<void> {
    const known = this.#known.get(kernel);
    if (known === undefined || known.broken)
      return Promise.reject(failed(`the log of kernel ${kernel} was closed by a failed write`));
    this.#queue(kernel, known, update);
    // A commit index alone may be lost: it goes along with what is written next.
    if (!update.mustSync && onlyHardState(update)) return Promise.resolve();
    if (update.mustSync) this.#sync = true;
    return this.#wait(known);
  }

  async remove(kernel: string): Promise<void> {
    const known = this.#known.get(kernel) ?? { first: 1, terms: [], broken: false };
    const keys = keysOf(kernel);
    await this.#settled();
    const held = await this.#db.keys(rangeOf(kernel)).all();
    for (const key of [keys.identity, keys.hardState, keys.snapshot, ...held])
      this.#operations.push({ type: 'del', key });
    this.#known.delete(kernel);
    this.#sync = true;
    await this.#wait(known);
  }

  /** Every write fails from now on, as on a full disk; or no more. */
  setFull(full: boolean): void {
    this.#full = full;
  }

  async close(): Promise<void> {
    await this.#settled();
    if (this.#operations.length > 0 && !this.#reopen)
      await this.#wait({ first: 1, terms: [], broken: false }).catch(() => undefined);
    await this.#db.close();
  }

  #queue(kernel: string, known: Known, update: StoredUpdate): void {
    const keys = keysOf(kernel);
    const { identity, hardState, snapshot, restored, entries, compactTo } = update;
    const put = (key: string, value: Buffer): void => {
      this.#operations.push({ type: 'put', key, value });
    };
    if (identity !== undefined) put(keys.identity, Buffer.from(identity));
    if (snapshot !== undefined) {
      put(keys.snapshot, encodeSnapshot(snapshot));
      // The leader's replaces the log; the member's own stands for a part of it.
      if (restored === true || known.terms[snapshot.index - known.first] !== snapshot.term) {
        this.#dropEntries(kernel, known, known.first);
        known.first = snapshot.index + 1;
      }
    }
    if (entries !== undefined && entries.length > 0) {
      this.#dropEntries(kernel, known, entries[0]!.index);
      for (const entry of entries) {
        put(keys.entry(entry.index), encodeEntry(entry));
        known.terms.push(entry.term);
      }
    }
    if (compactTo !== undefined && compactTo >= known.first) {
      const count = Math.min(compactTo - known.first + 1, known.terms.length);
      for (let index = known.first; index < known.first + count; index++)
        this.#operations.push({ type: 'del', key: keys.entry(index) });
      known.terms.splice(0, count);
      known.first += count;
    }
    if (hardState !== undefined) put(keys.hardState, Buffer.from(JSON.stringify(hardState)));
  }

  #dropEntries(kernel: string, known: Known, from: number): void {
    const { entry } = keysOf(kernel);
    const kept = Math.max(0, from - known.first);
    for (let at = kept; at < known.terms.length; at++)
      this.#operations.push({ type: 'del', key: entry(known.first + at) });
    if (kept < known.terms.length) known.terms.length = kept;
  }

  #wait(known: Known): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ known, resolve, reject });
      if (this.#busy) return;
      this.#busy = true;
      queueMicrotask(() => void this.#flush());
    });
  }

  /** Writes batch after batch until nothing waits. Never rejects. */
  async #flush(): Promise<void> {
    do {
      const [operations, waiting, sync] = [this.#operations, this.#waiting, this.#sync];
      this.#operations = [];
      this.#waiting = [];
      this.#sync = false;
      try {
        if (this.#full)
          throw new NbosError('disk-full', `${this.#folder}: no space left (injected)`);
        if (this.#reopen) throw failed(`${this.#folder} failed before`);
        await this.#db.batch(operations, { sync });
        if (sync) this.syncs++;
        for (const { resolve } of waiting) resolve();
      } catch (error) {
        this.#fail(waiting, error as Error);
      }
    } while (this.#waiting.length > 0);
    this.#busy = false;
  }

  /** Nobody knows what of a failed batch is on disk: all its groups stop, and are loaded anew. */
  #fail(waiting: readonly Waiting[], error: Error): void {
    const reason = error instanceof NbosError ? error : failed(error.message);
    this.#log.error({ err: error, groups: waiting.length }, 'the log could not be written');
    this.#reopen ||= !this.#full;
    // What was queued meanwhile may build on what was lost.
    for (const { known, reject } of [...waiting, ...this.#waiting]) {
      known.broken = true;
      reject(reason);
    }
    this.#operations = [];
    this.#waiting = [];
  }

  async #openAnew(): Promise<void> {
    await this.#db.close();
    this.#db = await openDatabase(this.#folder);
    this.#reopen = false;
  }

  async #settled(): Promise<void> {
    while (this.#busy) await new Promise(setImmediate);
  }
}

function onlyHardState({ identity, snapshot, entries, compactTo }: StoredUpdate): boolean {
  if (identity !== undefined || snapshot !== undefined || compactTo !== undefined) return false;
  return entries === undefined || entries.length === 0;
}

async function openDatabase(folder: string): Promise<Database> {
  const db: Database = new ClassicLevel<string, Buffer>(folder, { valueEncoding: 'buffer' });
  try {
    await db.open();
    return db;
  } catch (error) {
    const { cause } = error as { cause?: { code?: string; message?: string } };
    if (cause?.code === 'LEVEL_LOCKED')
      throw new NbosError(
        'data-locked',
        `${folder} is in use by another process`,
        'Stop the other system of this data directory, or choose another with --data.',
      );
    const reason = cause?.message ?? String(error);
    throw isFull(reason) ? failed(reason) : corrupt(folder, reason);
  }
}

function isFull(reason: string): boolean {
  return /no space|ENOSPC|quota/i.test(reason);
}

function failed(what: string): NbosError {
  return new NbosError(
    isFull(what) ? 'disk-full' : 'file-unwritable',
    what,
    'Replicas of this host stop until there is room again: free space there.',
  );
}
