import { randomUUID } from 'node:crypto';
import type { JupyterMessage, MessageHeader } from './message.ts';

/** Version of the messaging protocol that our own headers name. */
export const PROTOCOL_VERSION = '5.4';

const EMPTY = bytesOf('{}');

/** A header of our own. `session` tells our messages from those of clients. */
export function newHeader(type: string, session: string, username = 'nbos'): MessageHeader {
  return {
    msg_id: randomUUID(),
    msg_type: type,
    session,
    username,
    date: new Date().toISOString(),
    version: PROTOCOL_VERSION,
  };
}

export interface MessageParts {
  header: MessageHeader;
  /** header of the message that this one answers, as JSON bytes or as an object */
  parent?: Uint8Array | object;
  metadata?: object;
  content?: object;
  buffers?: readonly Uint8Array[];
}

/** A message from its parts as objects; what is left out is `{}`. */
export function messageOf(parts: MessageParts): JupyterMessage {
  return {
    header: bytesOf(JSON.stringify(parts.header)),
    parent: parts.parent instanceof Uint8Array ? parts.parent : jsonBytes(parts.parent),
    metadata: jsonBytes(parts.metadata),
    content: jsonBytes(parts.content),
    buffers: parts.buffers ?? [],
  };
}

function jsonBytes(value: object | undefined): Uint8Array {
  return value === undefined ? EMPTY : bytesOf(JSON.stringify(value));
}

/** Text as UTF-8. */
export function bytesOf(text: string): Uint8Array {
  return Buffer.from(text, 'utf8');
}

/** An iopub `stream` message of ours in answer to the request with header `parent`. */
export function streamNote(
  text: string,
  parent: Uint8Array,
  session: string,
  name: 'stdout' | 'stderr' = 'stderr',
): JupyterMessage {
  return messageOf({ header: newHeader('stream', session), parent, content: { name, text } });
}
