import type { User } from '../kernel-service.ts';
import type { Users } from '../users.ts';

const PREFIX = /^\/t\/([^/]*)(?=\/|$)/;
const SCHEME = /^(?:token|bearer)\s+(\S+)\s*$/i;

/** The secret of a path that begins with /t/SECRET, '' for none, and the path without it. */
export function withoutSecret(path: string): { secret: string; path: string } {
  const prefix = PREFIX.exec(path);
  if (prefix === null) return { secret: '', path };
  return { secret: prefix[1]!, path: path.slice(prefix[0].length) || '/' };
}

/** The path that routes are found by: without secret, and without a slash at the end. */
export function routingPath(path: string): string {
  const bare = withoutSecret(path).path;
  return bare.length > 1 && bare.endsWith('/') ? bare.slice(0, -1) : bare;
}

/** Whose request it is: by header, `?token=` or secret path, whichever is right; else undefined. */
export function userOf(users: Users, authorization: string, url: URL): User | undefined {
  const header = SCHEME.exec(authorization);
  if (header !== null) {
    const user = users.withToken(header[1]!);
    if (user !== undefined) return user;
  }
  for (const [name, value] of url.searchParams) {
    if (name.toLowerCase() !== 'token') continue;
    const user = users.withToken(value);
    if (user !== undefined) return user;
  }
  const { secret } = withoutSecret(url.pathname);
  return secret === '' ? undefined : users.withPath(secret);
}

/** A URL or path for logs: tokens and secret paths are replaced. */
export function redacted(url: string): string {
  return url.replace(/([?&]token=)[^&#\s]*/gi, '$1…').replace(/\/t\/[^/?#\s]+/g, '/t/…');
}

/** For pino: what a logged request must not show. */
export const LOG_REDACTION = {
  paths: [
    'token',
    'headers.authorization',
    'headers.cookie',
    '*.token',
    '*.headers.authorization',
    '*.headers.cookie',
  ],
  censor: '…',
};

export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i.test(host);
}

/**
 * A page of another site can make a browser ask a loopback server under a name of its own (DNS
 * rebinding): on loopback, only names of the loopback itself are answered.
 */
export function hostAllowed(hostHeader: string): boolean {
  const name = hostHeader.replace(/:\d+$/, '').toLowerCase();
  return isLoopback(name) || name.endsWith('.localhost');
}
