import { randomUUID } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { copyFile, mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { NbosError } from '../../../core/errors.ts';
import { parseObject } from '../../jupyter/fields.ts';
import { bytesOf } from '../../jupyter/headers.ts';
import type { JupyterMessage } from '../../jupyter/message.ts';
import type { Blob, Delta } from '../../log/entries.ts';

/** A file up to this size is read at once: waiting for a thread would take longer. */
const AT_ONCE_BYTES = 128 * 1024;
const RECORD_FORMAT = 1;
const HASH = /^[0-9a-f]{64}$/;

/** What the helper wrote down of a cell. */
export interface PickedRecord {
  /** null when it could not say what changed */
  delta: Delta | null;
  error: string;
  captureMs: number;
}

/**
 * Takes a record out of the spool: its large buffers go to the blob directory by renaming, then the
 * record is removed. A record comes from a process that runs a user's code, so nothing in it is
 * believed but its shape; names of files are checked. Throws `kernel-failed` for a damaged one.
 */
export async function pickRecord(
  spool: string,
  name: string,
  blobs: string,
): Promise<PickedRecord | undefined> {
  const file = join(spool, `${name}.json`);
  const text = await contentOf(file);
  if (text === undefined) return undefined;
  const record = await takeRecord(text, file, spool, blobs);
  rmSync(file, { force: true });
  return record;
}

/** A record in its text: what it names in the spool goes to the blob directory. */
export async function takeRecord(
  text: string,
  place: string,
  spool: string,
  blobs: string,
): Promise<PickedRecord> {
  const record = parseRecord(text, place);
  if (record.delta !== null) {
    const outside = record.delta.units
      .flatMap((unit) => [unit.skeleton, ...unit.buffers])
      .filter((blob) => blob.inline === undefined);
    await moveBlobs(spool, outside, blobs);
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

async function contentOf(file: string): Promise<string | undefined> {
  let handle: number;
  try {
    handle = openSync(file, 'r');
  } catch {
    return undefined;
  }
  try {
    if (fstatSync(handle).size <= AT_ONCE_BYTES) return readFileSync(handle, 'utf8');
  } finally {
    closeSync(handle);
  }
  return readFile(file, 'utf8');
}

function parseRecord(text: string, file: string): PickedRecord {
  let record: Partial<PickedRecord> & { v?: number };
  try {
    record = JSON.parse(text);
  } catch {
    throw damaged(file, 'it is not JSON');
  }
  if (record.v !== RECORD_FORMAT) throw damaged(file, `its format is ${String(record.v)}`);
  const { delta = null, error = '', captureMs = 0 } = record;
  if (delta !== null && !isDelta(delta)) throw damaged(file, 'its delta is not one');
  return { delta, error: String(error), captureMs: Number(captureMs) || 0 };
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

async function moveBlobs(spool: string, blobs: readonly Blob[], to: string): Promise<void> {
  for (const { hash } of blobs) {
    const [from, target] = [join(spool, hash), join(to, hash)];
    try {
      renameSync(from, target);
    } catch (error) {
      await moveSlowly(from, target, (error as NodeJS.ErrnoException).code ?? '');
    }
  }
}

/** Across file systems, into a folder that is not there yet, or what an earlier record has moved. */
async function moveSlowly(from: string, target: string, code: string): Promise<void> {
  if (code === 'EXDEV') {
    await copyFile(from, `${target}.part`);
    await rename(`${target}.part`, target);
    await rm(from, { force: true });
    return;
  }
  if (await exists(target)) return;
  await mkdir(join(target, '..'), { recursive: true, mode: 0o700 });
  await rename(from, target);
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

/** A name that the helper gave a record, which becomes part of a path. */
export function isRecordName(name: string): boolean {
  return /^[\w-]{1,100}$/.test(name);
}

/** Renaming works within one file system only: the spool lies where the blobs do. */
export async function spoolHome(directory: string, blobs: string): Promise<string> {
  const [here, there] = await Promise.all([stat(directory), stat(blobs)]);
  if (here.dev === there.dev) return directory;
  return join(dirname(blobs), '..', 'spool', randomUUID());
}
