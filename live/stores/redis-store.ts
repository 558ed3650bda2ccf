import { randomBytes } from 'node:crypto';
import type { Redis, RedisOptions } from 'ioredis';
import { NbosError } from '../../core/errors.ts';
import type { Content, ObjectInfo, ObjectStore, PutMode, Reading } from './store.ts';
import { corrupt, denied, reasonIn, storeFull, unreachable } from './store-errors.ts';

export interface RedisPlace {
  host: string;
  port: number;
  db: number;
  tls: boolean;
  /** '' or a key followed by '/' */
  prefix: string;
  username: string;
  password: string;
}

/** Redis holds at most 512 MB under one key; also, one command blocks all others. */
const CHUNK_BYTES = 4 * 2 ** 20;
const CHUNKS_AT_ONCE = 4;
/** Chunks of an upload whose process died go away by themselves. */
const UPLOAD_S = 6 * 3_600;
const CONNECT_MS = 5_000;
const COMMAND_MS = 20_000;
const RECONNECT_MS = 1_000;
const SCANNED_AT_ONCE = 500;

/**
 * In one step: the chunks stay, the object's own key names them, those of an object that was there
 * go. 0 when it is to be new and is there; -1 when a chunk went away meanwhile.
 */
const COMMIT = `
local old = redis.call('GET', KEYS[1])
if old and ARGV[2] == 'create' then return 0 end
for i = 2, #KEYS do if redis.call('PERSIST', KEYS[i]) == 0 then return -1 end end
redis.call('SET', KEYS[1], ARGV[1])
if old then
  local before = cjson.decode(old)
  for i = 0, before.chunks - 1 do redis.call('UNLINK', ARGV[3] .. before.id .. ':' .. i) end
end
return 1`;

const REMOVE = `
local old = redis.call('GET', KEYS[1])
if not old then return 0 end
local before = cjson.decode(old)
redis.call('UNLINK', KEYS[1])
for i = 0, before.chunks - 1 do redis.call('UNLINK', ARGV[1] .. before.id .. ':' .. i) end
return 1`;

type Options = Omit<RedisOptions, 'replyMapping'>;

/** What an object's own key holds. */
interface Manifest {
  v: 1;
  id: string;
  bytes: number;
  chunks: number;
  /** of all but the last one */
  chunkBytes: number;
  modifiedAt: number;
}

/** A Redis server with persistence. An object is a manifest and chunks, each under a key. */
export class RedisStore implements ObjectStore {
  readonly name: string;
  readonly #place: RedisPlace;
  readonly #options: Options;
  #opened: Promise<Redis> | undefined;
  /** of the connection, which commands that gave up on it do not tell */
  #lastError: unknown;

  constructor(place: RedisPlace, options: Options = {}) {
    this.#place = place;
    this.#options = options;
    const { host, port, db, tls, prefix } = place;
    const path = `${db}/${prefix}`.replace(/\/$/, '');
    this.name = `${tls ? 'rediss' : 'redis'}://${host}:${port}/${path}`;
  }

  put(key: string, content: Content, mode: PutMode, signal: AbortSignal): Promise<boolean> {
    return this.#told(async () => {
      const redis = await this.#open();
      const own = this.#key(key);
      if (mode === 'create' && (await redis.exists(own)) === 1) return false;
      const id = randomBytes(8).toString('hex');
      const chunks: string[] = [];
      const running = new Set<Promise<unknown>>();
      try {
        for await (const chunk of inChunks(content)) {
          signal.throwIfAborted();
          const name = `${this.#chunks(key)}${id}:${chunks.length}`;
          chunks.push(name);
          if (running.size >= CHUNKS_AT_ONCE) await Promise.race(running);
          const sent = redis.set(name, chunk, 'EX', UPLOAD_S).finally(() => running.delete(sent));
          // Whoever waits next hears of its failure.
          sent.catch(() => undefined);
          running.add(sent);
        }
        await Promise.all(running);
        const manifest: Manifest = {
          v: 1,
          id,
          bytes: content.bytes,
          chunks: chunks.length,
          chunkBytes: CHUNK_BYTES,
          modifiedAt: Date.now(),
        };
        const text = JSON.stringify(manifest);
        const last = [text, mode, this.#chunks(key)];
        const done = await redis.eval(COMMIT, 1 + chunks.length, own, ...chunks, ...last);
        if (done === 1) return true;
        if (chunks.length > 0) await redis.unlink(...chunks);
        if (done === 0) return false;
        throw unreachable(this.name, `it dropped parts of ${key} while they were written`);
      } catch (error) {
        await Promise.allSettled(running);
        if (chunks.length > 0) await redis.unlink(...chunks).catch(() => undefined);
        throw error;
      }
    });
  }

  get(key: string, from: number, signal: AbortSignal): Promise<Reading | undefined> {
    return this.#told(async () => {
      const manifest = await this.#manifest(key);
      if (manifest === undefined) return undefined;
      return { bytes: manifest.bytes, stream: this.#read(key, manifest, from, signal) };
    });
  }

  head(key: string): Promise<ObjectInfo | undefined> {
    return this.#told(async () => {
      const manifest = await this.#manifest(key);
      return manifest && { key, bytes: manifest.bytes, modifiedAt: manifest.modifiedAt };
    });
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<ObjectInfo> {
    const start = this.#key(prefix);
    let cursor = '0';
    // A scan may tell of a key twice.
    const seen = new Set<string>();
    do {
      signal.throwIfAborted();
      const pattern = `${start.replace(/[*?[\]\\]/g, '\\$&')}*`;
      const [next, names] = await this.#told(async () =>
        (await this.#open()).scan(cursor, 'MATCH', pattern, 'COUNT', SCANNED_AT_ONCE),
      );
      cursor = next;
      for (const name of names) {
        const key = name.slice(start.length - prefix.length);
        if (seen.has(key)) continue;
        seen.add(key);
        const info = await this.head(key);
        if (info !== undefined) yield info;
      }
    } while (cursor !== '0');
  }

  remove(keys: readonly string[]): Promise<void> {
    return this.#told(async () => {
      const redis = await this.#open();
      for (const key of keys) await redis.eval(REMOVE, 1, this.#key(key), this.#chunks(key));
    });
  }

  async close(): Promise<void> {
    (await this.#opened?.catch(() => undefined))?.disconnect();
  }

  #key(key: string): string {
    return `nbos:object:${this.#place.prefix}${key}`;
  }

  #chunks(key: string): string {
    return `nbos:chunk:${this.#place.prefix}${key}:`;
  }

  #open(): Promise<Redis> {
    this.#opened ??= (async () => {
      const { Redis } = await import('ioredis');
      const { host, port, db, tls, username, password } = this.#place;
      const options: Options = {
        db,
        ...(username === '' ? {} : { username }),
        ...(password === '' ? {} : { password }),
        ...(tls ? { tls: { servername: host } } : {}),
        lazyConnect: true,
        connectTimeout: CONNECT_MS,
        commandTimeout: COMMAND_MS,
        maxRetriesPerRequest: 1,
        retryStrategy: (times) => Math.min(50 * times, RECONNECT_MS),
        ...this.#options,
      };
      const redis = new Redis(port, host, options);
      redis.on('error', (error) => {
        this.#lastError = error;
      });
      return redis;
    })();
    return this.#opened;
  }

  async #manifest(key: string): Promise<Manifest | undefined> {
    const text = await (await this.#open()).get(this.#key(key));
    if (text === null) return undefined;
    try {
      const manifest = JSON.parse(text) as Manifest;
      if (manifest.v === 1 && manifest.chunkBytes > 0) return manifest;
    } catch {
      // As one of a wrong shape.
    }
    throw corrupt(this.name, key, 'what is stored is no object of ours');
  }

  async *#read(
    key: string,
    { id, chunks, chunkBytes }: Manifest,
    from: number,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const first = Math.floor(from / chunkBytes);
    const ahead: Promise<Buffer | null>[] = [];
    const ask = async (at: number): Promise<Buffer | null> =>
      (await this.#open()).getBuffer(`${this.#chunks(key)}${id}:${at}`);
    for (let at = first; at < chunks; at++) {
      while (ahead.length < CHUNKS_AT_ONCE && at + ahead.length < chunks) {
        const asked = ask(at + ahead.length);
        asked.catch(() => undefined);
        ahead.push(asked);
      }
      signal.throwIfAborted();
      const chunk = await this.#told(() => ahead.shift()!);
      // Another object of this key has taken its place, or it was evicted.
      if (chunk === null) throw unreachable(this.name, `part ${at} of ${key} is not there`);
      yield at === first ? chunk.subarray(from - first * chunkBytes) : chunk;
    }
  }

  async #told<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#errorOf(error);
    }
  }

  #errorOf(error: unknown): NbosError {
    if (error instanceof NbosError) return error;
    const gaveUp = (error as Error).name === 'MaxRetriesPerRequestError';
    const reason = reasonIn(gaveUp ? (this.#lastError ?? error) : error);
    if (/^OOM |MISCONF|No space left/i.test(reason)) return storeFull(this.name, reason);
    if (/NOAUTH|WRONGPASS|NOPERM|invalid password|invalid username/i.test(reason))
      return denied(this.name, reason);
    return unreachable(this.name, reason);
  }
}

async function* inChunks(content: Content): AsyncGenerator<Buffer> {
  let chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, content.bytes));
  let filled = 0;
  let left = content.bytes;
  for await (const piece of content.open())
    for (let at = 0; at < piece.byteLength; ) {
      const taken = Math.min(piece.byteLength - at, chunk.length - filled);
      chunk.set(piece.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
      if (filled < chunk.length) continue;
      yield chunk;
      left -= filled;
      chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, Math.max(left, 1)));
      filled = 0;
    }
}
