import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import { type WebSocket, WebSocketServer } from 'ws';
import { V1_SUBPROTOCOL } from '../../jupyter/websocket-v1.ts';
import { hostAllowed, redacted, routingPath, userOf } from '../http/access.ts';
import {
  forbidden,
  noSuchKernel,
  Refusal,
  refusalOf,
  unavailable,
  wrongHost,
} from '../http/answers.ts';
import type { HttpLimits } from '../http/limits.ts';
import type { HttpMetrics, Refused } from '../http/metrics.ts';
import type { KernelService, User } from '../kernel-service.ts';
import type { Users } from '../users.ts';
import { Connection } from './connection.ts';
import { Connections } from './connections.ts';
import { framingFor } from './framing.ts';

const CHANNELS_PATH = /^\/api\/kernels\/([^/]+)\/channels$/;
/** for the closing handshake, after which the socket is destroyed */
const CLOSE_HANDSHAKE_MS = 10_000;
const SESSION_CHARS = 256;

export interface ChannelsParts {
  service: KernelService;
  users: Users;
  limits: HttpLimits;
  metrics: HttpMetrics;
  log: Logger;
  checkHost: boolean;
  /** Resolves when kernels are known. @throws Refusal 503 */
  whenReady: () => Promise<void>;
}

interface Wish {
  user: User;
  kernel: string;
  session: string;
}

/** WebSockets of GET /api/kernels/ID/channels: access is checked before the upgrade. */
export class Channels {
  readonly connections: Connections;
  readonly #parts: ChannelsParts;
  readonly #server: WebSocketServer;
  #closing = false;

  constructor(parts: ChannelsParts) {
    this.#parts = parts;
    this.connections = new Connections(parts.limits, parts.metrics);
    const options = {
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: parts.limits.messageBytes,
      // A burst of small frames takes a turn of the loop each.
      allowSynchronousEvents: false,
      closeTimeout: CLOSE_HANDSHAKE_MS,
      handleProtocols: (offered: Set<string>) => offered.has(V1_SUBPROTOCOL) && V1_SUBPROTOCOL,
    };
    this.#server = new WebSocketServer(options);
  }

  /** Handler of the HTTP server's `upgrade`. */
  readonly upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const onError = (error: Error): void => {
      this.#parts.log.debug({ err: error }, 'connection lost before its upgrade');
      socket.destroy();
    };
    socket.on('error', onError);
    this.#admit(request).then(
      (wish) => {
        socket.removeListener('error', onError);
        if (socket.destroyed) return;
        this.#server.handleUpgrade(request, socket, head, (ws) =>
          this.#opened(ws, request, socket, wish),
        );
      },
      (error) => this.#refuse(request, socket, refusalOf(error, this.#parts.log)),
    );
  };

  /** Ends all connections so that their clients come again. */
  async close(withinMs: number): Promise<void> {
    this.#closing = true;
    await this.connections.closeAll(withinMs);
  }

  async #admit(request: IncomingMessage): Promise<Wish> {
    const { service, users, limits, checkHost, whenReady } = this.#parts;
    const { host = '', authorization = '' } = request.headers;
    if (checkHost && !hostAllowed(host)) throw this.#counted('host', wrongHost());
    const url = urlOf(request.url ?? '');
    const user = userOf(users, authorization, url);
    if (user === undefined) throw this.#counted('token', forbidden());
    const kernel = CHANNELS_PATH.exec(routingPath(url.pathname))?.[1];
    if (kernel === undefined)
      throw this.#counted('handshake', new Refusal(404, 'No WebSocket is served here'));
    if (this.#closing) throw unavailable('The gateway restarts');
    if (this.connections.size >= limits.webSockets)
      throw this.#counted('limit', unavailable('Too many WebSockets are open'));
    await whenReady();
    if (service.get(kernel, user) === undefined)
      throw this.#counted('kernel', noSuchKernel(kernel));
    const session = url.searchParams.get('session_id') ?? '';
    return { user, kernel, session: session.slice(0, SESSION_CHARS) };
  }

  #opened(ws: WebSocket, request: IncomingMessage, socket: Duplex, wish: Wish): void {
    const { service, limits, metrics, log } = this.#parts;
    if ('setNoDelay' in socket)
      (socket as Duplex & { setNoDelay(on: boolean): void }).setNoDelay(true);
    const framing = framingFor(
      ws.protocol === V1_SUBPROTOCOL,
      request.headers['user-agent'] ?? '',
      limits.tornadoFrameBytes,
    );
    const connection = new Connection({ ws, socket, ...wish, framing, limits, metrics, log });
    this.connections.add(connection);
    ws.on('close', () => this.connections.delete(connection));
    try {
      connection.attach(service.attach(wish.kernel, connection));
    } catch (error) {
      log.warn({ err: error, kernel: wish.kernel }, 'a client could not be attached');
      connection.close(1011, (error as Error).message);
    }
  }

  #counted(why: Refused, refusal: Refusal): Refusal {
    this.#parts.metrics.refused.inc({ why });
    return refusal;
  }

  #refuse(request: IncomingMessage, socket: Duplex, refusal: Refusal): void {
    const url = redacted(request.url ?? '');
    this.#parts.log.info({ url, status: refusal.status }, refusal.message);
    if (!socket.writable) return void socket.destroy();
    const body = JSON.stringify(refusal.body);
    const headers = {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(body)),
      connection: 'close',
      ...refusal.headers,
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const status = `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}\r\n`;
    socket.once('finish', () => socket.destroy());
    socket.end(`${status}${lines.join('')}\r\n${body}`);
  }
}

/** @throws Refusal 400 */
export function urlOf(target: string): URL {
  try {
    return new URL(target, 'http://gateway');
  } catch {
    throw new Refusal(400, 'The request names no valid URL');
  }
}
