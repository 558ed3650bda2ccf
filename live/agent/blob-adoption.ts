import { lstat, readFile, rm } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import type { BlobFiles } from './blob-files.ts';
import { CHUNK_BYTES } from './blob-sender.ts';
import { FileHash, hashOf } from './hash-worker.ts';

/** Files whose content was checked, by what changes when they do. */
const checked = new Map<string, Promise<string>>();
const MOST_CHECKED = 10_000;
const AT_ONCE = 8;

/**
 * Takes blobs that another host of this machine has in `folder`, by a second name for each file:
 * no byte is copied, and processes that map one share its memory. Each is checked once a machine.
 * Resolves with those that it could not take; `far` when none of the files could be reached.
 */
export async function adopt(
  files: BlobFiles,
  kernel: string,
  hashes: readonly string[],
  folder: string,
): Promise<{ missing: string[]; far: boolean }> {
  if (!isAbsolute(folder)) return { missing: [...hashes], far: true };
  const left = [...hashes];
  const missing: string[] = [];
  let far = true;
  const taken: { hash: string; path: string; bytes: number }[] = [];
  const takeNext = async (): Promise<void> => {
    for (let hash = left.pop(); hash !== undefined; hash = left.pop()) {
      const path = await files.linkPart(kernel, hash, join(folder, hash));
      if (path !== undefined) far = false;
      const bytes = path === undefined ? undefined : await checkedSize(path, hash);
      if (path !== undefined && bytes !== undefined) taken.push({ hash, path, bytes });
      else {
        missing.push(hash);
        if (path !== undefined) await rm(path, { force: true });
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, left.length) }, takeNext));
  if (taken.length > 0) await files.keepLinked(kernel, taken);
  return { missing, far };
}

/** Bytes of the file, undefined when it is not what its name says. */
async function checkedSize(path: string, hash: string): Promise<number | undefined> {
  try {
    const { dev, ino, size, mtimeMs, mode } = await lstat(path);
    const isFile = (mode & 0o170000) === 0o100000;
    if (!isFile) return undefined;
    const key = `${dev} ${ino} ${size} ${mtimeMs}`;
    let content = checked.get(key);
    if (content === undefined) {
      content = contentHash(path, size);
      checked.set(key, content);
      if (checked.size > MOST_CHECKED) checked.delete(checked.keys().next().value!);
    }
    return (await content) === hash ? size : undefined;
  } catch {
    return undefined;
  }
}

async function contentHash(path: string, size: number): Promise<string> {
  if (size > CHUNK_BYTES) return new FileHash(path).finish(size);
  return hashOf(await readFile(path));
}
