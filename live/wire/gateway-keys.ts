import { access, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { NbosError } from '../../core/errors.ts';
import { sealKeyOf, storeSealKey } from '../stores/seal.ts';
import { HOST_KEYS_FORMAT, KEY, readKeysFile, SEAL_KEY } from './host-keys.ts';
import { AllowList, allow, keyPair, storePair } from './keys.ts';

/** What a gateway has in DATA/keys of all hosts together, as one file that can be a secret. */
const GATEWAY_KEYS = z.object({
  v: z.literal(HOST_KEYS_FORMAT),
  pair: z.object({ publicKey: KEY, secretKey: KEY }),
  /** keys that may connect, by the names of their holders */
  allowed: z.record(z.string().regex(/^[A-Za-z0-9_-]{1,64}$/), KEY),
  seal: SEAL_KEY,
});

export type GatewayKeys = z.infer<typeof GATEWAY_KEYS>;

/** All that the gateway of this folder of keys has; made where it is not there. */
export async function gatewayKeysOf(folder: string): Promise<GatewayKeys> {
  return {
    v: HOST_KEYS_FORMAT,
    pair: await keyPair(folder, 'gateway'),
    allowed: Object.fromEntries(new AllowList(folder).names()),
    seal: await sealKeyOf(folder),
  };
}

/**
 * Puts the keys of a file into a gateway's folder of keys. Those that are let in already stay so.
 * @throws NbosError file-not-found, key-invalid, format-version
 */
export async function installGatewayKeys(folder: string, path: string): Promise<void> {
  const keys = await readKeysFile(path, GATEWAY_KEYS, 'a gateway');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const isThere = await access(join(folder, 'gateway.key')).then(
    () => true,
    () => false,
  );
  if (!isThere) {
    await storeSealKey(folder, keys.seal);
    await storePair(folder, 'gateway', keys.pair);
  }
  if ((await keyPair(folder, 'gateway')).publicKey !== keys.pair.publicKey)
    throw new NbosError(
      'key-invalid',
      `--keys: ${path} has the keys of another gateway than ${folder}`,
      'Name the file that nbos keys wrote for this data directory, or a --data of its own.',
    );
  for (const [name, key] of Object.entries(keys.allowed)) await allow(folder, name, key);
}
