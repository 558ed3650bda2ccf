import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { NbosError } from '../../core/errors.ts';
import {
  type Arguments,
  commaList,
  isSet,
  printResult,
  textOf,
} from '../../traces/command-line.ts';
import { unwritable } from '../../traces/output-file.ts';
import { sealKeyOf } from '../stores/seal.ts';
import { type GatewayKeys, gatewayKeysOf } from '../wire/gateway-keys.ts';
import { HOST_KEYS_FORMAT, type HostKeys, readHostKeys, SHARED_KEYS } from '../wire/host-keys.ts';
import { AllowList, allow, type KeyPair, keyPair, newKeyPair, writeSecret } from '../wire/keys.ts';
import { dataFolder } from './cluster-file.ts';

const HOST = /^[A-Za-z0-9_-]{1,32}$/;
const GATEWAY = 'gateway';

/**
 * `nbos keys`: on the gateway's machine, what hosts need to join: OUT/ID.keys for each that is
 * named, and OUT/agents.keys for hosts that cannot have one each. Pairs that are there stay.
 * OUT/gateway.keys has all that is the gateway's, for where it runs without this folder.
 * @throws NbosError usage, file-exists, file-unwritable, key-invalid
 */
export async function makeKeys(given: Arguments): Promise<void> {
  const data = dataFolder(textOf(given, 'data'));
  const folder = join(data, 'keys');
  const named = namedHosts(textOf(given, 'hosts'));
  const out = resolve(textOf(given, 'out') ?? join(folder, 'hosts'));
  await mkdir(out, { recursive: true, mode: 0o700 }).catch((error) => {
    throw unwritable(out, error);
  });
  const gateway = (await keyPair(folder, GATEWAY)).publicKey;
  const seal = await sealKeyOf(folder);
  const list = new AllowList(folder);
  const pairs = new Map<string, KeyPair>();
  const renew = isSet(given, 'renew');
  for (const id of named) pairs.set(id, await pairFor(id, out, list.keyOf(id), renew));
  const isElsewhere =
    list.keyOf(SHARED_KEYS) !== undefined && !existsSync(fileOf(out, SHARED_KEYS));
  if (named.length === 0 || !isElsewhere)
    pairs.set(
      SHARED_KEYS,
      await pairFor(SHARED_KEYS, out, list.keyOf(SHARED_KEYS), renew && named.length === 0),
    );
  const known = list.names();
  for (const [id, pair] of pairs) known.set(id, pair.publicKey);
  for (const [id, pair] of pairs) {
    // First the file: a key that is let in and that nobody has would have to be renewed.
    const hosts = Object.fromEntries([...known].filter(([name]) => name !== id));
    const host = id === SHARED_KEYS ? '' : id;
    const keys: HostKeys = { v: HOST_KEYS_FORMAT, host, pair, gateway, hosts, seal };
    await write(out, id, keys);
    await allow(folder, id, pair.publicKey);
  }
  await write(out, GATEWAY, await gatewayKeysOf(folder));
  const files = [GATEWAY, ...pairs.keys()].map((id) => fileOf(out, id));
  const text = [...files, 'Bring each host its own file, over a channel that you trust, and join:'];
  text.push('  nbos agent --join tcp://GATEWAY:PORT --keys ID.keys');
  printResult(given, text.join('\n'), { gateway, files });
}

function namedHosts(text: string | undefined): string[] {
  if (text === undefined) return [];
  const ids = [...new Set(commaList('hosts', text))];
  for (const id of ids) {
    if (HOST.test(id) && id !== GATEWAY && id !== SHARED_KEYS) continue;
    throw new NbosError(
      'usage',
      `--hosts: "${id}" cannot be the id of a host`,
      `Use 1 to 32 letters, digits, _ and -, but not ${GATEWAY} or ${SHARED_KEYS}.`,
    );
  }
  return ids;
}

/** The pair that the host has, as its file here says; a new one when there is none, or to renew. */
async function pairFor(
  id: string,
  out: string,
  allowed: string | undefined,
  renew: boolean,
): Promise<KeyPair> {
  if (renew || allowed === undefined) return newKeyPair();
  const path = fileOf(out, id);
  if (existsSync(path)) {
    const { pair } = await readHostKeys(path);
    if (pair.publicKey === allowed) return pair;
  }
  throw new NbosError(
    'file-exists',
    `${id} has keys already, and ${path} is not their file`,
    'Name the folder of that file with --out, or give --renew: then the old keys are shut out.',
  );
}

function fileOf(out: string, id: string): string {
  return join(out, `${id}.keys`);
}

async function write(out: string, id: string, keys: HostKeys | GatewayKeys): Promise<void> {
  const path = fileOf(out, id);
  await writeSecret(path, `${JSON.stringify(keys, null, 2)}\n`).catch((error) => {
    throw unwritable(path, error);
  });
}
