import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { getRequestListener } from '@hono/node-server';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { NbosError } from '../../../core/errors.ts';
import type { AdminService } from '../admin-service.ts';
import type { KernelService } from '../kernel-service.ts';
import type { Users } from '../users.ts';
import { Channels } from '../websocket/upgrade.ts';
import { isLoopback } from './access.ts';
import { unavailable } from './answers.ts';
import { httpApp } from './app.ts';
import { HTTP_LIMITS, type HttpLimits } from './limits.ts';
import { type HttpMetrics, httpMetrics } from './metrics.ts';

const READY_POLL_MS = 25;
const KEEP_ALIVE_MS = 30_000;
const HEADER_BYTES = 32_768;

export interface HttpOptions {
  service: KernelService;
  admin: AdminService;
  users: Users;
  /** address to bind; beyond loopback it needs `tls` or `behindProxy` */
  host: string;
  /** 0 for any free one */
  port: number;
  log: Logger;
  metrics: Registry;
  /** folder that /api/contents shows */
  contentsRoot: string;
  enableFaults: boolean;
  version: string;
  /** PEM */
  tls?: { cert: string; key: string };
  behindProxy?: boolean;
  limits?: Partial<HttpLimits>;
}

export interface HttpServer {
  readonly port: number;
  /** without a slash at the end */
  readonly url: string;
  /**
   * No new connections; WebSockets are closed with 1012, requests that run may finish within
   * `closeMs`. Without `graceful` everything ends at once.
   */
  close(graceful: boolean): Promise<void>;
}

/**
 * Serves the Jupyter API, its WebSockets, and the admin API.
 * @throws NbosError bind-insecure, port-taken
 */
export async function serveHttp(options: HttpOptions): Promise<HttpServer> {
  const { service, admin, users, host, log } = options;
  const limits = { ...HTTP_LIMITS, ...options.limits };
  refuseInsecure(options);
  const metrics = httpMetrics(options.metrics);
  const shared = {
    service,
    users,
    limits,
    metrics,
    log,
    checkHost: isLoopback(host) && options.behindProxy !== true,
    whenReady: () => whenReady(admin, limits.readyWaitMs),
  };
  const channels = new Channels(shared);
  const app = httpApp({ ...options, ...shared, registry: options.metrics });
  const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false });
  const server = newServer(
    options,
    limits,
    (request, response) => void listener(request, response),
  );
  server.on('upgrade', channels.upgrade);
  countGarbage(server, metrics);
  users.onRemoved = (user) => channels.connections.dropUser(user);
  try {
    await listen(server, options);
  } catch (error) {
    await channels.close(0);
    throw error;
  }
  const { port } = server.address() as AddressInfo;
  const scheme = options.tls === undefined ? 'http' : 'https';
  return {
    port,
    url: `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`,
    close: (graceful) => close(server, channels, graceful ? limits.closeMs : 0),
  };
}

function refuseInsecure({ host, tls, behindProxy }: HttpOptions): void {
  if (isLoopback(host) || tls !== undefined || behindProxy === true) return;
  throw new NbosError(
    'bind-insecure',
    `${host} can be reached from elsewhere, and tokens would travel in the clear`,
    'Give --tls-cert and --tls-key, or --behind-proxy when a proxy in front does TLS.',
  );
}

function newServer(
  { tls }: HttpOptions,
  limits: HttpLimits,
  listener: Parameters<typeof createServer>[1] & {},
): Server {
  const settings = {
    headersTimeout: limits.headersMs,
    requestTimeout: limits.requestMs,
    connectionsCheckingInterval: Math.min(5_000, limits.headersMs),
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxHeaderSize: HEADER_BYTES,
    noDelay: true,
  };
  const server: Server =
    tls === undefined
      ? createServer(settings, listener)
      : createTlsServer({ ...settings, ...tls }, listener);
  server.maxConnections = limits.connections;
  return server;
}

/** What is no HTTP gets 400 and is counted; nobody else notices. */
function countGarbage(server: Server, metrics: HttpMetrics): void {
  const refuse = (error: NodeJS.ErrnoException, socket: Duplex): void => {
    metrics.refused.inc({ why: 'garbage' });
    if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
    const status =
      error.code === 'HPE_HEADER_OVERFLOW' ? '431 Headers Too Large' : '400 Bad Request';
    socket.once('finish', () => socket.destroy());
    socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
  };
  server.on('clientError', refuse);
  server.on('drop', () => metrics.refused.inc({ why: 'limit' }));
  server.on('connect', (_: IncomingMessage, socket: Duplex) => {
    metrics.refused.inc({ why: 'garbage' });
    socket.destroy();
  });
}

function listen(server: Server, { host, port }: HttpOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE')
        reject(
          new NbosError(
            'port-taken',
            `port ${port} on ${host} is in use`,
            'Choose another with --port, or stop what listens there.',
          ),
        );
      else
        reject(
          new NbosError(
            'config-bad-value',
            `cannot listen on ${host} port ${port}: ${error.message}`,
            'Choose another with --host and --port.',
          ),
        );
    });
    server.listen(port, host, () => {
      server.removeAllListeners('error');
      server.on('error', () => undefined);
      resolve();
    });
  });
}

/** @throws Refusal 503 when it takes longer */
async function whenReady(admin: AdminService, waitMs: number): Promise<void> {
  const until = performance.now() + waitMs;
  for (;;) {
    const { ready, reason } = admin.health();
    if (ready) return;
    if (performance.now() >= until) throw unavailable(reason || 'The gateway is starting');
    await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
  }
}

async function close(server: Server, channels: Channels, withinMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  const limit = setTimeout(() => server.closeAllConnections(), withinMs);
  await channels.close(withinMs);
  await closed;
  clearTimeout(limit);
}
