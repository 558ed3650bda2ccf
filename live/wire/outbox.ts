import type { Logger } from 'pino';
import type { MessageLike } from 'zeromq';

/** The sending half of a ZeroMQ socket. */
export interface Sender {
  send(frames: MessageLike[]): Promise<void>;
}

/**
 * Sends in order, one message after the other: a socket throws at a second send while one is under
 * way. Never waits; what cannot be sent is given to `onLost` and dropped.
 */
export class Outbox {
  readonly #socket: Sender;
  readonly #log: Logger;
  readonly #onLost: (frames: MessageLike[]) => void;
  #queue: MessageLike[][] = [];
  #pumping = false;
  #closed = false;

  constructor(socket: Sender, log: Logger, onLost: (frames: MessageLike[]) => void) {
    this.#socket = socket;
    this.#log = log;
    this.#onLost = onLost;
  }

  send(frames: MessageLike[]): void {
    if (this.#closed) return;
    this.#queue.push(frames);
    if (!this.#pumping) void this.#pump();
  }

  /** Drops what waits. */
  close(): void {
    this.#closed = true;
    this.#queue = [];
  }

  async #pump(): Promise<void> {
    this.#pumping = true;
    while (this.#queue.length > 0) {
      const batch = this.#queue;
      this.#queue = [];
      for (const frames of batch) {
        if (this.#closed) break;
        try {
          await this.#socket.send(frames);
        } catch (error) {
          if (this.#closed) break;
          this.#log.debug({ err: error }, 'a message could not be sent');
          this.#onLost(frames);
        }
      }
    }
    this.#pumping = false;
  }
}
