import { type Entry, isMessage, type Message, type Snapshot } from '../../core/raft/index.ts';

/** Messages of some groups on their way: the JSON part, and the payloads as frames behind it. */
export interface RaftFrames {
  groups: readonly { kernel: string; messages: readonly unknown[] }[];
  frames: readonly Uint8Array[];
}

/** In JSON, a payload is the number of its frame (text), that number below zero − 1 (bytes), or ''. */
type Reference = number | '';

const NOTHING = new Uint8Array(0);

export function encodedPayload(data: string | Uint8Array): Uint8Array {
  if (typeof data !== 'string') return data;
  return data === '' ? NOTHING : Buffer.from(data);
}

export function packGroups(
  groups: readonly { kernel: string; messages: readonly Message[] }[],
): RaftFrames {
  const frames: Uint8Array[] = [];
  const packed = groups.map(({ kernel, messages }) => ({
    kernel,
    messages: messages.map((message) => packMessage(message, frames)),
  }));
  return { groups: packed, frames };
}

/** What of it are messages of a Raft member; anything else is left out. */
export function unpackGroups(
  groups: readonly unknown[],
  frames: readonly Uint8Array[],
): { kernel: string; messages: Message[] }[] {
  const found: { kernel: string; messages: Message[] }[] = [];
  for (const group of groups) {
    if (typeof group !== 'object' || group === null) continue;
    const { kernel, messages } = group as Record<string, unknown>;
    if (typeof kernel !== 'string' || !Array.isArray(messages)) continue;
    const known = messages
      .map((message: unknown) => unpackMessage(message, frames))
      .filter(isMessage);
    if (known.length > 0) found.push({ kernel, messages: known });
  }
  return found;
}

function packMessage(message: Message, frames: Uint8Array[]): unknown {
  if (message.type === 'append' && message.entries.length > 0)
    return { ...message, entries: message.entries.map((entry) => packData(entry, frames)) };
  if (message.type === 'snapshot')
    return { ...message, snapshot: packData(message.snapshot, frames) };
  return message;
}

function packData(carrier: Entry | Snapshot, frames: Uint8Array[]): object {
  const { data } = carrier;
  if (data.length === 0 && typeof data === 'string') return carrier;
  const at = frames.push(encodedPayload(data)) - 1;
  return { ...carrier, data: typeof data === 'string' ? at : -1 - at };
}

function unpackMessage(message: unknown, frames: readonly Uint8Array[]): unknown {
  if (typeof message !== 'object' || message === null) return undefined;
  const fields = message as Record<string, unknown>;
  if (Array.isArray(fields['entries']))
    return { ...fields, entries: fields['entries'].map((entry) => unpackData(entry, frames)) };
  if ('snapshot' in fields) return { ...fields, snapshot: unpackData(fields['snapshot'], frames) };
  return message;
}

function unpackData(carrier: unknown, frames: readonly Uint8Array[]): unknown {
  if (typeof carrier !== 'object' || carrier === null) return undefined;
  const data = (carrier as { data?: Reference }).data;
  if (typeof data !== 'number') return data === '' ? carrier : undefined;
  const frame = frames[data < 0 ? -1 - data : data];
  if (frame === undefined) return undefined;
  const { buffer, byteOffset, byteLength } = frame;
  const bytes = Buffer.from(buffer, byteOffset, byteLength);
  return { ...carrier, data: data < 0 ? new Uint8Array(bytes) : bytes.toString('utf8') };
}
