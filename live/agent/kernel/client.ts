import { randomUUID } from 'node:crypto';
import { Context, Dealer, Request, Subscriber } from 'zeromq';
import { compact } from '../../jupyter/compact.ts';
import type { JupyterMessage } from '../../jupyter/message.ts';
import { parseZmqFrames, zmqFrames } from '../../jupyter/zmq-message.ts';
import { turnBegins } from '../../wire/loop-turns.ts';
import type { Connection } from './connection.ts';

export type KernelChannel = 'shell' | 'control' | 'stdin' | 'iopub';
type SendChannel = Exclude<KernelChannel, 'iopub'>;

/** Four sockets a kernel, and hundreds of kernels on a host: the library's default is too few. */
const MAX_SOCKETS = 16_384;
/** A burst of messages is handled for so long before others get their turn of the loop. */
const BURST_MS = 2;
const RECONNECT_MS = 20;

let shared: Context | undefined;

function context(): Context {
  shared ??= new Context({ maxSockets: MAX_SOCKETS });
  return shared;
}

export interface ClientHandlers {
  message(channel: KernelChannel, message: JupyterMessage): void;
  /** something from the kernel that is no message */
  garbage(channel: KernelChannel): void;
}

/**
 * The ZMQ side of one kernel. What comes is handed over in order, channel by channel; iopub is read
 * for ever and without a high-water mark, for a kernel drops what a slow reader does not take.
 */
export class KernelClient {
  readonly #connection: Connection;
  readonly #handlers: ClientHandlers;
  readonly #sockets: Record<SendChannel, Dealer>;
  readonly #iopub: Subscriber;
  readonly #outboxes: Record<SendChannel, Uint8Array[][]> = { shell: [], control: [], stdin: [] };
  readonly #sending = { shell: false, control: false, stdin: false };
  #closed = false;

  constructor(connection: Connection, handlers: ClientHandlers) {
    this.#connection = connection;
    this.#handlers = handlers;
    // The kernel asks for input by the identity that the request came from.
    const identity = randomUUID();
    this.#sockets = {
      shell: dealer(connection.shell, identity),
      control: dealer(connection.control, randomUUID()),
      stdin: dealer(connection.stdin, identity),
    };
    this.#iopub = new Subscriber({
      context: context(),
      receiveHighWaterMark: 0,
      linger: 0,
      reconnectInterval: RECONNECT_MS,
    });
    this.#iopub.connect(connection.iopub);
    this.#iopub.subscribe();
    for (const channel of ['shell', 'control', 'stdin'] as const)
      void this.#read(channel, this.#sockets[channel]);
    void this.#read('iopub', this.#iopub);
  }

  /** Signs and sends; messages of a channel leave in the order of the calls. */
  send(channel: SendChannel, message: JupyterMessage): void {
    if (this.#closed) return;
    this.#outboxes[channel].push(zmqFrames(message, this.#connection.key));
    if (!this.#sending[channel]) void this.#flush(channel);
  }

  async #flush(channel: SendChannel): Promise<void> {
    this.#sending[channel] = true;
    const outbox = this.#outboxes[channel];
    try {
      while (outbox.length > 0) {
        const frames = outbox.shift()!;
        await this.#sockets[channel].send(frames as Buffer[]);
      }
    } catch {
      // The sockets are closed: the process is gone, and whoever waits is told by that.
      outbox.length = 0;
    } finally {
      this.#sending[channel] = false;
    }
  }

  async #read(channel: KernelChannel, socket: Dealer | Subscriber): Promise<void> {
    let since = performance.now();
    try {
      while (!this.#closed) {
        this.#take(channel, await socket.receive());
        if (performance.now() - since < BURST_MS) continue;
        await new Promise(setImmediate);
        since = performance.now();
      }
    } catch {
      // A closed socket ends the reading.
    }
  }

  #take(channel: KernelChannel, frames: readonly Uint8Array[]): void {
    if (this.#closed) return;
    turnBegins();
    // Only the owner of the private directory reaches these sockets: nothing to verify.
    const parsed = parseZmqFrames(frames);
    if (parsed === undefined) this.#handlers.garbage(channel);
    else this.#handlers.message(channel, compact(parsed.message));
  }

  /** Whether the kernel's heartbeat answers within `ms`; it does so also while a cell runs. */
  async beats(ms: number): Promise<boolean> {
    const socket = new Request({
      context: context(),
      linger: 0,
      receiveTimeout: ms,
      sendTimeout: ms,
    });
    try {
      socket.connect(this.#connection.heartbeat);
      await socket.send('beat');
      await socket.receive();
      return true;
    } catch {
      return false;
    } finally {
      socket.close();
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const socket of Object.values(this.#sockets)) socket.close();
    this.#iopub.close();
  }
}

function dealer(endpoint: string, identity: string): Dealer {
  const socket = new Dealer({
    context: context(),
    routingId: identity,
    linger: 0,
    sendHighWaterMark: 0,
    receiveHighWaterMark: 0,
    reconnectInterval: RECONNECT_MS,
  });
  socket.connect(endpoint);
  return socket;
}
