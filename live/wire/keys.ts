import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { chmod, link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { curveKeyPair } from 'zeromq';
import { NbosError } from '../../core/errors.ts';

/** A CURVE key pair, Z85 text of 40 characters each. */
export interface KeyPair {
  readonly publicKey: string;
  readonly secretKey: string;
}

const KEY_FORMAT = 1;
const Z85 = /^[0-9A-Za-z.\-:+=^!/*?&<>()[\]{}@%$#]{40}$/;
const NAME = /^[A-Za-z0-9_-]{1,64}$/;

/** A new pair that is stored nowhere. */
export function newKeyPair(): KeyPair {
  return curveKeyPair();
}

/**
 * The key pair `name` of a folder, made when it is not there. Files are NAME.key (0600, both keys)
 * and NAME.pub (the public one, for the other side). Throws `key-invalid`.
 */
export async function keyPair(folder: string, name: string): Promise<KeyPair> {
  assertName(name);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `${name}.key`);
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text !== undefined) return parsePair(path, text);
  return storePair(folder, name, newKeyPair());
}

/** Stores a pair under a name, unless there is one: what is there then is what all use. */
export async function storePair(folder: string, name: string, made: KeyPair): Promise<KeyPair> {
  const path = join(folder, `${name}.key`);
  await writeFirst(path, `${JSON.stringify({ v: KEY_FORMAT, ...made })}\n`);
  const pair = parsePair(path, await readFile(path, 'utf8'));
  await writeSecret(join(folder, `${name}.pub`), `${pair.publicKey}\n`);
  return pair;
}

/** The public half of `name`, as another process of this system stored it. Throws `key-invalid`. */
export async function publicKeyOf(folder: string, name: string): Promise<string> {
  assertName(name);
  const path = join(folder, `${name}.pub`);
  const text = await readFile(path, 'utf8').catch(() => '');
  const key = text.trim();
  if (Z85.test(key)) return key;
  throw new NbosError(
    'key-invalid',
    text === '' ? `${path} does not exist` : `${path} holds no CURVE public key`,
    'Start the gateway of this data directory first; it makes the keys.',
  );
}

/** Lets the holder of a key in: one file a key in FOLDER/allowed, so that two writers never meet. */
export async function allow(folder: string, name: string, publicKey: string): Promise<void> {
  assertName(name);
  await mkdir(join(folder, 'allowed'), { recursive: true, mode: 0o700 });
  await writeSecret(join(folder, 'allowed', name), `${publicKey}\n`);
}

/** Shuts a key out from now on; links that it has already are not cut. */
export async function disallow(folder: string, name: string): Promise<void> {
  assertName(name);
  await rm(join(folder, 'allowed', name), { force: true });
}

/**
 * Keys that may connect. The folder is looked at again at each handshake, so that a key added or
 * taken away counts at once; its files are read only after it changed.
 */
export class AllowList {
  readonly #folder: string;
  #stamp = '';
  #names = new Map<string, string>();

  /** `folder` holds the keys; the list is its sub-folder `allowed`. */
  constructor(folder: string) {
    this.#folder = join(folder, 'allowed');
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
  }

  /** Name under which the key was let in, undefined for a stranger. */
  nameOf(publicKey: string): string | undefined {
    this.#refresh();
    return this.#names.get(publicKey);
  }

  /** The key that was let in under a name, undefined for none. */
  keyOf(name: string): string | undefined {
    return this.names().get(name);
  }

  /** All keys by the names under which they were let in. */
  names(): Map<string, string> {
    this.#refresh();
    return new Map(Array.from(this.#names, ([key, name]) => [name, key]));
  }

  #refresh(): void {
    const { mtimeMs, ctimeMs, size } = statSync(this.#folder);
    const stamp = `${mtimeMs} ${ctimeMs} ${size}`;
    // A change within the clock's grain of the last look would go unseen: young folders count anew.
    if (stamp === this.#stamp && Date.now() - mtimeMs > 100) return;
    const names = new Map<string, string>();
    for (const name of readdirSync(this.#folder)) {
      if (!NAME.test(name)) continue;
      const key = readFileSync(join(this.#folder, name), 'utf8').trim();
      if (Z85.test(key)) names.set(key, name);
    }
    this.#names = names;
    this.#stamp = stamp;
  }
}

function parsePair(path: string, text: string): KeyPair {
  const damaged = new NbosError(
    'key-invalid',
    `${path} does not hold a CURVE key pair`,
    'Remove the file to have a new pair made; what knows the old one must be started again.',
  );
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw damaged;
  }
  const { v, publicKey, secretKey } = (value ?? {}) as Record<string, unknown>;
  if (typeof v === 'number' && v > KEY_FORMAT)
    throw new NbosError(
      'format-version',
      `${path} has format version ${v}; this build reads up to ${KEY_FORMAT}`,
      'Start the newer version again, or remove the file.',
    );
  if (typeof publicKey !== 'string' || typeof secretKey !== 'string') throw damaged;
  if (!Z85.test(publicKey) || !Z85.test(secretKey)) throw damaged;
  return { publicKey, secretKey };
}

function assertName(name: string): void {
  if (NAME.test(name)) return;
  throw new NbosError(
    'key-invalid',
    `'${name}' cannot name a key`,
    'Use 1 to 64 letters, digits, _ and -.',
  );
}

/** Writes a whole file, unless there is one. */
async function writeFirst(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}-${++written}.tmp`;
  await writeFile(temporary, text, { mode: 0o600 });
  try {
    await link(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(temporary, { force: true });
  }
}

let written = 0;

/** Writes a whole file that only its owner can read. */
export async function writeSecret(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}-${++written}.tmp`;
  await writeFile(temporary, text, { mode: 0o600 });
  await chmod(temporary, 0o600);
  await rename(temporary, path);
}
