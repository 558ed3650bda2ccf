import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { NbosError } from '../../core/errors.ts';
import type { Content, ObjectInfo, ObjectStore, PutMode, Reading } from './store.ts';
import { corrupt, denied, reasonIn, storeFull, unreachable } from './store-errors.ts';

export interface WebHdfsPlace {
  host: string;
  port: number;
  tls: boolean;
  /** absolute, without '/' at its end */
  folder: string;
  user: string;
}

interface FileStatus {
  pathSuffix: string;
  type: 'FILE' | 'DIRECTORY';
  length: number;
  modificationTime: number;
}

/** Folder of objects that are being written; no key begins with a dot. */
const PARTS = '.parts';
/** A part that was not written to for so long was left by a process that died, ms. */
const OLD_PART_MS = 24 * 3_600_000;

type Query = Record<string, string>;

let parts = 0;

/** HDFS by its REST interface. */
export class WebHdfsStore implements ObjectStore {
  readonly name: string;
  readonly #place: WebHdfsPlace;
  #swept = false;

  constructor(place: WebHdfsPlace) {
    this.#place = place;
    const { host, port, tls, folder } = place;
    this.name = `${tls ? 'swebhdfs' : 'webhdfs'}://${host}:${port}${folder}`;
  }

  put(key: string, content: Content, mode: PutMode, signal: AbortSignal): Promise<boolean> {
    return this.#told(async () => {
      await this.#sweep(signal);
      if (mode === 'create' && (await this.#status(key, signal)) !== undefined) return false;
      const part = `${PARTS}/${process.pid}-${Date.now()}-${++parts}`;
      try {
        await this.#write(part, content, signal);
        const written = await this.#status(part, signal);
        if (written?.length !== content.bytes)
          throw unreachable(this.name, `${key} arrived with ${written?.length ?? 0} bytes`);
        await this.#step('PUT', parentOf(key), { op: 'MKDIRS', permission: '700' }, signal);
        const destination = `${this.#place.folder}/${key}`;
        if (mode === 'create') {
          const renamed = await this.#step('PUT', part, { op: 'RENAME', destination }, signal);
          if (((await renamed.json()) as { boolean?: boolean }).boolean === true) return true;
          await this.#remove(part, signal);
          return false;
        }
        const rename = { op: 'RENAME', destination, renameoptions: 'OVERWRITE' };
        await this.#step('PUT', part, rename, signal);
        return true;
      } catch (error) {
        await this.#remove(part, AbortSignal.timeout(5_000)).catch(() => undefined);
        throw error;
      }
    });
  }

  get(key: string, from: number, signal: AbortSignal): Promise<Reading | undefined> {
    return this.#told(async () => {
      const status = await this.#status(key, signal);
      if (status === undefined || status.type !== 'FILE') return undefined;
      const { length: bytes } = status;
      if (from >= bytes) return { bytes, stream: nothing() };
      const found = await this.#ask('GET', key, { op: 'OPEN', offset: String(from) }, signal);
      if (found.status === 404) return undefined;
      const answer = await this.#good(await fetch(await this.#placed(found), { signal }));
      return { bytes, stream: this.#pieces(answer) };
    });
  }

  head(key: string, signal: AbortSignal): Promise<ObjectInfo | undefined> {
    return this.#told(async () => {
      const status = await this.#status(key, signal);
      return status?.type === 'FILE' ? infoOf(key, status) : undefined;
    });
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<ObjectInfo> {
    const folder = prefix.slice(0, -1);
    const answer = await this.#told(() => this.#ask('GET', folder, { op: 'LISTSTATUS' }, signal));
    if (answer.status === 404) {
      await answer.body?.cancel();
      return;
    }
    const found = await this.#told(async () => (await this.#good(answer)).json());
    for (const status of (found as Listing).FileStatuses?.FileStatus ?? []) {
      const key = `${prefix}${status.pathSuffix}`;
      if (key.startsWith(PARTS)) continue;
      if (status.type === 'DIRECTORY') yield* this.list(`${key}/`, signal);
      else yield infoOf(key, status);
    }
  }

  remove(keys: readonly string[], signal: AbortSignal): Promise<void> {
    return this.#told(async () => {
      const folders = new Set<string>();
      for (const key of keys) {
        await this.#remove(key, signal);
        for (let at = parentOf(key); at !== ''; at = parentOf(at)) folders.add(at);
      }
      // Only those that are empty go; deeper ones first.
      const deepest = [...folders].sort((a, b) => b.length - a.length);
      for (const folder of deepest) await this.#remove(folder, signal).catch(() => undefined);
    });
  }

  async close(): Promise<void> {}

  /** The name node says where, the data node takes the bytes. */
  async #write(path: string, content: Content, signal: AbortSignal): Promise<void> {
    const query = { op: 'CREATE', overwrite: 'true', permission: '600' };
    const where = await this.#placed(await this.#ask('PUT', path, query, signal));
    const answer = await upload(where, content, signal);
    const pieces: Buffer[] = [];
    for await (const piece of answer) pieces.push(piece as Buffer);
    const { statusCode = 0 } = answer;
    if (statusCode < 200 || statusCode >= 300)
      this.#refused(statusCode, Buffer.concat(pieces).toString());
  }

  /** URL on a data node. */
  async #placed(answer: Response): Promise<string> {
    const location = answer.headers.get('location');
    if (answer.status !== 307 || location === null) {
      await this.#good(answer);
      throw corrupt(this.name, answer.url, 'the server named no data node: it is no WebHDFS');
    }
    await answer.body?.cancel();
    return location;
  }

  async #status(path: string, signal: AbortSignal): Promise<FileStatus | undefined> {
    const answer = await this.#ask('GET', path, { op: 'GETFILESTATUS' }, signal);
    if (answer.status === 404) {
      await answer.body?.cancel();
      return undefined;
    }
    return ((await (await this.#good(answer)).json()) as { FileStatus: FileStatus }).FileStatus;
  }

  async #remove(path: string, signal: AbortSignal): Promise<void> {
    const answer = await this.#step('DELETE', path, { op: 'DELETE', recursive: 'false' }, signal);
    await answer.body?.cancel();
  }

  async #step(method: string, path: string, query: Query, signal: AbortSignal): Promise<Response> {
    return this.#good(await this.#ask(method, path, query, signal));
  }

  #ask(method: string, path: string, query: Query, signal: AbortSignal): Promise<Response> {
    const { host, port, tls, folder, user } = this.#place;
    const words = new URLSearchParams({ ...query, 'user.name': user });
    const where = `${folder}/${path}`.replace(/\/+$/, '');
    const url = `${tls ? 'https' : 'http'}://${host}:${port}/webhdfs/v1${where}?${words}`;
    return fetch(url, { method, signal, redirect: 'manual' });
  }

  /** Throws what the server says is wrong. */
  async #good(answer: Response): Promise<Response> {
    if (answer.ok) return answer;
    return this.#refused(answer.status, await answer.text());
  }

  #refused(status: number, text: string): never {
    let said = { exception: '', message: text.slice(0, 300) };
    try {
      said = JSON.parse(text).RemoteException ?? said;
    } catch {
      // A page for people: its beginning has to do.
    }
    const reason = `${status} ${said.exception} ${said.message.split('\n')[0]}`;
    if (/QuotaExceeded|OutOfSpace|could only be written to 0/.test(reason))
      throw storeFull(this.name, reason);
    if (status === 401 || /AccessControl|Security|Authoriz|Authent|InvalidToken/.test(reason))
      throw denied(this.name, reason);
    throw unreachable(this.name, reason);
  }

  /** Once a process: what others left half-written. */
  async #sweep(signal: AbortSignal): Promise<void> {
    if (this.#swept) return;
    this.#swept = true;
    const answer = await this.#ask('GET', PARTS, { op: 'LISTSTATUS' }, signal);
    if (!answer.ok) {
      await answer.body?.cancel();
      return;
    }
    const { FileStatuses } = (await answer.json()) as Listing;
    for (const { pathSuffix, modificationTime } of FileStatuses?.FileStatus ?? [])
      if (Date.now() - modificationTime > OLD_PART_MS)
        await this.#remove(`${PARTS}/${pathSuffix}`, signal).catch(() => undefined);
  }

  async *#pieces(answer: Response): AsyncGenerator<Uint8Array> {
    try {
      yield* answer.body!;
    } catch (error) {
      throw unreachable(this.name, reasonIn(error));
    }
  }

  async #told<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw error instanceof NbosError ? error : unreachable(this.name, reasonIn(error));
    }
  }
}

/**
 * By the older client: data nodes say 100 (Continue) without being asked to, which fetch takes for
 * a broken answer.
 */
async function upload(
  where: string,
  content: Content,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const request = where.startsWith('https:') ? requestHttps : requestHttp;
  const headers = { 'content-length': content.bytes, 'content-type': 'application/octet-stream' };
  const out = request(where, { method: 'PUT', headers, signal });
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    out.once('response', resolve);
    out.once('error', reject);
  });
  // An answer may come before all is sent, and says why then.
  answered.catch(() => undefined);
  await pipeline(Readable.from(content.open(), { objectMode: false }), out);
  return answered;
}

interface Listing {
  FileStatuses?: { FileStatus: FileStatus[] };
}

function infoOf(key: string, { length, modificationTime }: FileStatus): ObjectInfo {
  return { key, bytes: length, modifiedAt: modificationTime };
}

/** '' above all. */
function parentOf(key: string): string {
  return key.slice(0, Math.max(0, key.lastIndexOf('/')));
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
