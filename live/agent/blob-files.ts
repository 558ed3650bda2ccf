import {
  type FileHandle,
  link,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  stat,
  unlink,
} from 'node:fs/promises';
import { join } from 'node:path';
import { NbosError } from '../../core/errors.ts';
import { inDiskTurn } from './disk-turns.ts';

/** What is remembered of a blob beside its file. */
interface Known {
  bytes: number;
  /** its content has been synced */
  durable: boolean;
  /** it was in use at the last collection */
  kept: boolean;
  /** ms of performance.now() until when it stays, used or not */
  until: number;
}

/** An entry that needs a fresh blob is committed within this time, or never. */
const FRESH_MS = 60_000;
/** A blob in use that is offered again: it may go out of use and come back at once. */
const AGAIN_MS = 5_000;

export const HASH = /^[0-9a-f]{64}$/;
const KERNEL = /^[A-Za-z0-9_-]{1,64}$/;

/** Blob files of a host: ROOT/KERNEL/HASH, whole and synced once they have that name. */
export class BlobFiles {
  readonly #root: string;
  readonly #kernels = new Map<string, Map<string, Known>>();
  readonly #removing = new Map<string, Promise<void>>();
  #parts = 0;
  #full = false;

  constructor(root: string) {
    this.#root = root;
  }

  directory(kernel: string): string {
    return join(this.#root, kernel);
  }

  path(kernel: string, hash: string): string {
    return join(this.#root, kernel, hash);
  }

  /** Whether names are fit to be part of a path. */
  static fits(kernel: string, hash: string): boolean {
    return KERNEL.test(kernel) && HASH.test(hash);
  }

  /** Kernels that have a folder here. */
  async kernels(): Promise<string[]> {
    const names = await readdir(this.#root).catch(() => []);
    return names.filter((name) => KERNEL.test(name));
  }

  /** Blobs of a kernel are taken from here on, until `remove`. */
  async prepare(kernel: string): Promise<void> {
    await mkdir(this.directory(kernel), { recursive: true, mode: 0o700 });
  }

  /** Whether the blob is here; if so it stays for a while even if nothing uses it. */
  async has(kernel: string, hash: string): Promise<boolean> {
    const known = await this.#find(kernel, hash);
    if (known === undefined) return false;
    this.#touch(known);
    return true;
  }

  /** Bytes of a blob, undefined when it is not here. Does not keep it. */
  async size(kernel: string, hash: string): Promise<number | undefined> {
    return (await this.#find(kernel, hash))?.bytes;
  }

  /** As `size`, and sees what somebody has removed from outside. */
  async sizeOnDisk(kernel: string, hash: string): Promise<number | undefined> {
    const found = await stat(this.path(kernel, hash)).catch(() => undefined);
    if (found === undefined) this.#of(kernel).delete(hash);
    return found?.size;
  }

  /**
   * Syncs blobs that a process of this host has put here. Rejects `blob-lost` for one that is not
   * here or has another size, `disk-full` or `file-unwritable` when the disk fails.
   */
  async settle(kernel: string, blobs: readonly { hash: string; bytes: number }[]): Promise<void> {
    if (this.#full) throw diskError('no space left (injected)', this.directory(kernel));
    let synced = false;
    for (const { hash, bytes } of blobs) {
      const known = await this.#find(kernel, hash);
      if (known?.bytes !== bytes)
        throw new NbosError(
          'blob-lost',
          `${this.path(kernel, hash)} has ${known?.bytes ?? 0} bytes instead of ${bytes}`,
          'The variables of this cell cannot be saved; run it again.',
        );
      this.#touch(known);
      if (known.durable) continue;
      const file = await open(this.path(kernel, hash), 'r+');
      try {
        await inDiskTurn(() => file.datasync());
      } catch (error) {
        throw diskError((error as Error).message, this.path(kernel, hash));
      } finally {
        await file.close();
      }
      known.durable = true;
      synced = true;
    }
    if (synced) await syncFolder(this.directory(kernel));
  }

  /** A file for a blob that arrives; `keep` gives it its name. */
  async createPart(kernel: string, hash: string): Promise<{ path: string; file: FileHandle }> {
    if (this.#full) throw diskError('no space left (injected)', this.directory(kernel));
    const path = `${this.path(kernel, hash)}.${process.pid}-${++this.#parts}.part`;
    // Without its folder the kernel is not on this host, or not any more.
    return { path, file: await open(path, 'wx', 0o600) };
  }

  /** Makes a complete part durable under its name. Closes the file. */
  async keep(
    kernel: string,
    hash: string,
    part: { path: string; file: FileHandle },
    bytes: number,
  ) {
    try {
      if (this.#full) throw diskError('no space left (injected)', part.path);
      await inDiskTurn(() => part.file.datasync());
      await part.file.close();
      await this.#removing.get(`${kernel}/${hash}`);
      await rename(part.path, this.path(kernel, hash));
      await syncFolder(this.directory(kernel));
    } catch (error) {
      await this.discard(part);
      throw error instanceof NbosError ? error : diskError((error as Error).message, part.path);
    }
    const known = { bytes, durable: true, kept: false, until: performance.now() + FRESH_MS };
    this.#of(kernel).set(hash, known);
  }

  /** A second name for a file of this disk that could become a blob; undefined when it cannot. */
  async linkPart(kernel: string, hash: string, source: string): Promise<string | undefined> {
    if (this.#full) return undefined;
    const path = `${this.path(kernel, hash)}.${process.pid}-${++this.#parts}.part`;
    try {
      await link(source, path);
      return path;
    } catch {
      return undefined;
    }
  }

  /** Names linked parts, whose content was checked and is durable. */
  async keepLinked(
    kernel: string,
    parts: readonly { hash: string; path: string; bytes: number }[],
  ): Promise<void> {
    for (const { hash, path } of parts) {
      await this.#removing.get(`${kernel}/${hash}`);
      await rename(path, this.path(kernel, hash));
      // Two names of the same file are left both by a rename of one to the other.
      await rm(path, { force: true });
    }
    await syncFolder(this.directory(kernel));
    const until = performance.now() + FRESH_MS;
    for (const { hash, bytes } of parts)
      this.#of(kernel).set(hash, { bytes, durable: true, kept: false, until });
  }

  async discard(part: { path: string; file: FileHandle }): Promise<void> {
    await part.file.close().catch(() => undefined);
    await rm(part.path, { force: true });
  }

  /** Removes what nothing uses and nothing is about to use. */
  async collect(kernel: string, keep: ReadonlySet<string>): Promise<void> {
    const names = await readdir(this.directory(kernel)).catch(() => []);
    for (const name of names) {
      if (name.endsWith('.part')) await this.#removeOld(join(this.directory(kernel), name));
      else if (HASH.test(name)) await this.#consider(kernel, name, keep.has(name));
    }
  }

  async remove(kernel: string): Promise<void> {
    if (!KERNEL.test(kernel)) return;
    this.#kernels.delete(kernel);
    await rm(this.directory(kernel), { recursive: true, force: true });
  }

  /** Nothing can be written from now on, as on a full disk; or again. */
  setFull(full: boolean): void {
    this.#full = full;
  }

  async #consider(kernel: string, hash: string, used: boolean): Promise<void> {
    const known = await this.#find(kernel, hash);
    if (known === undefined) return;
    if (used) {
      if (!known.kept) known.until = 0;
      known.kept = true;
      return;
    }
    known.kept = false;
    if (performance.now() < known.until) return;
    this.#of(kernel).delete(hash);
    const key = `${kernel}/${hash}`;
    const removal = unlink(this.path(kernel, hash)).catch(() => undefined);
    this.#removing.set(key, removal);
    await removal;
    this.#removing.delete(key);
  }

  async #removeOld(path: string): Promise<void> {
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > FRESH_MS)
      await rm(path, { force: true });
  }

  async #find(kernel: string, hash: string): Promise<Known | undefined> {
    await this.#removing.get(`${kernel}/${hash}`);
    const known = this.#of(kernel).get(hash);
    if (known !== undefined) return known;
    const found = await stat(this.path(kernel, hash)).catch(() => undefined);
    if (found === undefined) return undefined;
    const age = Date.now() - found.mtimeMs;
    const until = performance.now() + Math.max(0, FRESH_MS - age);
    const seen = { bytes: found.size, durable: false, kept: false, until };
    this.#of(kernel).set(hash, seen);
    return seen;
  }

  #touch(known: Known): void {
    const until = performance.now() + (known.kept ? AGAIN_MS : FRESH_MS);
    known.until = Math.max(known.until, until);
  }

  #of(kernel: string): Map<string, Known> {
    const found = this.#kernels.get(kernel) ?? new Map<string, Known>();
    this.#kernels.set(kernel, found);
    return found;
  }
}

/** A file system's error as one for people. */
export function diskError(reason: string, path: string): NbosError {
  const full = /no space|ENOSPC|EDQUOT/i.test(reason);
  return new NbosError(
    full ? 'disk-full' : 'file-unwritable',
    `${path}: ${reason}`,
    'Free space or mend the disk of this host; its replicas go on by themselves then.',
  );
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
