import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { NbosError } from '../core/errors.ts';

let temporaries = 0;

/** A name beside `path` for what is not whole yet; unique among processes and inside this one. */
export function temporaryName(path: string): string {
  return `${path}.tmp-${process.pid}-${temporaries++}`;
}

const REASONS: Record<string, string> = {
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space is left on the device',
  EDQUOT: 'the disk quota is used up',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EISDIR: 'it is a folder',
  ENOENT: 'a folder of the path does not exist',
  EEXIST: 'it exists already',
  ENOTEMPTY: 'the folder is not empty',
  EFBIG: 'the file would be too large',
  EMFILE: 'too many files are open',
  ENAMETOOLONG: 'the name is too long',
};

/** The reason of a failed system call, in words. */
export function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return (code !== undefined && REASONS[code]) || message;
}

export function unwritable(path: string, error: unknown): NbosError {
  if (error instanceof NbosError) return error;
  return new NbosError(
    'file-unwritable',
    `${path} cannot be written: ${reasonOf(error)}`,
    'Free space or choose another place; nothing half-written was left under that name.',
  );
}

/** Creates a folder and its parents, of that mode. @throws NbosError file-unwritable */
export function makeFolder(path: string, mode = 0o777): void {
  try {
    makeEach(resolve(path), mode);
  } catch (error) {
    throw unwritable(path, error);
  }
}

/** Not mkdir's own recursion: that never returns where a file system answers ENOENT, as /proc does. */
function makeEach(path: string, mode: number): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory()) return;
  if (stat !== undefined) throw Object.assign(new Error(), { code: 'ENOTDIR' });
  makeEach(dirname(path), mode);
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    // Another process may have been faster.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/**
 * A file that appears under its name only when it is whole: bytes go to a temporary beside it,
 * which `close` renames into place and `abort` removes. Its folder is created. Writing is
 * synchronous, so memory stays bounded and a full disk is reported by the call that met it.
 */
export class OutputFile {
  readonly path: string;
  readonly #temporary: string;
  #fd = -1;

  /** @throws NbosError file-unwritable */
  constructor(path: string) {
    this.path = path;
    this.#temporary = temporaryName(path);
    makeFolder(dirname(path));
    try {
      this.#fd = openSync(this.#temporary, 'wx');
    } catch (error) {
      throw unwritable(path, error);
    }
  }

  /** @throws NbosError file-unwritable; the temporary is gone then */
  write(bytes: Uint8Array): void {
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
    } catch (error) {
      this.abort();
      throw unwritable(this.path, error);
    }
  }

  /** Bytes written so far. */
  get size(): number {
    return fstatSync(this.#fd).size;
  }

  /** @throws NbosError file-unwritable; the temporary is gone then */
  close(): void {
    try {
      const fd = this.#fd;
      this.#fd = -1;
      closeSync(fd);
      renameSync(this.#temporary, this.path);
    } catch (error) {
      this.abort();
      throw unwritable(this.path, error);
    }
  }

  /** Gives up: nothing appears under the name. May be called at any time, more than once. */
  abort(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
    rmSync(this.#temporary, { force: true });
  }
}

/** Writes a small file whole. @throws NbosError file-unwritable */
export function writeWholeFile(path: string, content: string | Uint8Array): void {
  const file = new OutputFile(path);
  file.write(typeof content === 'string' ? Buffer.from(content) : content);
  file.close();
}
