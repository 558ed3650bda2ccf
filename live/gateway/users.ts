import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { NbosError } from '../../core/errors.ts';
import type { TokenRecord } from '../admin-types.ts';
import type { User } from './kernel-service.ts';

const TOKENS_FORMAT = 1;
const TOKEN_BYTES = 24;
/** user of the first token */
export const FIRST_USER = 'admin';
const NAME = /^[a-z0-9][a-z0-9._@-]{0,63}$/;
const MOST_USERS = 10_000;

interface StoredToken {
  user: string;
  admin: boolean;
  createdAt: string;
  /** hex HMAC-SHA256 of the token under the file's salt */
  hash: string;
  /** the same of the secret path that stands for the token */
  path: string;
}

interface TokensFile {
  v: number;
  salt: string;
  tokens: StoredToken[];
}

/**
 * Who may use the gateway: tokens.json in the folder of keys, readable by its owner only, holds
 * hashes. Next to it, `admin.token` keeps the first admin's token itself, so that a system that is
 * started again shows the same one. The gateway is the only writer.
 */
export class Users {
  readonly #file: string;
  readonly #salt: string;
  #tokens: StoredToken[];
  /** Called with the name of a user whose token is no more. */
  onRemoved: (user: string) => void = () => undefined;

  constructor(file: string, stored: TokensFile) {
    this.#file = file;
    this.#salt = stored.salt;
    this.#tokens = stored.tokens;
  }

  /** The user whose token this is; compares with every token, in constant time each. */
  withToken(token: string): User | undefined {
    return this.#find('hash', token);
  }

  /** The user whose secret path this is, see `pathSecret`. */
  withPath(secret: string): User | undefined {
    return this.#find('path', secret);
  }

  #find(field: 'hash' | 'path', presented: string): User | undefined {
    const hash = hashed(this.#salt, presented);
    let found: StoredToken | undefined;
    for (const stored of this.#tokens)
      if (timingSafeEqual(Buffer.from(stored[field], 'hex'), hash)) found = stored;
    return found === undefined ? undefined : { id: found.user, admin: found.admin };
  }

  list(): TokenRecord[] {
    return this.#tokens.map(recordOf);
  }

  /** @throws NbosError user-exists, request-invalid for a name that is none */
  async add(name: string, admin: boolean): Promise<TokenRecord & { token: string }> {
    if (!NAME.test(name))
      throw new NbosError(
        'request-invalid',
        `"${name.slice(0, 80)}" is no name of a user`,
        'Use up to 64 of a-z, 0-9, ".", "_", "@" and "-", a letter or digit first.',
      );
    if (this.#tokens.some(({ user }) => user === name))
      throw new NbosError('user-exists', `${name} has a token already`, 'Remove it first.');
    if (this.#tokens.length >= MOST_USERS)
      throw new NbosError('request-invalid', `there are ${MOST_USERS} tokens already`);
    const token = newToken();
    const stored = storedToken(this.#salt, name, admin, token);
    await this.#store([...this.#tokens, stored]);
    return { ...recordOf(stored), token };
  }

  /** @throws NbosError user-unknown, request-invalid for the first admin */
  async remove(name: string): Promise<void> {
    const left = this.#tokens.filter(({ user }) => user !== name);
    if (left.length === this.#tokens.length)
      throw new NbosError('user-unknown', `${name} has no token`, 'nbos token list shows who has.');
    if (name === FIRST_USER)
      throw new NbosError(
        'request-invalid',
        `${name} is whom this system belongs to`,
        'To change its token, start the gateway with another NBOS_TOKEN.',
      );
    await this.#store(left);
    this.onRemoved(name);
  }

  async #store(tokens: StoredToken[]): Promise<void> {
    const before = this.#tokens;
    this.#tokens = tokens;
    try {
      await writePrivate(this.#file, fileText({ v: TOKENS_FORMAT, salt: this.#salt, tokens }));
    } catch (error) {
      this.#tokens = before;
      throw error;
    }
  }
}

/**
 * Opens the tokens of a data directory, or makes the first one. `token` (of NBOS_TOKEN) becomes the
 * first admin's. `adminToken` is what that admin's clients use.
 * @throws NbosError file-corrupt, format-version, file-unwritable, request-invalid
 */
export async function openUsers(
  keys: string,
  token = '',
): Promise<{ users: Users; adminToken: string }> {
  if (token !== '' && !/^[\x21-\x7e]{8,256}$/.test(token))
    throw new NbosError(
      'request-invalid',
      'NBOS_TOKEN is no token',
      'Set 8 to 256 printable characters without spaces, or unset it to have one made.',
    );
  await mkdir(keys, { recursive: true, mode: 0o700 });
  const file = join(keys, 'tokens.json');
  const stored = (await readTokens(file)) ?? {
    v: TOKENS_FORMAT,
    salt: randomBytes(16).toString('hex'),
    tokens: [],
  };
  const tokenFile = join(keys, 'admin.token');
  const kept = await readFile(tokenFile, 'utf8').catch(() => '');
  const adminToken = token || kept.trim() || newToken();
  const first = storedToken(stored.salt, FIRST_USER, true, adminToken);
  const known = stored.tokens.find(({ user }) => user === FIRST_USER);
  if (known?.hash !== first.hash) {
    const others = stored.tokens.filter(({ user }) => user !== FIRST_USER);
    stored.tokens = [first, ...others];
    await writePrivate(file, fileText(stored));
  }
  if (kept.trim() !== adminToken) await writePrivate(tokenFile, `${adminToken}\n`);
  return { users: new Users(file, stored), adminToken };
}

/**
 * The lower-case path that stands for a token in `http://HOST/t/SECRET/`, for clients that cannot
 * send it otherwise. The token cannot be told from it.
 */
export function pathSecret(token: string): string {
  return createHash('sha256').update(`nbos path ${token}`).digest('hex').slice(0, 40);
}

function newToken(): string {
  return randomBytes(TOKEN_BYTES).toString('hex');
}

function hashed(salt: string, secret: string): Buffer {
  return createHmac('sha256', salt).update(secret).digest();
}

function storedToken(salt: string, user: string, admin: boolean, token: string): StoredToken {
  return {
    user,
    admin,
    createdAt: new Date().toISOString(),
    hash: hashed(salt, token).toString('hex'),
    path: hashed(salt, pathSecret(token)).toString('hex'),
  };
}

function recordOf({ user, admin, createdAt }: StoredToken): TokenRecord {
  return { name: user, admin, createdAt };
}

function fileText(file: TokensFile): string {
  return `${JSON.stringify(file, null, 2)}\n`;
}

async function readTokens(file: string): Promise<TokensFile | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new NbosError('file-not-found', `${file} cannot be read: ${(error as Error).message}`);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = undefined;
  }
  const version = (parsed as TokensFile | undefined)?.v;
  if (typeof version === 'number' && version > TOKENS_FORMAT)
    throw new NbosError(
      'format-version',
      `${file} has format ${version}, this version reads ${TOKENS_FORMAT}`,
      'Use the NotebookOS that wrote it.',
    );
  if (!isTokensFile(parsed))
    throw new NbosError(
      'file-corrupt',
      `${file} is no list of tokens`,
      'Delete it to start with the admin alone; others get new tokens by nbos token add.',
    );
  return parsed;
}

function isTokensFile(value: unknown): value is TokensFile {
  const file = value as TokensFile | null | undefined;
  const hex = (text: unknown): boolean => typeof text === 'string' && /^[0-9a-f]{64}$/.test(text);
  return (
    typeof file?.salt === 'string' &&
    Array.isArray(file.tokens) &&
    file.tokens.every(
      (each) =>
        typeof each?.user === 'string' &&
        typeof each.admin === 'boolean' &&
        hex(each.hash) &&
        hex(each.path),
    )
  );
}

/** Whole or not at all, and for the owner only. */
async function writePrivate(file: string, text: string): Promise<void> {
  const temporary = `${file}.${randomBytes(4).toString('hex')}.new`;
  try {
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw new NbosError('file-unwritable', `${file}: ${(error as Error).message}`);
  }
}
