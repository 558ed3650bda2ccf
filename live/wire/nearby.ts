import type { Gatekeeper } from './zap.ts';

/** One end of a connection: what it does with what comes from the other. */
export interface NearEnd {
  take(frames: Buffer[]): void;
  /** the other end is gone */
  gone(): void;
}

/** A server that processes of the same process may reach without a socket. */
export interface NearServer {
  readonly allowed: Gatekeeper;
  /** A client came; what it says goes to the end that is returned. */
  accept(connection: string, line: NearLine): NearEnd;
}

type Frame = Uint8Array | string;

/**
 * One direction of a connection. What is sent arrives in order and in a later turn of the loop, as
 * with a socket: nobody is called back while it still speaks.
 */
export class NearLine {
  readonly #to: () => NearEnd;
  #queue: Frame[][] = [];
  #closed = false;

  constructor(to: () => NearEnd) {
    this.#to = to;
  }

  send(frames: Frame[]): void {
    if (this.#closed) return;
    if (this.#queue.push(frames) === 1) setImmediate(() => this.#deliver());
  }

  /** What was sent before still arrives; then the other end is told. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    setImmediate(() => {
      this.#deliver();
      this.#to().gone();
    });
  }

  #deliver(): void {
    const queue = this.#queue;
    this.#queue = [];
    for (const frames of queue) this.#to().take(frames.map(bufferOf));
  }
}

/**
 * Servers of this process by their public key: gateway and hosts of `nbos up` are one process, and
 * need neither sockets nor encryption between them. Keys are checked all the same.
 */
export class Nearby {
  readonly #servers = new Map<string, NearServer>();
  #connections = 0;

  /** Returns the end of it. */
  add(publicKey: string, server: NearServer): () => void {
    this.#servers.set(publicKey, server);
    return () => {
      if (this.#servers.get(publicKey) === server) this.#servers.delete(publicKey);
    };
  }

  /**
   * Connects to the server with this key: the line to speak over, 'refused' when it does not let
   * `publicKey` in, undefined when there is none in this process.
   */
  connect(serverKey: string, publicKey: string, end: NearEnd): NearLine | 'refused' | undefined {
    const server = this.#servers.get(serverKey);
    if (server === undefined) return undefined;
    if (server.allowed.nameOf(publicKey) === undefined) return 'refused';
    const back = new NearLine(() => end);
    const far = server.accept(`near-${++this.#connections}`, back);
    return new NearLine(() => far);
  }
}

function bufferOf(frame: Frame): Buffer {
  if (typeof frame === 'string') return Buffer.from(frame);
  return Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
}
