import { randomUUID } from 'node:crypto';
import type { Channel, JupyterMessage } from '../../jupyter/message.ts';
import {
  decodeLegacy,
  encodeLegacy,
  headerOf,
  legacyJson,
} from '../../jupyter/websocket-legacy.ts';
import { decodeV1, encodeV1, type FramedMessage } from '../../jupyter/websocket-v1.ts';

export interface Frame {
  data: Buffer;
  binary: boolean;
}

/** How one client's messages are written as WebSocket messages, and read. */
export interface Framing {
  readonly name: 'v1' | 'legacy' | 'text';
  /** One frame, or two where a note must follow. */
  encode(channel: Channel, message: JupyterMessage): Frame[];
  /** @throws NbosError message-invalid */
  decode(data: Buffer, binary: boolean): FramedMessage;
}

const V1: Framing = {
  name: 'v1',
  encode: (channel, message) => [{ data: encodeV1(channel, message), binary: true }],
  decode: decodeV1,
};

const LEGACY: Framing = {
  name: 'legacy',
  encode: (channel, message) => [encodeLegacy(channel, message)],
  decode: decodeLegacy,
};

/**
 * The framing for a client. A Jupyter server in gateway mode is a client on Tornado without
 * subprotocol: a binary frame hangs it, a frame above `mostBytes` makes it hang up. Its kernel
 * client in Python (nbclient over a gateway) names no user agent, and ends on a binary frame.
 */
export function framingFor(subprotocol: boolean, userAgent: string, mostBytes: number): Framing {
  const tornado = /\btornado\b/i.test(userAgent);
  if (subprotocol) return tornado ? bounded(V1, mostBytes) : V1;
  if (tornado) return textOnly(mostBytes);
  return userAgent === '' ? textOnly(Number.POSITIVE_INFINITY) : LEGACY;
}

/** Messages that would not fit are replaced. */
function bounded(framing: Framing, mostBytes: number): Framing {
  return {
    ...framing,
    encode(channel, message) {
      const frames = framing.encode(channel, message);
      const bytes = frames[0]!.data.length;
      if (bytes <= mostBytes) return frames;
      return framing.encode(channel, tooLarge(channel, message, bytes, mostBytes));
    },
  };
}

function textOnly(mostBytes: number): Framing {
  let told = false;
  const text: Framing = {
    name: 'text',
    encode: (channel, message) => [{ data: legacyJson(channel, message), binary: false }],
    decode: decodeLegacy,
  };
  const { encode } = bounded(text, mostBytes);
  return {
    ...text,
    encode(channel, message) {
      const frames = encode(channel, message);
      if (message.buffers.length === 0 || told) return frames;
      told = true;
      return [...frames, ...encode('iopub', note(message, buffersLeftOut(message)))];
    },
  };
}

function buffersLeftOut(message: JupyterMessage): string {
  const type = headerOf(message).msg_type;
  return (
    `[NotebookOS] Binary data of a ${type} message was left out, as of all that follow: Jupyter's ` +
    'clients of a gateway cannot take it. Widgets that need it work when the browser connects ' +
    'to this gateway directly.\n'
  );
}

/** What is sent in place of a message that the client would hang up on. */
function tooLarge(
  channel: Channel,
  message: JupyterMessage,
  bytes: number,
  mostBytes: number,
): JupyterMessage {
  const mib = (value: number): string => (value / 2 ** 20).toFixed(1);
  const { msg_type } = headerOf(message);
  const why =
    `A ${msg_type} message of ${mib(bytes)} MiB was left out: this client takes ` +
    `${mib(mostBytes)} MiB at most.`;
  if (channel === 'iopub')
    return note(
      message,
      `[NotebookOS] ${why} "nbos output KERNEL --into FILE.ipynb" writes it into a notebook.\n`,
    );
  const content = { status: 'error', ename: 'MessageTooLarge', evalue: why, traceback: [why] };
  return { ...message, content: Buffer.from(JSON.stringify(content)), buffers: [] };
}

/** A line on stderr, under the same request as `message`. */
function note(message: JupyterMessage, text: string): JupyterMessage {
  const { session, username } = headerOf(message);
  const header = {
    msg_id: randomUUID(),
    msg_type: 'stream',
    session,
    username,
    date: new Date().toISOString(),
    version: '5.3',
  };
  return {
    header: Buffer.from(JSON.stringify(header)),
    parent: message.parent,
    metadata: Buffer.from('{}'),
    content: Buffer.from(JSON.stringify({ name: 'stderr', text })),
    buffers: [],
  };
}
