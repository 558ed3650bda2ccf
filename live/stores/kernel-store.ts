import { NbosError } from '../../core/errors.ts';
import type { Blob, Unit } from '../log/entries.ts';
import type { KernelLogState } from '../log/log-state.ts';
import { contentOfFile, PIECE_BYTES, Sum } from './checked-content.ts';
import type { CheckedStore } from './checked-store.ts';
import { type Begun, type Claim, Claims, claimsIn } from './claims.ts';
import type { Seal } from './seal.ts';
import { corrupt } from './store-errors.ts';

/** A table of state as it was after one entry of the log: enough to go on from, with its blobs. */
export interface SavedTable {
  readonly index: number;
  /** as KernelLog.from takes it */
  readonly state: KernelLogState;
}

/** A table of the store. */
export interface StoredTable {
  readonly key: string;
  readonly index: number;
  /** of the group that saved it, see Claims; 0 for the first */
  readonly generation: number;
}

export interface StoredBlob {
  readonly key: string;
  readonly hash: string;
  /** as of a table */
  readonly generation: number;
  readonly bytes: number;
}

/** What the store has of a kernel. */
export interface SavedObjects {
  /** of the oldest generations first */
  readonly blobs: readonly StoredBlob[];
  /** oldest first */
  readonly tables: readonly StoredTable[];
  /** oldest first */
  readonly claims: readonly Claim[];
}

/** Kernels of which it is noted where their blobs are. */
const MOST_NOTED = 32;

const TABLE = /^kernels\/[^/]+\/tables\/(\d{16})-([0-9a-f]{64})(?:\.(\d{1,16}))?$/;
const BLOB = /^kernels\/[^/]+\/blobs\/([0-9a-f]{64})(?:\.(\d{1,16}))?$/;

/**
 * Kernels in a store: kernels/ID/blobs/SHA256, kernels/ID/tables/INDEX-SHA256 and, of kernels that
 * began anew from it, kernels/ID/claims/ and names that end with their generation. Objects never
 * change and carry their checksum in their name; the newest table that counts and is whole is the
 * kernel.
 * @throws NbosError as CheckedStore
 */
export class KernelStore {
  readonly claims: Claims;
  readonly #store: CheckedStore;
  readonly #seal: Seal;
  /** where blobs were, by hash, when a kernel was last looked at */
  readonly #places = new Map<string, ReadonlyMap<string, string>>();

  constructor(store: CheckedStore, seal: Seal) {
    this.#store = store;
    this.#seal = seal;
    this.claims = new Claims(store, seal);
  }

  get name(): string {
    return this.#store.name;
  }

  /**
   * `path`: its file, which nobody writes to any more. Returns its key, which is the generation's
   * own: whoever saved for an older one may remove what had that one's at any time.
   */
  async saveBlob(
    kernel: string,
    { hash, bytes }: Blob,
    path: string,
    generation: number,
  ): Promise<string> {
    const key = named(blobKey(kernel, hash), generation);
    await this.#store.put(key, contentOfFile(path, bytes, hash));
    return key;
  }

  /** False when the store does not have it. */
  async readBlob(
    kernel: string,
    { hash, bytes }: { hash: string; bytes: number },
    take: (piece: Uint8Array) => Promise<void>,
  ): Promise<boolean> {
    const read = (key: string): Promise<boolean> =>
      this.#store.read(key, { bytes, sha256: hash }, take);
    const noted = this.#places.get(kernel)?.get(hash) ?? blobKey(kernel, hash);
    if (await read(noted)) return true;
    await this.objects(kernel);
    const found = this.#places.get(kernel)?.get(hash) ?? noted;
    return found !== noted && (await read(found));
  }

  /** Saves a table whose blobs are saved; returns its key. */
  async saveTable(
    kernel: string,
    { index, state }: SavedTable,
    generation: number,
  ): Promise<StoredTable> {
    const sum = new Sum();
    const pieces: Uint8Array[] = [];
    for (const piece of this.#seal.close(sealName(kernel, index, generation), linesOf(state))) {
      sum.add(piece);
      pieces.push(piece);
      await new Promise(setImmediate);
    }
    const sha256 = sum.digest();
    const own = `${folderOf(kernel)}/tables/${String(index).padStart(16, '0')}-${sha256}`;
    const key = named(own, generation);
    await this.#store.put(key, {
      bytes: sum.bytes,
      sha256,
      async *open() {
        yield* pieces;
      },
    });
    return { key, index, generation };
  }

  /**
   * The newest table that counts and can be read; undefined when there is none at all. Rejects
   * `store-corrupt` when none of those that are there can be.
   */
  async latestTable(kernel: string): Promise<(SavedTable & { key: string }) | undefined> {
    const { tables, claims } = await this.objects(kernel);
    const begun = await this.claims.begun(kernel, claims);
    let last: unknown;
    for (const stored of counting(tables, begun).reverse())
      try {
        const state = await this.readTable(kernel, stored);
        if (state !== undefined) return { key: stored.key, index: stored.index, state };
      } catch (error) {
        if (!(error instanceof NbosError) || error.code !== 'store-corrupt') throw error;
        last = error;
      }
    if (last !== undefined) throw last;
    return undefined;
  }

  /** Undefined when it is gone by now. */
  async readTable(
    kernel: string,
    { key, index, generation }: StoredTable,
  ): Promise<KernelLogState | undefined> {
    const sealed = await this.#store.readWhole(key, TABLE.exec(key)?.[2] ?? '');
    if (sealed === undefined) return undefined;
    const text = this.#seal.open(sealName(kernel, index, generation), sealed);
    if (text === undefined)
      throw corrupt(this.name, key, 'it was sealed by another system, or changed');
    const [head = '{}', ...units] = text.toString().trimEnd().split('\n');
    return { ...JSON.parse(head), units: units.map((line) => JSON.parse(line) as Unit) };
  }

  async objects(kernel: string): Promise<SavedObjects> {
    const objects = await this.#store.list(`${folderOf(kernel)}/`);
    const blobs: StoredBlob[] = [];
    const tables: StoredTable[] = [];
    for (const { key, bytes } of objects) {
      const [, hash, owner = 0] = BLOB.exec(key) ?? [];
      if (hash !== undefined) blobs.push({ key, hash, bytes, generation: Number(owner) });
      const [, index, , generation = 0] = TABLE.exec(key) ?? [];
      if (index !== undefined)
        tables.push({ key, index: Number(index), generation: Number(generation) });
    }
    blobs.sort((a, b) => a.generation - b.generation);
    this.#note(kernel, blobs);
    tables.sort((a, b) => a.generation - b.generation || a.index - b.index);
    return { blobs, tables, claims: claimsIn(objects) };
  }

  /** Of several with one content, the last one is of the newest generation. */
  #note(kernel: string, blobs: readonly StoredBlob[]): void {
    this.#places.delete(kernel);
    this.#places.set(kernel, new Map(blobs.map(({ hash, key }) => [hash, key])));
    if (this.#places.size > MOST_NOTED) this.#places.delete(this.#places.keys().next().value!);
  }

  /** Kernels that it has anything of. */
  async kernels(): Promise<string[]> {
    const objects = await this.#store.list('kernels/');
    return [...new Set(objects.map(({ key }) => key.split('/')[1]!))];
  }

  async removeObjects(keys: readonly string[]): Promise<void> {
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
function sealName(kernel: string, index: number, generation: number): string {
  return generation === 0 ? `${kernel}/${index}` : `${kernel}/${index}/${generation}`;
}

function named(key: string, generation: number): string {
  return generation === 0 ? key : `${key}.${generation}`;
}

/** Of tables those that are the kernel's: its generation's, and the one that this began with. */
export function counting(tables: readonly StoredTable[], begun: Begun | undefined): StoredTable[] {
  if (begun === undefined) return tables.filter(({ generation }) => generation === 0);
  const { generation, from } = begun;
  return tables.filter((table) => table.generation === generation || table.key === from);
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
