import { randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import {
  copyFile,
  lstat,
  mkdir,
  open,
  readdir,
  realpath,
  rename,
  rm,
  stat,
} from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import { Refusal } from './answers.ts';

const MOST_ENTRIES = 20_000;
const PATH_CHARS = 4096;

export interface Entry {
  /** last part of the path, '' for the folder itself */
  name: string;
  /** from the workspace folder, parts joined by "/" */
  path: string;
  directory: boolean;
  size: number;
  writable: boolean;
  modifiedAt: Date;
  createdAt: Date;
}

/**
 * The files of the workspace folder. Nothing outside it is reached, neither by the path's own
 * parts nor through a symbolic link; hidden files are as if they were not there.
 */
export class Workspace {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** @throws Refusal 404 */
  async entry(path: string): Promise<Entry> {
    const parts = partsOf(path);
    const real = await this.#existing(parts);
    return entryOf(parts, await stat(real));
  }

  /** Entries by name; what is neither file nor folder, or lies outside, is left out. */
  async list(path: string): Promise<Entry[]> {
    const parts = partsOf(path);
    const names = await readdir(await this.#existing(parts));
    const shown = names.filter((name) => !name.startsWith('.')).sort();
    const entries: Entry[] = [];
    for (const name of shown.slice(0, MOST_ENTRIES)) {
      const entry = await this.entry([...parts, name].join('/')).catch(() => undefined);
      if (entry !== undefined) entries.push(entry);
    }
    return entries;
  }

  /** @throws Refusal 404, 413 */
  async read(path: string, limit: number): Promise<Buffer> {
    const real = await this.#existing(partsOf(path));
    const file = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const { size } = await file.stat();
      if (size > limit) throw new Refusal(413, `${path} has ${size} bytes, ${limit} are the limit`);
      return await file.readFile();
    } finally {
      await file.close();
    }
  }

  /** Whole or not at all. True when the file is new. */
  async write(path: string, bytes: Buffer): Promise<boolean> {
    const { real, found } = await this.#target(partsOf(path));
    if (found?.isDirectory()) throw new Refusal(400, `${path} is a directory`);
    const temporary = join(dirname(real), `.${randomBytes(6).toString('hex')}.nbos-new`);
    try {
      const file = await open(temporary, 'wx', found === undefined ? 0o666 : found.mode & 0o777);
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, real);
    } catch (error) {
      await rm(temporary, { force: true });
      throw unwritable(path, error);
    }
    return found === undefined;
  }

  /** True when the folder is new. */
  async makeFolder(path: string): Promise<boolean> {
    const { real, found } = await this.#target(partsOf(path));
    if (found !== undefined && !found.isDirectory())
      throw new Refusal(400, `${path} is not a directory`);
    if (found !== undefined) return false;
    await mkdir(real).catch((error) => {
      throw unwritable(path, error);
    });
    return true;
  }

  /** @throws Refusal 409 when the new path exists */
  async move(from: string, to: string): Promise<void> {
    const source = await this.#existing(partsOf(from));
    const { real, found } = await this.#target(partsOf(to));
    if (found !== undefined && real !== source)
      throw new Refusal(409, `File already exists: ${to}`);
    await rename(source, real).catch((error) => {
      throw unwritable(to, error);
    });
  }

  async copy(from: string, to: string): Promise<void> {
    const source = await this.#existing(partsOf(from));
    const { real } = await this.#target(partsOf(to));
    await copyFile(source, real, constants.COPYFILE_EXCL).catch((error) => {
      throw unwritable(to, error);
    });
  }

  /** A folder must be empty. */
  async remove(path: string): Promise<void> {
    const parts = partsOf(path);
    if (parts.length === 0) throw new Refusal(400, 'The workspace itself cannot be deleted');
    const real = await this.#existing(parts);
    const folder = (await stat(real)).isDirectory();
    if (folder && (await readdir(real)).length > 0)
      throw new Refusal(400, `Directory ${path} not empty`);
    // Through the name, so that a link goes and not what it leads to.
    const named = join(await this.#existing(parts.slice(0, -1)), parts.at(-1)!);
    const linked = (await lstat(named)).isSymbolicLink();
    await rm(named, folder && !linked ? { recursive: true } : {}).catch((error) => {
      throw unwritable(path, error);
    });
  }

  /** A path in `folder` that does not exist: stem, stem1, stem2… with the extension. */
  async unusedName(folder: string, stem: string, extension: string): Promise<string> {
    const taken = new Set(await readdir(await this.#existing(partsOf(folder))));
    for (let number = 0; ; number++) {
      const name = `${stem}${number === 0 ? '' : number}${extension}`;
      if (!taken.has(name)) return [...partsOf(folder), name].join('/');
    }
  }

  /** The real path of something that exists inside. */
  async #existing(parts: readonly string[]): Promise<string> {
    const root = await realpath(this.#root);
    const real = await realpath(join(root, ...parts)).catch(() => '');
    if (real !== root && !real.startsWith(root + sep)) throw missing(parts);
    return real;
  }

  /** Where something is to be: in a folder that exists inside, links resolved. */
  async #target(parts: readonly string[]): Promise<{ real: string; found: Stats | undefined }> {
    if (parts.length === 0)
      return { real: await this.#existing([]), found: await stat(this.#root) };
    const folder = await this.#existing(parts.slice(0, -1));
    const named = join(folder, parts.at(-1)!);
    const found = await lstat(named).catch(() => undefined);
    if (found === undefined) return { real: named, found };
    const real = await this.#existing(parts);
    return { real, found: await stat(real) };
  }
}

/** @throws Refusal 404 for a path that leaves the folder, is hidden, or is no path */
function partsOf(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  const wrong = (part: string): boolean => part.startsWith('.') || /[\0\\]/.test(part);
  if (path.length > PATH_CHARS || parts.some(wrong)) throw missing(parts);
  return parts;
}

function missing(parts: readonly string[]): Refusal {
  return new Refusal(404, `No such file or directory: ${parts.join('/').slice(0, 200)}`);
}

function unwritable(path: string, error: unknown): Refusal {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'EEXIST') return new Refusal(409, `File already exists: ${path}`);
  if (code === 'ENOENT') return new Refusal(404, `No such directory: ${dirname(path)}`);
  if (code === 'ENOSPC') return new Refusal(507, `No space is left to save ${path}`);
  return new Refusal(403, `Permission denied: ${path}`);
}

function entryOf(parts: readonly string[], found: Stats): Entry {
  if (!found.isFile() && !found.isDirectory()) throw missing(parts);
  return {
    name: parts.length === 0 ? '' : basename(parts.at(-1)!),
    path: parts.join('/'),
    directory: found.isDirectory(),
    size: found.size,
    writable: (found.mode & 0o222) !== 0,
    modifiedAt: found.mtime,
    createdAt: found.birthtime,
  };
}
