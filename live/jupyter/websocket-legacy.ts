import { NbosError } from '../../core/errors.ts';
import { membersOf } from './json-members.ts';
import { CHANNELS, type Channel, type JupyterMessage, type MessageHeader } from './message.ts';
import type { FramedMessage } from './websocket-v1.ts';

const WORD = 4;
const MOST_BUFFERS = 65_536;
const EMPTY = Buffer.from('{}');

/**
 * The framing without subprotocol. Text: one JSON object with the parts and `channel`. With
 * buffers a binary frame: u32be count, that many u32be offsets, the JSON, the buffers.
 */
export function encodeLegacy(
  channel: Channel,
  message: JupyterMessage,
): { data: Buffer; binary: boolean } {
  const json = legacyJson(channel, message);
  if (message.buffers.length === 0) return { data: json, binary: false };
  return { data: withBuffers(json, message.buffers), binary: true };
}

/** The text frame; buffers are left out. */
export function legacyJson(channel: Channel, message: JupyterMessage): Buffer {
  const { msg_id = '', msg_type = '' } = headerOf(message);
  const ids = `,"msg_id":${JSON.stringify(msg_id)},"msg_type":${JSON.stringify(msg_type)}`;
  return Buffer.concat([
    Buffer.from('{"header":'),
    orEmpty(message.header),
    Buffer.from(`${ids},"parent_header":`),
    orEmpty(message.parent),
    Buffer.from(',"metadata":'),
    orEmpty(message.metadata),
    Buffer.from(',"content":'),
    orEmpty(message.content),
    Buffer.from(`,"buffers":[],"channel":"${channel}"}`),
  ]);
}

/** @throws NbosError message-invalid */
export function headerOf({ header }: JupyterMessage): MessageHeader {
  try {
    const parsed = JSON.parse(Buffer.from(header).toString()) as MessageHeader | null;
    if (typeof parsed === 'object' && parsed !== null) return parsed;
  } catch {
    // Said below.
  }
  throw invalid('has a header that is no JSON object');
}

function orEmpty(part: Uint8Array): Uint8Array {
  return part.length === 0 ? EMPTY : part;
}

function withBuffers(json: Buffer, buffers: readonly Uint8Array[]): Buffer {
  const count = buffers.length + 1;
  const parts = [json, ...buffers];
  const start = WORD * (1 + count);
  const frame = Buffer.allocUnsafe(parts.reduce((sum, { length }) => sum + length, start));
  let word = frame.writeUInt32BE(count, 0);
  let at = start;
  for (const part of parts) {
    word = frame.writeUInt32BE(at, word);
    frame.set(part, at);
    at += part.length;
  }
  return frame;
}

/**
 * The JSON parts come out exactly as they were written.
 * @throws NbosError message-invalid
 */
export function decodeLegacy(data: Buffer, binary: boolean): FramedMessage {
  if (!binary) return fromJson(data.toString(), []);
  const parts = partsOf(data);
  return fromJson(parts[0]!.toString(), parts.slice(1));
}

function fromJson(json: string, buffers: readonly Uint8Array[]): FramedMessage {
  const members = membersOf(json);
  const named = members.get('channel') ?? '"shell"';
  const channel = CHANNELS.find((each) => `"${each}"` === named);
  if (channel === undefined) throw invalid(`names no channel but ${named.slice(0, 40)}`);
  const part = (name: string, needed: boolean): Buffer => {
    const text = members.get(name);
    if (text === undefined || text === 'null') {
      if (needed) throw invalid(`has no ${name}`);
      return EMPTY;
    }
    if (!text.startsWith('{')) throw invalid(`has a ${name} that is no object`);
    return Buffer.from(text);
  };
  const message = {
    header: part('header', true),
    parent: part('parent_header', false),
    metadata: part('metadata', false),
    content: part('content', false),
    buffers,
  };
  return { channel, message };
}

function partsOf(data: Buffer): Buffer[] {
  if (data.length < WORD) throw invalid('is shorter than its count of parts');
  const count = data.readUInt32BE(0);
  if (count < 1 || count > MOST_BUFFERS + 1) throw invalid(`has ${count} parts`);
  const start = WORD * (1 + count);
  if (start > data.length) throw invalid(`ends before its ${count} offsets do`);
  const parts: Buffer[] = [];
  for (let at = 0; at < count; at++) {
    const from = data.readUInt32BE(WORD * (1 + at));
    const to = at + 1 < count ? data.readUInt32BE(WORD * (2 + at)) : data.length;
    if (from < start || from > to || to > data.length)
      throw invalid(`has a part from ${from} to ${to} of ${data.length} bytes`);
    parts.push(data.subarray(from, to));
  }
  return parts;
}

function invalid(what: string): NbosError {
  return new NbosError(
    'message-invalid',
    `a WebSocket message that ${what}`,
    'Send one JSON object with header, parent_header, metadata, content and channel.',
  );
}
