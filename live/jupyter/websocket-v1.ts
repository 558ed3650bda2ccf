import { NbosError } from '../../core/errors.ts';
import { CHANNELS, type Channel, type JupyterMessage } from './message.ts';

/** Subprotocol of this framing; it must be chosen by whoever is offered it. */
export const V1_SUBPROTOCOL = 'v1.kernel.websocket.jupyter.org';

export interface FramedMessage {
  channel: Channel;
  message: JupyterMessage;
}

const WORD = 8;
/** channel, header, parent, metadata, content, and the end */
const FIXED_OFFSETS = 6;
/** More binary parts than any client sends; a frame that claims more is garbage. */
const MOST_BUFFERS = 65_536;

/**
 * One binary frame: u64le count of offsets, that many u64le offsets, then channel, header, parent,
 * metadata, content and buffers, each from its offset to the next. The last offset is the end.
 */
export function encodeV1(channel: Channel, message: JupyterMessage): Buffer {
  const { header, parent, metadata, content, buffers } = message;
  const parts = [header, parent, metadata, content, ...buffers];
  const count = parts.length + 2;
  const start = WORD * (1 + count);
  const total = parts.reduce((sum, part) => sum + part.length, start + channel.length);
  const frame = Buffer.allocUnsafe(total);
  let word = writeWord(frame, 0, count);
  word = writeWord(frame, word, start);
  let at = start + frame.write(channel, start, 'latin1');
  for (const part of parts) {
    word = writeWord(frame, word, at);
    frame.set(part, at);
    at += part.length;
  }
  writeWord(frame, word, at);
  return frame;
}

function writeWord(frame: Buffer, at: number, value: number): number {
  frame.writeUInt32LE(value % 2 ** 32, at);
  return frame.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
}

/**
 * The parts are views of `frame`.
 * @throws NbosError message-invalid
 */
export function decodeV1(frame: Buffer): FramedMessage {
  const offsets = offsetsOf(frame);
  const part = (at: number): Buffer => frame.subarray(offsets[at]!, offsets[at + 1]!);
  const name = part(0).toString('latin1');
  const channel = CHANNELS.find((each) => each === name);
  if (channel === undefined) throw invalid(`names no channel but ${JSON.stringify(name)}`);
  const [header, parent, metadata, content] = [1, 2, 3, 4].map((at) => jsonObject(part(at)));
  const buffers: Buffer[] = [];
  for (let at = FIXED_OFFSETS - 1; at < offsets.length - 1; at++) buffers.push(part(at));
  return {
    channel,
    message: {
      header: header!,
      parent: parent!,
      metadata: metadata!,
      content: content!,
      buffers,
    },
  };
}

function offsetsOf(frame: Buffer): number[] {
  if (frame.length < WORD) throw invalid('is shorter than its count of offsets');
  const count = readWord(frame, 0);
  if (count < FIXED_OFFSETS || count > FIXED_OFFSETS + MOST_BUFFERS)
    throw invalid(`has ${count} offsets`);
  const start = WORD * (1 + count);
  if (start > frame.length) throw invalid(`ends before its ${count} offsets do`);
  const offsets: number[] = [];
  let before = start;
  for (let at = 0; at < count; at++) {
    const offset = readWord(frame, WORD * (1 + at));
    if (offset < before || offset > frame.length)
      throw invalid(`has offset ${offset} where ${before} to ${frame.length} are possible`);
    offsets.push(offset);
    before = offset;
  }
  return offsets;
}

/** Above 2⁵³ it is inexact, and out of every bound all the same. */
function readWord(frame: Buffer, at: number): number {
  return frame.readUInt32LE(at) + frame.readUInt32LE(at + 4) * 2 ** 32;
}

const OPEN = 0x7b;
const CLOSE = 0x7d;

/** Looks at the braces only: whether the rest is JSON is for whoever reads it. */
function jsonObject(part: Buffer): Buffer {
  if (part.length < 2 || part[0] !== OPEN || part[part.length - 1] !== CLOSE)
    throw invalid('has a part that is no JSON object');
  return part;
}

function invalid(what: string): NbosError {
  return new NbosError(
    'message-invalid',
    `a frame of ${V1_SUBPROTOCOL} that ${what}`,
    'Send what the subprotocol says, or ask for no subprotocol.',
  );
}
