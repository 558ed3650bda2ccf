import { NbosError } from '../../core/errors.ts';
import type { Entry, Snapshot } from '../../core/raft/index.ts';
import { encodedPayload } from '../wire/raft-frames.ts';

/**
 * Keys: i/KERNEL identity, h/KERNEL hard state, s/KERNEL snapshot, e/KERNEL/INDEX entries with the
 * index in 16 digits, so that they lie in order. Values: JSON; entries and snapshots are a line of
 * JSON followed by the payload's bytes.
 */

export interface GroupKeys {
  identity: string;
  hardState: string;
  snapshot: string;
  entry(index: number): string;
}

export function keysOf(kernel: string): GroupKeys {
  return {
    identity: `i/${kernel}`,
    hardState: `h/${kernel}`,
    snapshot: `s/${kernel}`,
    entry: (index) => `e/${kernel}/${String(index).padStart(16, '0')}`,
  };
}

/** All entries of a kernel, in order. */
export function rangeOf(kernel: string): { gte: string; lt: string } {
  return { gte: `e/${kernel}/`, lt: `e/${kernel}0` };
}

export function kernelOf(identityKey: string): string {
  return identityKey.slice(2);
}

export function encodeEntry(entry: Entry): Buffer {
  const { data, ...head } = entry;
  return withPayload(head, data);
}

export function encodeSnapshot(snapshot: Snapshot): Buffer {
  const { data, ...head } = snapshot;
  return withPayload(head, data);
}

/** Throws `log-corrupt`, naming `where`. */
export function decodeEntry(value: Buffer, key: string, where: string): Entry {
  const entry = parse<Entry>(value, where);
  const index = Number(key.slice(key.lastIndexOf('/') + 1));
  if (entry.index === index && Number.isSafeInteger(entry.term)) return entry;
  throw corrupt(where, `entry ${index} is not one`);
}

/** Throws `log-corrupt`, naming `where`. */
export function decodeSnapshot(value: Buffer, where: string): Snapshot {
  const snapshot = parse<Snapshot>(value, where);
  if (Number.isSafeInteger(snapshot.index) && Number.isSafeInteger(snapshot.term)) return snapshot;
  throw corrupt(where, 'its snapshot is not one');
}

/** Throws `log-corrupt`, naming `where`. */
export function decodeJson<Value>(value: Buffer | undefined, where: string): Value {
  if (value === undefined) throw corrupt(where, 'its term and vote are missing');
  try {
    return JSON.parse(value.toString()) as Value;
  } catch {
    throw corrupt(where, 'its term and vote cannot be read');
  }
}

interface Line {
  /** of the payload, in bytes */
  size: number;
  /** the payload is text */
  text: boolean;
}

function withPayload(head: object, data: string | Uint8Array): Buffer {
  const payload = encodedPayload(data);
  const line: Line = { size: payload.byteLength, text: typeof data === 'string' };
  return Buffer.concat([Buffer.from(`${JSON.stringify({ ...head, ...line })}\n`), payload]);
}

function parse<Value>(value: Buffer, where: string): Value {
  const end = value.indexOf(10);
  const payload = value.subarray(end + 1);
  try {
    const { size, text, ...head } = JSON.parse(value.subarray(0, end).toString()) as Line;
    if (size === payload.byteLength)
      return { ...head, data: text ? payload.toString() : new Uint8Array(payload) } as Value;
  } catch {
    // Told below, as what is too short.
  }
  throw corrupt(where, 'a value in it is cut off or not ours');
}

/** An error that names the place. */
export function corrupt(where: string, what: string): NbosError {
  return new NbosError(
    'log-corrupt',
    `${where}: ${what}`,
    'Stop this host, move the folder away and start it: its replicas are made anew from the others.',
  );
}
