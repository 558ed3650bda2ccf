import { createReadStream, type ReadStream, statSync } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { NbosError } from '../core/errors.ts';
import { reasonOf } from './output-file.ts';

const CHUNK_BYTES = 1 << 20;

/** Bytes read so far and to read, of the file as it lies on disk. */
export type OnProgress = (doneBytes: number, totalBytes: number) => void;

export type PathKind = 'file' | 'folder';

/** @throws NbosError file-not-found */
export function kindOf(path: string): PathKind {
  try {
    const stat = statSync(path);
    return stat.isDirectory() ? 'folder' : 'file';
  } catch (error) {
    throw notFound(path, error);
  }
}

function notFound(path: string, error: unknown): NbosError {
  const reason =
    (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'it does not exist' : reasonOf(error);
  return new NbosError('file-not-found', `${path}: ${reason}`, 'Check the path.');
}

/**
 * The content of a file in chunks, unpacked when it is gzip (told by its first bytes, whatever its
 * name). `onBytes` sees each chunk before it is handed out.
 * @throws NbosError file-not-found; file-corrupt when gzip data is damaged or cut off, or a file
 * named .gz is not gzip
 */
export async function* readBytes(
  path: string,
  onProgress?: OnProgress,
  onBytes?: (bytes: Uint8Array) => void,
): AsyncGenerator<Buffer> {
  if (kindOf(path) === 'folder')
    throw new NbosError('file-not-found', `${path} is a folder`, 'Name a file in it.');
  const total = statSync(path).size;
  const file = createReadStream(path, { highWaterMark: CHUNK_BYTES });
  if (onProgress) file.on('data', () => onProgress(file.bytesRead, total));
  file.pause();
  try {
    for await (const chunk of (await isGzip(path, total)) ? unpack(path, file) : file) {
      onBytes?.(chunk);
      yield chunk;
    }
  } catch (error) {
    if (error instanceof NbosError) throw error;
    throw notFound(path, error);
  } finally {
    file.destroy();
  }
}

async function isGzip(path: string, size: number): Promise<boolean> {
  const named = path.endsWith('.gz');
  const start: Buffer[] = [];
  for await (const chunk of createReadStream(path, { end: 1 })) start.push(chunk as Buffer);
  const magic = Buffer.concat(start);
  const packed = magic[0] === 0x1f && magic[1] === 0x8b;
  if (named && !packed)
    throw new NbosError(
      'file-corrupt',
      size === 0 ? `${path} is empty` : `${path} is not gzip data`,
      'Get the file again, or rename it if it is not packed.',
    );
  return packed;
}

async function* unpack(path: string, file: ReadStream): AsyncGenerator<Buffer> {
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  file.on('error', (error) => gunzip.destroy(error));
  try {
    for await (const chunk of file.pipe(gunzip)) yield chunk as Buffer;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (!code.startsWith('Z_')) throw error;
    const what = code === 'Z_BUF_ERROR' ? 'it ends in the middle' : (error as Error).message;
    throw new NbosError('file-corrupt', `${path}: damaged gzip data: ${what}`, 'Get it again.');
  } finally {
    gunzip.destroy();
  }
}

/** Sizes on disk of `paths`, those that exist. */
function sizeOf(paths: readonly string[]): number {
  return paths.reduce(
    (sum, path) => sum + (statSync(path, { throwIfNoEntry: false })?.size ?? 0),
    0,
  );
}

/** Joins the progress of files read one after the other into one. */
export function joinProgress(
  paths: readonly string[],
  onProgress: OnProgress | undefined,
): (path: string) => OnProgress | undefined {
  if (onProgress === undefined) return () => undefined;
  const total = sizeOf(paths);
  return (path) => {
    const before = sizeOf(paths.slice(0, paths.indexOf(path)));
    return (done) => onProgress(before + done, total);
  };
}
