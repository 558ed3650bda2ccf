import type { Logger } from 'pino';
import { Dealer } from 'zeromq';
import type { Head, Vocabulary } from './codec.ts';
import type { KeyPair } from './keys.ts';
import { turnBegins } from './loop-turns.ts';
import type { Nearby, NearLine } from './nearby.ts';
import { Outbox } from './outbox.ts';
import { receiveAll } from './receive.ts';

export interface LinkClientOptions {
  endpoint: string;
  /** the server's public key, Z85 */
  serverKey: string;
  keys: KeyPair;
  words: Vocabulary;
  log: Logger;
  /** servers of this process: one of them is reached without a socket */
  nearby?: Nearby | undefined;
  /** First message of each connection. */
  hello(): object;
  /** Connected, and `hello` is on its way. */
  onUp(): void;
  /** The connection ended; what was under way may be lost. Another is being tried. */
  onDown(): void;
  onMessage(head: Head, frames: Buffer[]): void;
  /** The other side does not want this link; it is tried again all the same. */
  onRefused?: ((why: string) => void) | undefined;
  /** ms between attempts */
  retryMs?: number;
}

const MAX_MESSAGE_BYTES = 2 ** 29;
const REFUSED_RETRY_MS = 1000;

/**
 * The connecting side of a link. Each connection has its own socket, so that nothing that was meant
 * for a lost one arrives in the next before its hello.
 */
export class LinkClient {
  readonly #options: LinkClientOptions;
  #socket: Dealer | undefined;
  #line: NearLine | undefined;
  #outbox: Outbox | undefined;
  #up = false;
  #closed = false;
  #dropped = 0;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: LinkClientOptions) {
    this.#options = options;
    this.#connect();
  }

  get up(): boolean {
    return this.#up;
  }

  /** messages that were no messages */
  get dropped(): number {
    return this.#dropped;
  }

  /** False when there is no connection: then nothing is sent. */
  send(head: object, frames: readonly Uint8Array[] = []): boolean {
    const way = this.#line ?? this.#outbox;
    if (!this.#up || way === undefined) return false;
    way.send([JSON.stringify(head), ...frames]);
    return true;
  }

  /** Ends this connection and begins another. */
  reconnect(): void {
    this.#drop(this.#options.retryMs ?? 20);
  }

  close(): void {
    this.#closed = true;
    this.#drop(0);
    clearTimeout(this.#retry);
  }

  #connect(): void {
    if (this.#closed || this.#connectNearby()) return;
    const { endpoint, serverKey, keys, log } = this.#options;
    const retryMs = this.#options.retryMs ?? 20;
    const socket = new Dealer({
      // What was said last may still leave when the link is closed on purpose.
      linger: 100,
      sendHighWaterMark: 0,
      receiveHighWaterMark: 0,
      maxMessageSize: MAX_MESSAGE_BYTES,
      reconnectInterval: retryMs,
      reconnectMaxInterval: 100,
      handshakeInterval: 5000,
      heartbeatInterval: 1000,
      heartbeatTimeout: 3000,
      curvePublicKey: keys.publicKey,
      curveSecretKey: keys.secretKey,
      curveServerKey: serverKey,
    });
    this.#socket = socket;
    this.#outbox = new Outbox(socket, log, () => undefined);
    const current = (): boolean => this.#socket === socket;
    socket.events.on('handshake', () => {
      if (current() && !this.#up) this.#greet();
    });
    socket.events.on('disconnect', () => {
      if (current()) this.#drop(retryMs);
    });
    socket.events.on('handshake:error:auth', () => {
      if (current()) this.#keyRefused();
    });
    socket.connect(endpoint);
    void receiveAll(
      socket,
      (frames) => this.#take(frames),
      log,
      () => !current(),
    );
  }

  /** Whether the server is in this process: then there is a line to it, or soon another try. */
  #connectNearby(): boolean {
    const { nearby, serverKey, keys } = this.#options;
    let line: NearLine | 'refused' | undefined;
    const current = (): boolean => line !== undefined && this.#line === line;
    line = nearby?.connect(serverKey, keys.publicKey, {
      take: (frames) => {
        if (current()) this.#take(frames);
      },
      gone: () => {
        if (current()) this.#drop(this.#options.retryMs ?? 20);
      },
    });
    if (line === undefined) return false;
    if (line === 'refused') {
      this.#keyRefused();
      return true;
    }
    this.#line = line;
    setImmediate(() => {
      if (current()) this.#greet();
    });
    return true;
  }

  #keyRefused(): void {
    const { endpoint, log, onRefused } = this.#options;
    const why = 'the other side does not allow our key';
    log.warn({ endpoint }, why);
    onRefused?.(why);
    this.#drop(REFUSED_RETRY_MS);
  }

  #greet(): void {
    this.#up = true;
    this.send(this.#options.hello());
    this.#options.onUp();
  }

  #drop(retryMs: number): void {
    const wasUp = this.#up;
    this.#up = false;
    this.#outbox?.close();
    this.#outbox = undefined;
    this.#socket?.close();
    this.#socket = undefined;
    this.#line?.close();
    this.#line = undefined;
    clearTimeout(this.#retry);
    if (!this.#closed) this.#retry = setTimeout(() => this.#connect(), retryMs);
    if (wasUp) this.#options.onDown();
  }

  #take(frames: Buffer[]): void {
    if (!this.#up) return;
    turnBegins();
    const head = this.#options.words.read(frames[0]);
    if (head === undefined) {
      this.#dropped++;
      return;
    }
    if (head.t === 'refused') {
      const { code, message } = head as unknown as { code: string; message: string };
      this.#options.log.error({ code }, `the other side refused this link: ${message}`);
      this.#options.onRefused?.(message);
      this.#drop(REFUSED_RETRY_MS);
      return;
    }
    try {
      this.#options.onMessage(head, frames.slice(1));
    } catch (error) {
      this.#dropped++;
      this.#options.log.warn({ err: error, kind: head.t }, 'a message could not be handled');
    }
  }
}
