import { Hono } from 'hono';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { AdminService } from '../admin-service.ts';
import type { KernelService, User } from '../kernel-service.ts';
import type { Users } from '../users.ts';
import { hostAllowed, redacted, routingPath, userOf } from './access.ts';
import { adminRoutes } from './admin.ts';
import {
  type ApiContext,
  forbidden,
  Refusal,
  type Route,
  refusalOf,
  refuse,
  unavailable,
  wrongHost,
} from './answers.ts';
import { contentsRoutes } from './contents.ts';
import { kernelRoutes } from './kernels.ts';
import { kernelspecRoutes } from './kernelspecs.ts';
import type { HttpLimits } from './limits.ts';
import type { HttpMetrics } from './metrics.ts';
import { healthOf, serverRoutes } from './server-info.ts';
import { sessionRoutes } from './sessions.ts';

type App = Hono<{ Variables: { user: User; route: string } }>;

export interface AppParts {
  service: KernelService;
  admin: AdminService;
  users: Users;
  limits: HttpLimits;
  registry: Registry;
  metrics: HttpMetrics;
  log: Logger;
  contentsRoot: string;
  enableFaults: boolean;
  version: string;
  /** answer names of the loopback only */
  checkHost: boolean;
  /** @throws Refusal 503 */
  whenReady: () => Promise<void>;
}

/** Every route but the WebSockets. */
export function httpApp(parts: AppParts): App {
  const app: App = new Hono({ getPath: (request) => routingPath(pathnameOf(request.url)) });
  app.onError((error, context) => refuse(context as ApiContext, refusalOf(error, parts.log)));
  guard(app, parts);
  register(app, [
    ...serverRoutes(parts.service, parts.registry, parts.version, new Date()),
    ...kernelspecRoutes(parts.service),
    ...kernelRoutes({ ...parts, takesWork: () => takesWork(parts.admin) }),
    ...sessionRoutes({ ...parts, takesWork: () => takesWork(parts.admin) }),
    ...contentsRoutes(parts.contentsRoot, parts.limits),
    ...adminRoutes(parts),
  ]);
  app.notFound((context) =>
    refuse(context as ApiContext, new Refusal(404, `Not found: ${context.req.path.slice(0, 200)}`)),
  );
  return app;
}

/** The path as it was sent: routes decode their parameters themselves, once. */
function pathnameOf(url: string): string {
  const start = url.indexOf('/', url.indexOf('//') + 2);
  const end = url.search(/[?#]/);
  return url.slice(start, end === -1 ? undefined : end);
}

/** Who may pass, in this order: anyone to OPTIONS and /healthz, the rest with a token. */
function guard(app: App, parts: AppParts): void {
  const { admin, users, metrics, checkHost, whenReady } = parts;
  app.use(async (context, next) => {
    await next();
    observe(context, parts);
  });
  app.use(async (context, next) => {
    if (!checkHost || hostAllowed(context.req.header('host') ?? '')) return next();
    metrics.refused.inc({ why: 'host' });
    throw wrongHost();
  });
  app.options('*', (context) =>
    context.body(null, 204, { allow: 'GET, POST, PUT, PATCH, DELETE, OPTIONS' }),
  );
  app.get('/healthz', (context) => {
    context.set('route', '/healthz');
    const { status, body } = healthOf(admin);
    return context.json(body, status);
  });
  app.use(async (context, next) => {
    const url = new URL(context.req.url);
    const user = userOf(users, context.req.header('authorization') ?? '', url);
    if (user === undefined) {
      metrics.refused.inc({ why: 'token' });
      throw forbidden();
    }
    context.set('user', user);
    return next();
  });
  // A kernel that has not been reported yet must not seem gone.
  for (const path of ['/api/kernels/*', '/api/sessions/*', '/nbos/kernels/*'])
    app.use(path, async (_, next) => {
      await whenReady();
      return next();
    });
}

function register(app: App, routes: readonly Route[]): void {
  for (const { method, path, admin = false, handle } of routes)
    app.on(method, path, (context) => {
      context.set('route', path);
      if (admin && !context.get('user').admin)
        throw new Refusal(403, 'Only an admin may do this', {
          extra: { code: 'token-invalid', hint: 'Use the token that nbos up printed.' },
        });
      return handle(context);
    });
  for (const path of new Set(routes.map((route) => route.path)))
    app.all(path, (context) => {
      context.set('route', path);
      const allow = routes.filter((route) => route.path === path).map(({ method }) => method);
      throw new Refusal(405, `Not a method of ${path}: ${context.req.method}`, {
        headers: { allow: allow.join(', ') },
      });
    });
}

function observe(context: ApiContext, { metrics, log }: AppParts): void {
  const { method } = context.req;
  const { status } = context.res;
  metrics.requests.inc({ method, route: context.get('route') ?? 'none', status });
  if (status === 400 || status === 413) metrics.refused.inc({ why: 'body' });
  const level = status >= 500 ? 'info' : 'debug';
  log[level]({ method, url: redacted(context.req.url), status }, 'request');
}

function takesWork(admin: AdminService): void {
  const { draining, reason } = admin.health();
  if (draining) throw unavailable(reason || 'The gateway takes no new kernels');
}
