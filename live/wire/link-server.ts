import type { Logger } from 'pino';
import { Router } from 'zeromq';
import { type ErrorCode, NbosError } from '../../core/errors.ts';
import type { Head, Vocabulary } from './codec.ts';
import type { KeyPair } from './keys.ts';
import { turnBegins } from './loop-turns.ts';
import { WIRE_FORMAT } from './messages.ts';
import type { Nearby, NearEnd, NearLine } from './nearby.ts';
import { Outbox } from './outbox.ts';
import { receiveAll } from './receive.ts';
import { type Domain, type Gatekeeper, guard } from './zap.ts';

export interface LinkServerOptions {
  /** 'tcp://127.0.0.1:0' takes a free port */
  endpoint: string;
  keys: KeyPair;
  /** who may connect; see AllowList */
  allowed: Gatekeeper;
  /** kinds of messages that are taken; others are dropped and counted */
  words: Vocabulary;
  log: Logger;
  /** where clients of this process find this server */
  nearby?: Nearby | undefined;
  /**
   * First message of a connection, of a format this build reads. `connection` names it until it is
   * gone; the same client that connects anew gets another one. Return false to refuse.
   */
  onHello(connection: string, hello: Head): boolean;
  onMessage(connection: string, head: Head, frames: Buffer[]): void;
  /** Something could not be sent because the connection is no more. */
  onGone(connection: string): void;
}

export interface LinkCounts {
  /** handshakes with keys that are not allowed, hellos under names that are not theirs */
  refused: number;
  /** messages that were no messages, or came before hello */
  dropped: number;
}

const MAX_MESSAGE_BYTES = 2 ** 29;
const MAX_HEARTBEATS_MS = 3000;

/** The listening side of links: a ROUTER under CURVE that lets in keys of a list only. */
export class LinkServer {
  readonly #socket: Router;
  readonly #options: LinkServerOptions;
  readonly #domain: Domain;
  readonly #outbox: Outbox;
  readonly #greeted = new Set<string>();
  /** connections without a socket */
  readonly #near = new Map<string, NearLine>();
  readonly #unlist: () => void;
  #refusedNear = 0;
  #refusedHellos = 0;
  #dropped = 0;
  #closed = false;

  private constructor(options: LinkServerOptions, socket: Router, domain: Domain) {
    this.#options = options;
    this.#socket = socket;
    this.#domain = domain;
    this.#outbox = new Outbox(socket, options.log, (frames) =>
      this.#lost((frames[0] as Buffer).toString('latin1')),
    );
    const { nearby, keys } = options;
    this.#unlist =
      nearby?.add(keys.publicKey, {
        allowed: { nameOf: (key) => this.#known(key) },
        accept: (connection, line) => this.#accept(connection, line),
      }) ?? (() => {});
  }

  /** Throws `port-taken` when the endpoint cannot be bound. */
  static async listen(options: LinkServerOptions): Promise<LinkServer> {
    const domain = await guard(options.allowed, options.log);
    const socket = new Router({
      linger: 0,
      mandatory: true,
      sendTimeout: 0,
      sendHighWaterMark: 0,
      receiveHighWaterMark: 0,
      maxMessageSize: MAX_MESSAGE_BYTES,
      curveServer: true,
      curvePublicKey: options.keys.publicKey,
      curveSecretKey: options.keys.secretKey,
      zapDomain: domain.name,
      zapEnforceDomain: true,
      heartbeatInterval: 1000,
      heartbeatTimeout: MAX_HEARTBEATS_MS,
    });
    try {
      await socket.bind(options.endpoint);
    } catch (error) {
      socket.close();
      domain.release();
      throw new NbosError(
        'port-taken',
        `cannot listen on ${options.endpoint}: ${(error as Error).message}`,
        'Another system may use it: stop that one, or choose another port or data directory.',
      );
    }
    const server = new LinkServer(options, socket, domain);
    void receiveAll(
      socket,
      ([id, ...frames]) => server.#take(id!.toString('latin1'), frames),
      options.log,
      () => server.#closed,
    );
    return server;
  }

  /** With the port that was taken. */
  get endpoint(): string {
    return this.#socket.lastEndpoint ?? this.#options.endpoint;
  }

  get counts(): LinkCounts {
    const refused = this.#domain.refused + this.#refusedNear + this.#refusedHellos;
    return { refused, dropped: this.#dropped };
  }

  /** Never waits. What is sent to a connection that is gone is lost, and `onGone` tells. */
  send(connection: string, head: object, frames: readonly Uint8Array[] = []): void {
    const line = this.#near.get(connection);
    const message = [JSON.stringify(head), ...frames];
    if (line !== undefined) line.send(message);
    else this.#outbox.send([Buffer.from(connection, 'latin1'), ...message]);
  }

  /** Tells a connection that it is not wanted, and counts it. */
  refuse(connection: string, code: ErrorCode, message: string): void {
    this.#options.log.warn({ code }, `refused a link: ${message}`);
    this.send(connection, { t: 'refused', code, message });
    this.#refusedHellos++;
  }

  /** Takes nothing from this connection any more, until it says hello again. */
  forget(connection: string): void {
    this.#greeted.delete(connection);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#unlist();
    for (const line of this.#near.values()) line.close();
    this.#near.clear();
    this.#outbox.close();
    this.#socket.close();
    this.#domain.release();
  }

  #known(publicKey: string): string | undefined {
    const name = this.#options.allowed.nameOf(publicKey);
    if (name === undefined) this.#refusedNear++;
    return name;
  }

  #accept(connection: string, line: NearLine): NearEnd {
    this.#near.set(connection, line);
    return {
      take: (frames) => {
        if (this.#near.get(connection) === line) this.#take(connection, frames);
      },
      gone: () => {
        if (this.#near.delete(connection)) this.#lost(connection);
      },
    };
  }

  #take(connection: string, frames: readonly Buffer[]): void {
    if (this.#closed) return;
    turnBegins();
    const head = this.#options.words.read(frames[0]);
    if (head === undefined) {
      this.#dropped++;
      return;
    }
    try {
      if (isHello(head)) this.#greet(connection, head);
      else if (!this.#greeted.has(connection)) this.#dropped++;
      else this.#options.onMessage(connection, head, frames.slice(1));
    } catch (error) {
      // A field of a wrong shape must not end the link for everyone.
      this.#dropped++;
      this.#options.log.warn({ err: error, kind: head.t }, 'a message could not be handled');
    }
  }

  #greet(connection: string, hello: Head & { v: number }): void {
    if (hello.v > WIRE_FORMAT || hello.v < 1) {
      const message = `wire format ${hello.v} is not spoken here, up to ${WIRE_FORMAT} is`;
      this.#options.log.warn({ v: hello.v }, message);
      this.send(connection, { t: 'refused', code: 'format-version', message });
      this.#dropped++;
      return;
    }
    if (this.#options.onHello(connection, hello)) this.#greeted.add(connection);
    else this.#greeted.delete(connection);
  }

  #lost(connection: string): void {
    if (!this.#greeted.delete(connection)) return;
    this.#options.onGone(connection);
  }
}

function isHello(head: Head): head is Head & { v: number } {
  return head.t === 'hello' || head.t === 'peer-hello';
}
