import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NbosError } from '../../core/errors.ts';

const FORMAT = 1;
const MAGIC = Buffer.from('NBSEAL1\n');
const IV_BYTES = 12;
const TAG_BYTES = 16;
const KEY = /^[0-9a-f]{64}$/;

/**
 * Keeps what a store must neither read nor make up: tables of state hold the key that blobs are
 * verified by before they are loaded, which is as good as running them. AES-256-GCM.
 */
export class Seal {
  readonly #key: Buffer;

  constructor(key: Buffer) {
    this.#key = key;
  }

  /** Sealed pieces of what `pieces` makes; `name` must be the same when it is opened. */
  *close(name: string, pieces: Iterable<Uint8Array>): Generator<Uint8Array> {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#key, iv);
    cipher.setAAD(Buffer.from(name));
    yield Buffer.concat([MAGIC, iv]);
    for (const piece of pieces) yield cipher.update(piece);
    yield Buffer.concat([cipher.final(), cipher.getAuthTag()]);
  }

  /** Undefined when it was not sealed with this key under this name, or was changed since. */
  open(name: string, sealed: Buffer): Buffer | undefined {
    const start = MAGIC.length + IV_BYTES;
    if (sealed.length < start + TAG_BYTES) return undefined;
    if (!sealed.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
    const iv = sealed.subarray(MAGIC.length, start);
    const opener = createDecipheriv('aes-256-gcm', this.#key, iv);
    opener.setAAD(Buffer.from(name));
    opener.setAuthTag(sealed.subarray(-TAG_BYTES));
    try {
      return Buffer.concat([opener.update(sealed.subarray(start, -TAG_BYTES)), opener.final()]);
    } catch {
      return undefined;
    }
  }
}

/** The seal of a system; see sealKeyOf. */
export async function sealOf(folder: string): Promise<Seal> {
  return new Seal(Buffer.from(await sealKeyOf(folder), 'hex'));
}

/**
 * The key of a system's seal, hex, in FOLDER/store.json, made when it is not there. Whoever is to
 * read the system's tables elsewhere needs it. @throws NbosError key-invalid
 */
export async function sealKeyOf(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, 'store.json');
  const known = await readFile(path, 'utf8').catch(() => undefined);
  if (known !== undefined) return keyIn(path, known);
  await storeSealKey(folder, randomBytes(32).toString('hex'));
  return keyIn(path, await readFile(path, 'utf8'));
}

/** Stores a key of a seal, unless there is one. */
export async function storeSealKey(folder: string, key: string): Promise<void> {
  const path = join(folder, 'store.json');
  const part = `${path}.${process.pid}-${randomBytes(4).toString('hex')}`;
  const text = JSON.stringify({ v: FORMAT, key });
  await writeFile(part, `${text}\n`, { mode: 0o600, flush: true });
  // Another process may have made it meanwhile: what is there now is what all use.
  await link(part, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await rm(part, { force: true });
}

function keyIn(path: string, text: string): string {
  try {
    const { v, key } = JSON.parse(text);
    if (v === FORMAT && typeof key === 'string' && KEY.test(key)) return key;
  } catch {
    // As one of a wrong shape.
  }
  throw new NbosError(
    'key-invalid',
    `${path} holds no key`,
    'Bring it back from a copy; what the store has cannot be read without it.',
  );
}
