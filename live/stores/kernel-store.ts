import { NbosError } from '../../core/errors.ts';
import type { Blob, Unit } from '../log/entries.ts';
import type { KernelLogState } from '../log/log-state.ts';
import { contentOfFile, PIECE_BYTES, Sum } from './checked-content.ts';
import type { CheckedStore } from './checked-store.ts';
import type { Seal } from './seal.ts';
import type { ObjectInfo } from './store.ts';
import { corrupt } from './store-errors.ts';

/** A table of state as it was after one entry of the log: enough to go on from, with its blobs. */
export interface SavedTable {
  readonly index: number;
  /** as KernelLog.from takes it */
  readonly state: KernelLogState;
}

/** What the store has of a kernel. */
export interface SavedObjects {
  /** by hash */
  readonly blobs: Map<string, ObjectInfo>;
  /** oldest first */
  readonly tables: ObjectInfo[];
}

const TABLE = /^kernels\/[^/]+\/tables\/(\d{16})-([0-9a-f]{64})$/;
const BLOB = /^kernels\/[^/]+\/blobs\/([0-9a-f]{64})$/;

/**
 * Kernels in a store: kernels/ID/blobs/SHA256 and kernels/ID/tables/INDEX-SHA256. Objects never
 * change and carry their checksum in their name; the newest table that is whole is the kernel.
 * @throws NbosError as CheckedStore
 */
export class KernelStore {
  readonly #store: CheckedStore;
  readonly #seal: Seal;

  constructor(store: CheckedStore, seal: Seal) {
    this.#store = store;
    this.#seal = seal;
  }

  get name(): string {
    return this.#store.name;
  }

  /** `path`: its file, which nobody writes to any more. */
  async saveBlob(kernel: string, { hash, bytes }: Blob, path: string): Promise<void> {
    await this.#store.put(blobKey(kernel, hash), contentOfFile(path, bytes, hash));
  }

  /** False when the store does not have it. */
  readBlob(
    kernel: string,
    { hash, bytes }: { hash: string; bytes: number },
    take: (piece: Uint8Array) => Promise<void>,
  ): Promise<boolean> {
    return this.#store.read(blobKey(kernel, hash), { bytes, sha256: hash }, take);
  }

  /** Saves a table whose blobs are saved; returns its key. */
  async saveTable(kernel: string, { index, state }: SavedTable): Promise<string> {
    const sum = new Sum();
    const pieces: Uint8Array[] = [];
    for (const piece of this.#seal.close(sealName(kernel, index), linesOf(state))) {
      sum.add(piece);
      pieces.push(piece);
      await new Promise(setImmediate);
    }
    const sha256 = sum.digest();
    const key = `${folderOf(kernel)}/tables/${String(index).padStart(16, '0')}-${sha256}`;
    await this.#store.put(key, {
      bytes: sum.bytes,
      sha256,
      async *open() {
        yield* pieces;
      },
    });
    return key;
  }

  /**
   * The newest table that can be read; undefined when there is none at all. Rejects
   * `store-corrupt` when none of those that are there can be.
   */
  async latestTable(kernel: string): Promise<SavedTable | undefined> {
    const { tables } = await this.objects(kernel);
    let last: unknown;
    for (const { key } of tables.reverse())
      try {
        const table = await this.#readTable(kernel, key);
        if (table !== undefined) return table;
      } catch (error) {
        if (!(error instanceof NbosError) || error.code !== 'store-corrupt') throw error;
        last = error;
      }
    if (last !== undefined) throw last;
    return undefined;
  }

  async #readTable(kernel: string, key: string): Promise<SavedTable | undefined> {
    const [, number = '', sha256 = ''] = TABLE.exec(key) ?? [];
    const index = Number(number);
    const sealed = await this.#store.readWhole(key, sha256);
    if (sealed === undefined) return undefined;
    const text = this.#seal.open(sealName(kernel, index), sealed);
    if (text === undefined)
      throw corrupt(this.name, key, 'it was sealed by another system, or changed');
    const [head = '{}', ...units] = text.toString().trimEnd().split('\n');
    const state = { ...JSON.parse(head), units: units.map((line) => JSON.parse(line) as Unit) };
    return { index, state };
  }

  async objects(kernel: string): Promise<SavedObjects> {
    const found: SavedObjects = { blobs: new Map(), tables: [] };
    for (const info of await this.#store.list(`${folderOf(kernel)}/`)) {
      const hash = BLOB.exec(info.key)?.[1];
      if (hash !== undefined) found.blobs.set(hash, info);
      else if (TABLE.test(info.key)) found.tables.push(info);
    }
    return found;
  }

  /** Kernels that it has anything of. */
  async kernels(): Promise<string[]> {
    const objects = await this.#store.list('kernels/');
    return [...new Set(objects.map(({ key }) => key.split('/')[1]!))];
  }

  async removeBlobs(kernel: string, hashes: readonly string[]): Promise<void> {
    await this.#store.remove(hashes.map((hash) => blobKey(kernel, hash)));
  }

  async removeTables(keys: readonly string[]): Promise<void> {
    await this.#store.remove(keys);
  }

  /** All of a kernel. */
  async remove(kernel: string): Promise<void> {
    const objects = await this.#store.list(`${folderOf(kernel)}/`);
    // Without its tables the rest is nothing, whenever this breaks off.
    const keys = objects.map(({ key }) => key).sort((a, b) => order(a) - order(b));
    await this.#store.remove(keys);
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}

function order(key: string): number {
  return TABLE.test(key) ? 0 : 1;
}

function folderOf(kernel: string): string {
  return `kernels/${kernel}`;
}

function blobKey(kernel: string, hash: string): string {
  return `${folderOf(kernel)}/blobs/${hash}`;
}

/** A table is not taken for one of another kernel or another time. */
function sealName(kernel: string, index: number): string {
  return `${kernel}/${index}`;
}

/** A line for all but the units, then one for each: none takes long to make. */
function* linesOf({ units, ...head }: KernelLogState): Generator<Buffer> {
  let lines = `${JSON.stringify(head)}\n`;
  for (const unit of units) {
    lines += `${JSON.stringify(unit)}\n`;
    if (lines.length < PIECE_BYTES) continue;
    yield Buffer.from(lines);
    lines = '';
  }
  yield Buffer.from(lines);
}
