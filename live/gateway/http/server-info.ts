import type { Registry } from 'prom-client';
import type { AdminService } from '../admin-service.ts';
import type { KernelService } from '../kernel-service.ts';
import { Refusal, type Route } from './answers.ts';

/** Version of jupyter_server whose API this is; clients look at it. */
const JUPYTER_API = '2.21.0';

/** /api, /api/status, /api/me and /metrics. */
export function serverRoutes(
  service: KernelService,
  metrics: Registry,
  version: string,
  startedAt: Date,
): Route[] {
  const started = startedAt.toISOString();
  return [
    {
      method: 'GET',
      path: '/api',
      handle: (context) => context.json({ version: JUPYTER_API, gateway_version: version }),
    },
    {
      method: 'GET',
      path: '/api/status',
      handle: (context) => {
        const kernels = service.list(context.get('user'));
        const last = kernels.map(({ last_activity }) => last_activity).sort();
        return context.json({
          started,
          last_activity: last.at(-1) ?? started,
          connections: kernels.reduce((sum, { connections }) => sum + connections, 0),
          kernels: kernels.length,
        });
      },
    },
    {
      method: 'GET',
      path: '/api/me',
      handle: (context) => {
        const { id } = context.get('user');
        const identity = {
          username: id,
          name: id,
          display_name: id,
          initials: id.slice(0, 1).toUpperCase(),
          avatar_url: null,
          color: null,
        };
        return context.json({ identity, permissions: asked(context.req.query('permissions')) });
      },
    },
    {
      method: 'GET',
      path: '/metrics',
      handle: async (context) =>
        context.body(await metrics.metrics(), 200, { 'content-type': metrics.contentType }),
    },
  ];
}

/** Whoever has a token may all that is asked about. */
function asked(permissions: string | undefined): unknown {
  if (permissions === undefined) return {};
  try {
    const parsed = JSON.parse(permissions) as unknown;
    if (typeof parsed === 'object' && parsed !== null) return parsed;
  } catch {
    // Said below.
  }
  throw new Refusal(400, 'permissions should be a JSON dict of {"resource": ["action",]}');
}

/** Answer of /healthz, for whoever asks. */
export function healthOf(admin: AdminService): { status: 200 | 503; body: object } {
  const { ready, draining, reason } = admin.health();
  if (ready && !draining) return { status: 200, body: { status: 'ok' } };
  return { status: 503, body: { status: ready ? 'draining' : 'starting', reason } };
}
