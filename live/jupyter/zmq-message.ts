import { createHmac, timingSafeEqual } from 'node:crypto';
import { parseObject } from './fields.ts';
import type { JupyterMessage } from './message.ts';

const DELIMITER = Buffer.from('<IDS|MSG>');
const EMPTY = Buffer.alloc(0);
/** Most frames of routing and of buffers that a message may have. */
const MAX_FRAMES = 10_000;

/** A message as it comes from a ZMQ socket: frames before the delimiter tell whom to answer. */
export interface ZmqMessage {
  readonly identities: readonly Uint8Array[];
  readonly message: JupyterMessage;
}

/**
 * Frames of a message for a ZMQ socket: identities, delimiter, HMAC-SHA256 under `key` (hex), the
 * four parts, buffers. With an empty key it is not signed. Nothing is copied.
 */
export function zmqFrames(
  message: JupyterMessage,
  key: string,
  identities: readonly Uint8Array[] = [],
): Uint8Array[] {
  const { header, parent, metadata, content, buffers } = message;
  const signature = key === '' ? EMPTY : Buffer.from(signatureOf(message, key), 'latin1');
  return [
    ...identities,
    DELIMITER,
    signature,
    header,
    parent,
    metadata,
    content,
    ...(buffers as readonly Uint8Array[]),
  ];
}

/** Hex HMAC-SHA256 over header, parent, metadata and content. */
export function signatureOf(message: JupyterMessage, key: string): string {
  return createHmac('sha256', key)
    .update(message.header)
    .update(message.parent)
    .update(message.metadata)
    .update(message.content)
    .digest('hex');
}

/**
 * The message in frames from a ZMQ socket, undefined when they are not one or, with a key, when the
 * signature is wrong. Without a key signatures are not looked at, for sockets that only the owner
 * of a private directory can reach. Never throws. The parts are not parsed, nothing is copied.
 */
export function parseZmqFrames(frames: readonly Uint8Array[], key = ''): ZmqMessage | undefined {
  if (frames.length > MAX_FRAMES) return undefined;
  const at = frames.findIndex((frame) => isDelimiter(frame));
  if (at < 0 || frames.length < at + 6) return undefined;
  const message: JupyterMessage = {
    header: frames[at + 2]!,
    parent: frames[at + 3]!,
    metadata: frames[at + 4]!,
    content: frames[at + 5]!,
    buffers: frames.length > at + 6 ? frames.slice(at + 6) : [],
  };
  if (key !== '' && !isSignedBy(message, frames[at + 1]!, key)) return undefined;
  return { identities: frames.slice(0, at), message };
}

function isDelimiter(frame: Uint8Array): boolean {
  return frame.length === DELIMITER.length && DELIMITER.equals(frame);
}

function isSignedBy(message: JupyterMessage, signature: Uint8Array, key: string): boolean {
  const expected = Buffer.from(signatureOf(message, key), 'latin1');
  return signature.length === expected.length && timingSafeEqual(expected, signature);
}

/** Whether the four parts are JSON objects, as they must be before anything of them is believed. */
export function isWellFormed(message: JupyterMessage): boolean {
  return [message.header, message.parent, message.metadata, message.content].every(
    (part) => parseObject(part) !== undefined,
  );
}
