import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { Logger } from 'pino';
import { type ErrorCode, NbosError } from '../../../core/errors.ts';
import type { User } from '../kernel-service.ts';

export type ApiContext = Context<{ Variables: { user: User; route: string } }>;

export interface Route {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  path: string;
  /** only an admin may */
  admin?: boolean;
  handle: (context: ApiContext) => Response | Promise<Response>;
}

/** An answer that is no success, thrown by whoever finds out; Jupyter's form of errors. */
export class Refusal extends Error {
  readonly status: ContentfulStatusCode;
  readonly reason: string | null;
  readonly extra: Record<string, unknown>;
  readonly headers: Record<string, string>;

  constructor(
    status: ContentfulStatusCode,
    message: string,
    more: {
      reason?: string;
      extra?: Record<string, unknown>;
      headers?: Record<string, string>;
    } = {},
  ) {
    super(message);
    this.name = 'Refusal';
    this.status = status;
    this.reason = more.reason ?? null;
    this.extra = more.extra ?? {};
    this.headers = more.headers ?? {};
  }

  get body(): Record<string, unknown> {
    return { message: this.message, reason: this.reason, ...this.extra };
  }
}

/** Codes whose answer is not 500. */
const STATUS: { readonly [Code in ErrorCode]?: ContentfulStatusCode } = {
  'message-invalid': 400,
  'request-invalid': 400,
  'config-bad-value': 400,
  'config-unknown-key': 400,
  quota: 403,
  'token-invalid': 403,
  'kernel-unknown': 404,
  'user-unknown': 404,
  'file-not-found': 404,
  'file-exists': 409,
  'user-exists': 409,
  'migrate-refused': 409,
  'change-refused': 409,
};

/** Whatever was thrown, as a Refusal; what nobody expected is logged and not told. */
export function refusalOf(error: unknown, log: Logger): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof NbosError) {
    const status = STATUS[error.code] ?? 500;
    if (status === 500) log.warn({ err: error, code: error.code }, 'request failed');
    const more = error.hint === '' ? {} : { reason: error.hint };
    return new Refusal(status, error.message, {
      ...more,
      extra: { code: error.code, hint: error.hint },
    });
  }
  log.error({ err: error }, 'request failed unexpectedly');
  return new Refusal(500, 'Internal error of the gateway; its log says more');
}

export function refuse(context: ApiContext, refusal: Refusal): Response {
  return context.json(refusal.body, refusal.status, refusal.headers);
}

/** 403 for none or a wrong token. */
export function forbidden(): Refusal {
  return new Refusal(403, 'Forbidden', {
    extra: {
      code: 'token-invalid',
      hint: 'Send the token as "Authorization: token TOKEN", or as ?token=TOKEN.',
    },
  });
}

export function wrongHost(): Refusal {
  return new Refusal(403, 'This address is served under the names of the loopback only', {
    reason: 'Use http://127.0.0.1 or http://localhost, or serve it behind a proxy.',
  });
}

export function unavailable(why: string): Refusal {
  return new Refusal(503, why, { headers: { 'retry-after': '1' } });
}

export function noSuchKernel(id: string): Refusal {
  return new Refusal(404, `Kernel does not exist: ${id}`);
}

/** Rejects with `late()` when `promise` takes longer than `ms`. */
export async function within<T>(promise: Promise<T>, ms: number, late: () => Refusal): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), ms);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}
