import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { copyFile, link, mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { NbosError } from '../../../core/errors.ts';
import { parseObject } from '../../jupyter/fields.ts';
import { bytesOf } from '../../jupyter/headers.ts';
import type { JupyterMessage } from '../../jupyter/message.ts';
import type { Blob, Delta } from '../../log/entries.ts';

/** A file up to this size is read at once: waiting for a thread would take longer. */
const AT_ONCE_BYTES = 128 * 1024;
const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
const RECORD_FORMAT = 1;
const HASH = /^[0-9a-f]{64}$/;

/** What the helper wrote down of a cell. */
export interface PickedRecord {
  /** null when it could not say what changed */
  delta: Delta | null;
  error: string;
  /** CUDA has started in the process */
  cuda: boolean;
  captureMs: number;
}

/** Where a record's parts lie and go. */
export interface RecordFolders {
  spool: string;
  /** where the process reads blobs; it writes no blob again that is there */
  shown: string;
  /** the host's */
  blobs: string;
}

/**
 * Takes a record out of the spool: its large buffers go to the blob directory by renaming, then the
 * record is removed. A record comes from a process that runs a user's code, so nothing in it is
 * believed but its shape; names of files are checked. Throws `kernel-failed` for a damaged one.
 */
export async function pickRecord(
  folders: RecordFolders,
  name: string,
): Promise<PickedRecord | undefined> {
  const file = join(folders.spool, `${name}.json`);
  const text = await contentOf(file);
  if (text === undefined) return undefined;
  const record = await takeRecord(folders, text, file);
  rmSync(file, { force: true });
  return record;
}

/** A record in its text: what it names in the spool goes to the blob directory. */
export async function takeRecord(
  folders: RecordFolders,
  text: string,
  place: string,
): Promise<PickedRecord> {
  const record = parseRecord(text, place);
  if (record.delta !== null) {
    const outside = record.delta.units
      .flatMap((unit) => [unit.skeleton, ...unit.buffers])
      .filter((blob) => blob.inline === undefined);
    await moveBlobs(folders, outside);
  }
  return record;
}

const IN_REPLY = Buffer.from('"nbos_record":');

/** The reply as the kernel alone would have sent it, and the record that came in it, if any. */
export function splitReply(reply: JupyterMessage): { reply: JupyterMessage; text?: string } {
  const { content } = reply;
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  if (!bytes.includes(IN_REPLY)) return { reply };
  const fields = parseObject(content);
  const text = fields?.['nbos_record'];
  if (fields === undefined || typeof text !== 'string') return { reply };
  delete fields['nbos_record'];
  return { reply: { ...reply, content: bytesOf(JSON.stringify(fields)) }, text };
}

/** Nothing but a plain file is read: whoever runs in the process may put anything there. */
async function contentOf(file: string): Promise<string | undefined> {
  let handle: number;
  try {
    handle = openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    const found = fstatSync(handle);
    if (!found.isFile()) throw damaged(file, 'it is no file');
    if (found.size <= AT_ONCE_BYTES) return readFileSync(handle, 'utf8');
  } finally {
    closeSync(handle);
  }
  return readFile(file, { encoding: 'utf8', flag: O_RDONLY | O_NOFOLLOW | O_NONBLOCK });
}

function parseRecord(text: string, file: string): PickedRecord {
  let record: Partial<PickedRecord> & { v?: number };
  try {
    record = JSON.parse(text);
  } catch {
    throw damaged(file, 'it is not JSON');
  }
  if (record.v !== RECORD_FORMAT) throw damaged(file, `its format is ${String(record.v)}`);
  const { delta = null, error = '', cuda = false, captureMs = 0 } = record;
  if (delta !== null && !isDelta(delta)) throw damaged(file, 'its delta is not one');
  const took = Number(captureMs) || 0;
  return { delta, error: String(error), cuda: cuda === true, captureMs: took };
}

function isDelta(delta: Delta): boolean {
  return (
    Array.isArray(delta.units) &&
    Array.isArray(delta.dropped) &&
    Array.isArray(delta.unreplicated) &&
    Array.isArray(delta.pinned) &&
    delta.units.every(
      (unit) =>
        typeof unit?.id === 'string' &&
        Number.isInteger(unit.version) &&
        Array.isArray(unit.names) &&
        Array.isArray(unit.buffers) &&
        [unit.skeleton, ...unit.buffers].every(isBlob),
    )
  );
}

function isBlob(blob: Blob): boolean {
  return (
    typeof blob?.hash === 'string' &&
    HASH.test(blob.hash) &&
    typeof blob.mac === 'string' &&
    Number.isSafeInteger(blob.bytes) &&
    (blob.inline === undefined || typeof blob.inline === 'string')
  );
}

function damaged(file: string, reason: string): NbosError {
  return new NbosError('kernel-failed', `${file}: a record of the helper: ${reason}`);
}

async function moveBlobs(folders: RecordFolders, outside: readonly Blob[]): Promise<void> {
  const { spool, blobs } = folders;
  for (const { hash } of outside) {
    const [from, target] = [join(spool, hash), join(blobs, hash)];
    try {
      renameSync(from, target);
    } catch (error) {
      await moveSlowly(folders, hash, (error as NodeJS.ErrnoException).code ?? '');
    }
    // Only now it lies where the process cannot put another thing in its place.
    if (lstatSync(target).isFile()) continue;
    rmSync(target, { force: true, recursive: true });
    throw damaged(from, 'a buffer of it is no file');
  }
}

/** Across file systems, into a folder that is not there yet, or what an earlier record has moved. */
async function moveSlowly(
  { spool, shown, blobs }: RecordFolders,
  hash: string,
  code: string,
): Promise<void> {
  const [from, target] = [join(spool, hash), join(blobs, hash)];
  if (code === 'EXDEV') {
    if (!lstatSync(from).isFile()) throw damaged(from, 'a buffer of it is no file');
    await copyFile(from, `${target}.part`);
    await rename(`${target}.part`, target);
    await rm(from, { force: true });
    return;
  }
  if (await exists(target)) return;
  await mkdir(blobs, { recursive: true, mode: 0o700 });
  // The host may have given up what the process still had when it wrote the record.
  await rename(from, target).catch((error) => {
    if (shown === blobs) throw error;
    return link(join(shown, hash), target);
  });
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

/** A name that the helper gave a record, which becomes part of a path. */
export function isRecordName(name: string): boolean {
  return /^[\w-]{1,100}$/.test(name);
}
