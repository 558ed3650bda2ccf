import { constants } from 'node:fs';
import { access, link, mkdir, open, readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { NbosError } from '../../core/errors.ts';
import { PIECE_BYTES } from './checked-content.ts';
import type { Content, ObjectInfo, ObjectStore, PutMode, Reading } from './store.ts';
import { denied, reasonIn, storeFull, unreachable } from './store-errors.ts';

/** Folder of objects that are being written; no key begins with a dot. */
const PARTS = '.parts';
/** A part that was not written to for so long was left by a process that died, ms. */
const OLD_PART_MS = 3_600_000;

let parts = 0;

/** A folder of this machine, or one that is mounted here. */
export class FileStore implements ObjectStore {
  readonly name: string;
  readonly #root: string;
  #prepared: Promise<void> | undefined;
  /** folders that are on disk, with their parents */
  readonly #folders = new Set<string>();

  constructor(root: string) {
    this.#root = resolve(root);
    this.name = `file:${this.#root}`;
  }

  async put(key: string, content: Content, mode: PutMode, signal: AbortSignal): Promise<boolean> {
    return this.#told(async () => {
      await this.#prepare();
      const path = this.#path(key);
      if (mode === 'create' && (await exists(path))) return false;
      await this.#folder(dirname(path));
      const part = join(this.#root, PARTS, `${process.pid}-${Date.now()}-${++parts}`);
      try {
        if (!(await linked(content, part))) await write(part, content, signal);
        if (mode === 'create') {
          if (!(await linkNew(part, path))) return false;
        } else await rename(part, path);
      } finally {
        // Two names of one file both outlive a rename of one to the other.
        await rm(part, { force: true });
      }
      await syncFolder(dirname(path));
      return true;
    });
  }

  get(key: string, from: number, signal: AbortSignal): Promise<Reading | undefined> {
    return this.#told(async () => {
      const file = await open(this.#path(key), 'r').catch(absent);
      if (file === undefined) return undefined;
      const { size } = await file.stat();
      const options = { start: from, highWaterMark: PIECE_BYTES, signal };
      // A stream from the file's end on would have a start beyond its end.
      if (from < size) return { bytes: size, stream: file.createReadStream(options) };
      await file.close();
      return { bytes: size, stream: nothing() };
    });
  }

  head(key: string): Promise<ObjectInfo | undefined> {
    return this.#told(async () => {
      const found = await stat(this.#path(key)).catch(absent);
      if (found === undefined || !found.isFile()) return undefined;
      return { key, bytes: found.size, modifiedAt: found.ctimeMs };
    });
  }

  async *list(prefix: string): AsyncGenerator<ObjectInfo> {
    const top = join(this.#root, prefix);
    const names = await this.#told(async () => {
      return (await readdir(top, { recursive: true }).catch(absent)) ?? [];
    });
    for (const name of names) {
      const path = relative(this.#root, join(top, name));
      if (path.startsWith(PARTS)) continue;
      const info = await this.head(path.split(sep).join('/'));
      if (info !== undefined) yield info;
    }
  }

  remove(keys: readonly string[]): Promise<void> {
    return this.#told(async () => {
      for (const key of keys) {
        const path = this.#path(key);
        await rm(path, { force: true });
        await this.#removeEmpty(dirname(path));
      }
    });
  }

  async close(): Promise<void> {}

  #path(key: string): string {
    return join(this.#root, ...key.split('/'));
  }

  #prepare(): Promise<void> {
    this.#prepared ??= this.#makeRoot().catch((error: unknown) => {
      this.#prepared = undefined;
      throw error;
    });
    return this.#prepared;
  }

  async #makeRoot(): Promise<void> {
    const folder = join(this.#root, PARTS);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await access(folder, constants.W_OK);
    for (const name of await readdir(folder)) {
      const found = await stat(join(folder, name)).catch(() => undefined);
      if (found !== undefined && Date.now() - found.mtimeMs > OLD_PART_MS)
        await rm(join(folder, name), { force: true });
    }
  }

  /** Its parents' entries are synced too, or a crash could lose the folder. */
  async #folder(path: string): Promise<void> {
    if (this.#folders.has(path)) {
      if (await exists(path)) return;
      this.#folders.delete(path);
    }
    await mkdir(path, { recursive: true, mode: 0o700 });
    for (let at = path; at.startsWith(this.#root) && !this.#folders.has(at); at = dirname(at)) {
      await syncFolder(dirname(at));
      this.#folders.add(at);
    }
  }

  async #removeEmpty(path: string): Promise<void> {
    for (let at = path; at.length > this.#root.length; at = dirname(at)) {
      this.#folders.delete(at);
      const left = await readdir(at).catch(() => undefined);
      if (left === undefined || left.length > 0) return;
      // One that has got an entry meanwhile is left.
      if (
        !(await rmdir(at).then(
          () => true,
          () => false,
        ))
      )
        return;
    }
  }

  async #told<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#errorOf(error);
    }
  }

  #errorOf(error: unknown): NbosError {
    if (error instanceof NbosError) return error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOSPC' || code === 'EDQUOT') return storeFull(this.name, reasonIn(error));
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
      return denied(this.name, reasonIn(error));
    return unreachable(this.name, reasonIn(error));
  }
}

async function write(path: string, content: Content, signal: AbortSignal): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    for await (const piece of content.open()) {
      signal.throwIfAborted();
      await file.writev([piece]);
    }
    await file.datasync();
  } finally {
    await file.close();
  }
}

/** A second name for the file that has the content, where both are on one disk. */
async function linked({ path, bytes }: Content, part: string): Promise<boolean> {
  if (path === undefined) return false;
  try {
    if ((await stat(path)).size !== bytes) return false;
    await link(path, part);
    const file = await open(part, 'r');
    await file.datasync().finally(() => file.close());
    return true;
  } catch {
    await rm(part, { force: true });
    return false;
  }
}

async function linkNew(part: string, path: string): Promise<boolean> {
  try {
    await link(part, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(absent)) !== undefined;
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
  throw error;
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  await folder.sync().finally(() => folder.close());
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
