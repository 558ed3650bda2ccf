import { readFile, stat } from 'node:fs/promises';
import { z } from 'zod';
import { NbosError } from '../../core/errors.ts';
import type { KeyPair } from './keys.ts';

export const HOST_KEYS_FORMAT = 1;
/** Name of the pair that any number of hosts may use, where each cannot have one of its own. */
export const SHARED_KEYS = 'agents';

/** What a host needs to join a system: the file ID.keys that `nbos keys` writes for it. */
export interface HostKeys {
  v: typeof HOST_KEYS_FORMAT;
  /** id of the host; '' when the pair is shared and each host says its own */
  host: string;
  pair: KeyPair;
  /** public key of the gateway */
  gateway: string;
  /** public keys of the other hosts, by id, as far as they were known */
  hosts: Record<string, string>;
  /** hex; what state in a common store is sealed with */
  seal: string;
}

export const KEY = z.string().regex(/^[!-~]{40}$/);
export const SEAL_KEY = z.string().regex(/^[0-9a-f]{64}$/);
const HOST_KEYS = z.object({
  v: z.literal(HOST_KEYS_FORMAT),
  host: z.string().regex(/^[A-Za-z0-9_-]{0,32}$/),
  pair: z.object({ publicKey: KEY, secretKey: KEY }),
  gateway: KEY,
  hosts: z.record(z.string(), KEY),
  seal: SEAL_KEY,
});

/** See readKeysFile. */
export function readHostKeys(path: string): Promise<HostKeys> {
  return readKeysFile(path, HOST_KEYS, 'a host');
}

/**
 * Reads what `nbos keys` wrote for `whom`. Others must not be able to read it.
 * @throws NbosError file-not-found, key-invalid, format-version
 */
export async function readKeysFile<T>(path: string, shape: z.ZodType<T>, whom: string): Promise<T> {
  const made = 'Make it on the machine of the gateway: nbos keys --data DIR --hosts ID.';
  const text = await readFile(path, 'utf8').catch((error: Error) => {
    throw new NbosError('file-not-found', `--keys: ${path} cannot be read: ${error.message}`, made);
  });
  const { mode } = await stat(path);
  // A secret of Docker's lies in a file system of its container: nobody else is in there.
  if ((mode & 0o077) !== 0 && !path.startsWith('/run/secrets/'))
    throw new NbosError('key-invalid', `--keys: others can read ${path}`, `chmod 600 ${path}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const { v } = (value ?? {}) as { v?: unknown };
  if (typeof v === 'number' && v > HOST_KEYS_FORMAT)
    throw new NbosError(
      'format-version',
      `--keys: ${path} has format version ${v}; this build reads up to ${HOST_KEYS_FORMAT}`,
      'Update NotebookOS here.',
    );
  const parsed = shape.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new NbosError('key-invalid', `--keys: ${path} holds no keys of ${whom}`, made);
}
