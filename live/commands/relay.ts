import { readFileSync } from 'node:fs';
import { Publisher, Router } from 'zeromq';
import { NbosError } from '../../core/errors.ts';
import { parseHeader, parseObject } from '../jupyter/fields.ts';
import { messageOf, newHeader } from '../jupyter/headers.ts';
import type { Channel, JupyterMessage, MessageHeader } from '../jupyter/message.ts';
import { parseZmqFrames, zmqFrames } from '../jupyter/zmq-message.ts';

/** What a Jupyter client writes into the connection file that it hands to a kernel's program. */
export interface ConnectionFile {
  transport: 'tcp' | 'ipc';
  ip: string;
  key: string;
  shell_port: number;
  iopub_port: number;
  stdin_port: number;
  control_port: number;
  hb_port: number;
}

/** The kernel that a relay stands for. */
export interface Relayed {
  readonly session: string;
  send(channel: Channel, message: JupyterMessage): void;
  onMessage: (channel: Channel, message: JupyterMessage, header: MessageHeader) => void;
  interrupt(): Promise<void>;
  close(): Promise<void>;
}

/** Requests whose sender is remembered: more than are ever open at once. */
const MOST_SENDERS = 10_000;
const LINGER_MS = 500;

interface Waiting {
  channel: Channel;
  message: JupyterMessage;
}

/**
 * Five ZMQ sockets that look like a kernel's, for clients that start kernels by a kernelspec. What
 * arrives goes to a kernel of the gateway, what it answers comes back to who asked. Heartbeats are
 * echoed here, also while the gateway is away.
 */
export class Relay {
  /** A client asked for the end; `close` has not been called yet. */
  onShutdown: () => void = () => undefined;
  onNote: (text: string) => void = () => undefined;
  readonly #connection: ConnectionFile;
  readonly #shell = router();
  readonly #control = router();
  readonly #stdin = router();
  readonly #heartbeat = router();
  readonly #iopub = new Publisher({ linger: LINGER_MS, sendHighWaterMark: 0 });
  readonly #outboxes = new Map<Router | Publisher, Promise<void>>();
  readonly #senders = new Map<string, readonly Uint8Array[]>();
  #kernel: Relayed | undefined;
  #waiting: Waiting[] = [];
  #closed = false;

  constructor(connection: ConnectionFile) {
    this.#connection = connection;
  }

  /** Binds the sockets. @throws NbosError port-taken */
  async open(): Promise<void> {
    const { shell_port, control_port, stdin_port, hb_port, iopub_port } = this.#connection;
    const places = [
      [this.#shell, shell_port],
      [this.#control, control_port],
      [this.#stdin, stdin_port],
      [this.#heartbeat, hb_port],
      [this.#iopub, iopub_port],
    ] as const;
    for (const [socket, port] of places) {
      const endpoint = endpointOf(this.#connection, port);
      await socket.bind(endpoint).catch((error: Error) => {
        throw new NbosError('port-taken', `${endpoint} cannot be bound: ${error.message}`);
      });
    }
    this.#read(this.#shell, (frames) => this.#request('shell', frames));
    this.#read(this.#control, (frames) => this.#request('control', frames));
    this.#read(this.#stdin, (frames) => this.#request('stdin', frames));
    this.#read(this.#heartbeat, (frames) => this.#send(this.#heartbeat, frames));
  }

  /** Requests that came before go to the kernel now. */
  attach(kernel: Relayed): void {
    this.#kernel = kernel;
    kernel.onMessage = (channel, message, header) => this.#answer(channel, message, header);
    for (const { channel, message } of this.#waiting.splice(0)) kernel.send(channel, message);
  }

  /** Sends what is under way and closes the sockets. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.allSettled(this.#outboxes.values());
    for (const socket of [this.#shell, this.#control, this.#stdin, this.#heartbeat, this.#iopub])
      socket.close();
  }

  #read(socket: Router, take: (frames: Buffer[]) => void): void {
    const loop = async (): Promise<void> => {
      for await (const frames of socket) take(frames);
    };
    loop().catch((error: Error) => {
      if (!this.#closed) this.onNote(`a socket failed: ${error.message}`);
    });
  }

  #request(channel: Channel, frames: readonly Uint8Array[]): void {
    const parsed = parseZmqFrames(frames, this.#connection.key);
    const header = parsed && parseHeader(parsed.message.header);
    if (parsed === undefined || header === undefined) {
      this.onNote(`a message on ${channel} is not signed with the key of the connection file`);
      return;
    }
    const { identities, message } = parsed;
    if (channel === 'control' && this.#isOurs(header, message, identities)) return;
    if (channel !== 'stdin') this.#remember(header.msg_id, identities);
    if (this.#kernel === undefined) this.#waiting.push({ channel, message });
    else this.#kernel.send(channel, message);
  }

  /** Requests about the process, which is this one: they are answered here. */
  #isOurs(
    header: MessageHeader,
    message: JupyterMessage,
    identities: readonly Uint8Array[],
  ): boolean {
    const answer = (type: string, content: object): void => {
      const session = this.#kernel?.session ?? header.session;
      const parts = { header: newHeader(type, session), parent: message.header, content };
      this.#send(this.#control, zmqFrames(messageOf(parts), this.#connection.key, identities));
    };
    if (header.msg_type === 'interrupt_request') {
      this.interrupt().then(
        () => answer('interrupt_reply', { status: 'ok' }),
        (error: Error) =>
          answer('interrupt_reply', {
            status: 'error',
            ename: error.name,
            evalue: error.message,
            traceback: [],
          }),
      );
      return true;
    }
    if (header.msg_type !== 'shutdown_request') return false;
    const restart = parseObject(message.content)?.['restart'] === true;
    answer('shutdown_reply', { status: 'ok', restart });
    this.onShutdown();
    return true;
  }

  async interrupt(): Promise<void> {
    await this.#kernel?.interrupt();
  }

  #remember(msgId: string, identities: readonly Uint8Array[]): void {
    this.#senders.set(msgId, identities);
    if (this.#senders.size <= MOST_SENDERS) return;
    const [oldest] = this.#senders.keys();
    this.#senders.delete(oldest!);
  }

  #answer(channel: Channel, message: JupyterMessage, header: MessageHeader): void {
    const { key } = this.#connection;
    if (channel === 'iopub') {
      const topic = Buffer.from(`kernel.${this.#kernel?.session ?? ''}.${header.msg_type}`);
      this.#send(this.#iopub, zmqFrames(message, key, [topic]));
      return;
    }
    const parent = parseHeader(message.parent)?.msg_id ?? '';
    const identities = this.#senders.get(parent);
    // A request of another client of the same kernel, or one from before a restart.
    if (identities === undefined) return;
    const socket = { shell: this.#shell, control: this.#control, stdin: this.#stdin }[channel];
    this.#send(socket, zmqFrames(message, key, identities));
  }

  /** One after the other on each socket: it refuses a second send while one is under way. */
  #send(socket: Router | Publisher, frames: readonly Uint8Array[]): void {
    const before = this.#outboxes.get(socket) ?? Promise.resolve();
    const next = before
      .then(() =>
        this.#closed && socket.closed ? undefined : socket.send([...frames] as Buffer[]),
      )
      .catch((error: NodeJS.ErrnoException) => {
        // The client that asked has left.
        if (error.code !== 'EHOSTUNREACH') this.onNote(`sending failed: ${error.message}`);
      });
    this.#outboxes.set(socket, next);
  }
}

function router(): Router {
  return new Router({
    linger: LINGER_MS,
    mandatory: true,
    handover: true,
    sendTimeout: 0,
    sendHighWaterMark: 0,
    receiveHighWaterMark: 0,
  });
}

function endpointOf({ transport, ip }: ConnectionFile, port: number): string {
  return transport === 'ipc' ? `ipc://${ip}-${port}` : `tcp://${ip}:${port}`;
}

/** @throws NbosError file-not-found, file-corrupt */
export function readConnectionFile(path: string): ConnectionFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    throw new NbosError('file-not-found', `${path}: no such connection file`);
  }
  let value: Partial<Record<string, unknown>>;
  try {
    value = JSON.parse(text) as typeof value;
  } catch {
    value = {};
  }
  const ports = ['shell_port', 'iopub_port', 'stdin_port', 'control_port', 'hb_port'];
  const isWhole =
    (value['transport'] === 'tcp' || value['transport'] === 'ipc') &&
    typeof value['ip'] === 'string' &&
    ports.every((port) => Number.isInteger(value[port]));
  if (!isWhole)
    throw new NbosError(
      'file-corrupt',
      `${path} is not a connection file of Jupyter`,
      'It is written by the client that starts the kernel; this program is not run by hand.',
    );
  return { ...value, key: String(value['key'] ?? '') } as ConnectionFile;
}
