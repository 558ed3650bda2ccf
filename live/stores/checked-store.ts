import { NbosError } from '../../core/errors.ts';
import { guarded, Sum } from './checked-content.ts';
import { type Content, isKey, type ObjectInfo, type ObjectStore, type PutMode } from './store.ts';
import { corrupt, reasonIn, unreachable } from './store-errors.ts';

export interface StoreLimits {
  /** tries of one operation, the first included */
  tries: number;
  /** ms before the second try, doubled for each one after */
  retryMs: number;
  /** ms in which nothing comes or goes after which a try is given up */
  stallMs: number;
}

export const STORE_LIMITS: StoreLimits = { tries: 3, retryMs: 200, stallMs: 30_000 };

/** What another try may mend. */
const PASSING: ReadonlySet<string> = new Set(['store-unreachable', 'store-corrupt']);

/**
 * A store that can be relied on: each operation is tried again a few times, none waits without
 * end, what is read was checked on its way, and a reading that breaks off goes on where it was.
 * @throws NbosError as ObjectStore says
 */
export class CheckedStore {
  readonly #store: ObjectStore;
  readonly #limits: StoreLimits;
  /** ends what is under way */
  readonly #ends = new Set<(reason: string) => void>();
  #closed = false;

  constructor(store: ObjectStore, limits: Partial<StoreLimits> = {}) {
    this.#store = store;
    this.#limits = { ...STORE_LIMITS, ...limits };
  }

  get name(): string {
    return this.#store.name;
  }

  /** False when `create` was asked for and it is there already. */
  put(key: string, content: Content, mode: PutMode = 'replace'): Promise<boolean> {
    return this.#tried(key, (signal, moved) =>
      this.#store.put(key, guarded(this.name, key, content, moved), mode, signal),
    );
  }

  /**
   * The object's bytes, each piece given to `take`, in order and one at a time. False when there
   * is none. Rejects `store-corrupt` when length or checksum are not the expected ones: then what
   * was taken is of no use.
   */
  async read(
    key: string,
    expected: { bytes?: number; sha256: string },
    take: (piece: Uint8Array) => Promise<void> | void,
  ): Promise<boolean> {
    const sum = new Sum();
    let whole: number | undefined;
    const found = await this.#tried(key, async (signal, moved) => {
      const reading = await this.#store.get(key, sum.bytes, signal);
      if (reading === undefined) return false;
      whole ??= expected.bytes ?? reading.bytes;
      if (reading.bytes !== whole) throw wrongLength(this.name, key, reading.bytes, whole);
      for await (const piece of reading.stream) {
        moved();
        if (sum.bytes + piece.byteLength > whole)
          throw wrongLength(this.name, key, sum.bytes + piece.byteLength, whole);
        sum.add(piece);
        await taken(take, piece);
        moved();
      }
      if (sum.bytes < whole)
        throw unreachable(this.name, `${key} broke off after ${sum.bytes} of ${whole} bytes`);
      return true;
    });
    if (!found && sum.bytes > 0) throw corrupt(this.name, key, 'it went away while it was read');
    if (found) sum.check(this.name, key, whole!, expected.sha256);
    return found;
  }

  /** All of a small object at once; undefined when there is none. */
  async readWhole(key: string, sha256: string): Promise<Buffer | undefined> {
    const pieces: Uint8Array[] = [];
    const found = await this.read(key, { sha256 }, (piece) => void pieces.push(piece));
    return found ? Buffer.concat(pieces) : undefined;
  }

  head(key: string): Promise<ObjectInfo | undefined> {
    return this.#tried(key, (signal) => this.#store.head(key, signal));
  }

  /** Sorted by key. */
  async list(prefix: string): Promise<ObjectInfo[]> {
    if (prefix !== '' && !(prefix.endsWith('/') && isKey(prefix.slice(0, -1))))
      throw badKey(prefix);
    const found = await this.#retried((signal, moved) => this.#listed(prefix, signal, moved));
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  async remove(keys: readonly string[]): Promise<void> {
    const wrong = keys.find((key) => !isKey(key));
    if (wrong !== undefined) throw badKey(wrong);
    if (keys.length > 0) await this.#retried((signal) => this.#store.remove(keys, signal));
  }

  /** What is under way ends with an error. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const end of this.#ends) end('it was closed');
    await this.#store.close();
  }

  async #listed(prefix: string, signal: AbortSignal, moved: () => void): Promise<ObjectInfo[]> {
    const found: ObjectInfo[] = [];
    for await (const each of this.#store.list(prefix, signal)) {
      moved();
      if (isKey(each.key)) found.push(each);
    }
    return found;
  }

  #tried<T>(key: string, work: (signal: AbortSignal, moved: () => void) => Promise<T>): Promise<T> {
    if (!isKey(key)) return Promise.reject(badKey(key));
    return this.#retried(work);
  }

  async #retried<T>(work: (signal: AbortSignal, moved: () => void) => Promise<T>): Promise<T> {
    const { tries, retryMs } = this.#limits;
    for (let tried = 1; ; tried++) {
      try {
        return await this.#watched(work);
      } catch (error) {
        const passing = error instanceof NbosError && PASSING.has(error.code);
        if (!passing || tried >= tries || this.#closed) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, retryMs * 2 ** (tried - 1)));
    }
  }

  /** One try, given up when nothing moves. */
  async #watched<T>(work: (signal: AbortSignal, moved: () => void) => Promise<T>): Promise<T> {
    const { stallMs } = this.#limits;
    if (this.#closed) throw unreachable(this.name, 'it was closed');
    const giveUp = new AbortController();
    let movedAt = performance.now();
    let watch: NodeJS.Timeout | undefined;
    let end: (reason: string) => void = () => undefined;
    const stalled = new Promise<never>((_, reject) => {
      end = (reason) => {
        const error = unreachable(this.name, reason);
        giveUp.abort(error);
        reject(error);
      };
      watch = setInterval(() => {
        if (performance.now() - movedAt > stallMs) end(`nothing came for ${stallMs} ms`);
      }, stallMs / 4);
      this.#ends.add(end);
    });
    const done = work(giveUp.signal, () => {
      movedAt = performance.now();
    });
    try {
      return await Promise.race([done, stalled]);
    } catch (error) {
      if (error instanceof NbosError) throw error;
      throw unreachable(this.name, reasonIn(error));
    } finally {
      clearInterval(watch);
      this.#ends.delete(end);
      // The loser of the race may fail still; the winner has told of it.
      done.catch(() => undefined);
      stalled.catch(() => undefined);
      giveUp.abort();
    }
  }
}

/** Where it is taken to is no part of the store: it does not help to read again. */
async function taken(
  take: (piece: Uint8Array) => Promise<void> | void,
  piece: Uint8Array,
): Promise<void> {
  try {
    await take(piece);
  } catch (error) {
    throw new NbosError(
      'file-unwritable',
      `what was read cannot be put down: ${reasonIn(error)}`,
      'Free space or mend the disk of this host.',
    );
  }
}

function wrongLength(store: string, key: string, has: number, wanted: number): NbosError {
  return corrupt(store, key, `it has ${has} bytes instead of ${wanted}`);
}

function badKey(key: string): NbosError {
  return new NbosError(
    'request-invalid',
    `"${key.slice(0, 100)}" is no key of an object`,
    'Keys are words of letters, digits, "_", "-" and ".", joined by "/".',
  );
}
