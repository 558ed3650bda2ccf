import type { Logger } from 'pino';
import { type BlobFiles, diskError } from './blob-files.ts';

/** Where blobs are that no host holds any more. */
export interface BlobSource {
  readonly name: string;
  /** Verified; false when it is not there. Rejects when it cannot be read. */
  readBlob(
    kernel: string,
    blob: { hash: string; bytes: number },
    take: (piece: Uint8Array) => Promise<void>,
  ): Promise<boolean>;
}

/** Brings a blob back from the store; false when that was not to be. */
export async function restored(
  files: BlobFiles,
  store: BlobSource | undefined,
  kernel: string,
  blob: { hash: string; bytes: number },
  log: Logger,
): Promise<boolean> {
  if (store === undefined) return false;
  const { hash } = blob;
  try {
    if (!(await fetchBlob(files, store, kernel, blob))) return false;
    log.info({ kernel, ...blob }, 'a blob came back from the store');
    return true;
  } catch (error) {
    log.warn({ err: error, kernel, hash }, 'a blob did not come back from the store');
    return false;
  }
}

/** As `restored`, and rejects with what the store or the disk says. */
export async function fetchBlob(
  files: BlobFiles,
  store: BlobSource,
  kernel: string,
  blob: { hash: string; bytes: number },
): Promise<boolean> {
  const { hash, bytes } = blob;
  const part = await files.createPart(kernel, hash);
  try {
    const found = await store.readBlob(kernel, blob, async (piece) => {
      await part.file.writev([piece]).catch((error: Error) => {
        throw diskError(error.message, part.path);
      });
    });
    if (found) await files.keep(kernel, hash, part, bytes);
    else await files.discard(part);
    return found;
  } catch (error) {
    await files.discard(part);
    throw error;
  }
}
