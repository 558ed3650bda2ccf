import { Readable } from 'node:stream';
import type { S3Client, S3ClientConfig } from '@aws-sdk/client-s3';
import { NbosError } from '../../core/errors.ts';
import { PIECE_BYTES } from './checked-content.ts';
import type { Content, ObjectInfo, ObjectStore, PutMode, Reading } from './store.ts';
import { denied, reasonIn, storeFull, unreachable } from './store-errors.ts';

export interface S3Place {
  bucket: string;
  /** '' or a key followed by '/' */
  prefix: string;
  /** '' for Amazon's, or what AWS_ENDPOINT_URL_S3 says */
  endpoint: string;
  /** '' for the one of the environment or the profile */
  region: string;
}

const PART_BYTES = 8 * 2 ** 20;
const PARTS_AT_ONCE = 4;
/** S3 takes 10,000 parts. */
const MOST_PARTS = 9_000;
const MOST_REMOVED = 1_000;
const CONNECT_MS = 5_000;
/** Parts of an upload that nobody finishes cost money: its process died. */
const OLD_UPLOAD_MS = 24 * 3_600_000;

type Sdk = typeof import('@aws-sdk/client-s3');

/** Amazon S3 or a server that speaks like it. Credentials come by the SDK's usual chain. */
export class S3Store implements ObjectStore {
  readonly name: string;
  readonly #place: S3Place;
  readonly #config: S3ClientConfig;
  #opened: Promise<{ sdk: Sdk; client: S3Client }> | undefined;
  #swept = false;

  constructor(place: S3Place, config: S3ClientConfig = {}) {
    this.#place = place;
    this.#config = config;
    this.name = `s3://${place.bucket}/${place.prefix}`.replace(/\/$/, '');
  }

  put(key: string, content: Content, mode: PutMode, signal: AbortSignal): Promise<boolean> {
    return this.#told(async () => {
      const { sdk, client } = await this.#open();
      this.#sweep();
      if (mode === 'create' && (await this.#head(key, signal)) !== undefined) return false;
      try {
        if (content.bytes > 2 * PART_BYTES) await this.#putParts(key, content, mode, signal);
        else {
          const pieces: Uint8Array[] = [];
          for await (const piece of content.open()) pieces.push(piece);
          const given = { ...this.#at(key), ...bodyOf(pieces), ...onlyNew(mode) };
          await client.send(new sdk.PutObjectCommand(given), { abortSignal: signal });
        }
      } catch (error) {
        if (statusOf(error) === 412) return false;
        throw error;
      }
      return true;
    });
  }

  get(key: string, from: number, signal: AbortSignal): Promise<Reading | undefined> {
    return this.#told(async () => {
      const { sdk, client } = await this.#open();
      const range = from > 0 ? { Range: `bytes=${from}-` } : {};
      try {
        const command = new sdk.GetObjectCommand({ ...this.#at(key), ...range });
        const found = await client.send(command, { abortSignal: signal });
        const total = /\/(\d+)$/.exec(found.ContentRange ?? '')?.[1];
        // A server that ignores ranges sends all of it.
        if (from > 0 && total === undefined)
          throw unreachable(this.name, 'it does not serve ranges of objects');
        const stream = this.#pieces(found.Body as Readable);
        return { bytes: Number(total ?? found.ContentLength), stream };
      } catch (error) {
        if (isAbsent(error)) return undefined;
        if (statusOf(error) !== 416) throw error;
        const info = await this.#head(key, signal);
        return info && { bytes: info.bytes, stream: Readable.from([]) };
      }
    });
  }

  head(key: string, signal: AbortSignal): Promise<ObjectInfo | undefined> {
    return this.#told(() => this.#head(key, signal));
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<ObjectInfo> {
    const { bucket, prefix: own } = this.#place;
    let after: string | undefined;
    do {
      const page = await this.#told(async () => {
        const { sdk, client } = await this.#open();
        const next = after === undefined ? {} : { ContinuationToken: after };
        const command = new sdk.ListObjectsV2Command({
          Bucket: bucket,
          Prefix: own + prefix,
          ...next,
        });
        return client.send(command, { abortSignal: signal });
      });
      for (const { Key = '', Size = 0, LastModified } of page.Contents ?? [])
        yield {
          key: Key.slice(own.length),
          bytes: Size,
          modifiedAt: LastModified?.getTime() ?? Date.now(),
        };
      after = page.NextContinuationToken;
    } while (after !== undefined);
  }

  remove(keys: readonly string[], signal: AbortSignal): Promise<void> {
    return this.#told(async () => {
      const { sdk, client } = await this.#open();
      for (let at = 0; at < keys.length; at += MOST_REMOVED) {
        const Objects = keys.slice(at, at + MOST_REMOVED).map((key) => this.#at(key));
        const command = new sdk.DeleteObjectsCommand({
          Bucket: this.#place.bucket,
          Delete: { Objects: Objects.map(({ Key }) => ({ Key })), Quiet: true },
        });
        const { Errors } = await client.send(command, { abortSignal: signal });
        const [first] = Errors ?? [];
        if (first !== undefined)
          throw Object.assign(new Error(first.Message), { name: first.Code ?? '' });
      }
    });
  }

  async close(): Promise<void> {
    const opened = await this.#opened?.catch(() => undefined);
    opened?.client.destroy();
  }

  #at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#place.bucket, Key: this.#place.prefix + key };
  }

  /** The SDK takes a while to load: only who has such a store waits for it. */
  #open(): Promise<{ sdk: Sdk; client: S3Client }> {
    this.#opened ??= (async () => {
      // Which Node its next versions need is nothing to our users.
      process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
      const sdk = await import('@aws-sdk/client-s3');
      const { endpoint, region } = this.#place;
      const client = new sdk.S3Client({
        // Checksums inside the stream corrupt objects on servers that do not know them.
        requestChecksumCalculation: 'WHEN_REQUIRED',
        responseChecksumValidation: 'WHEN_REQUIRED',
        maxAttempts: 1,
        logger: SILENT,
        requestHandler: { connectionTimeout: CONNECT_MS },
        ...(endpoint === '' ? {} : { endpoint, forcePathStyle: true }),
        ...(region === '' ? {} : { region }),
        ...this.#config,
      });
      return { sdk, client };
    })();
    return this.#opened;
  }

  async #head(key: string, signal: AbortSignal): Promise<ObjectInfo | undefined> {
    const { sdk, client } = await this.#open();
    try {
      const command = new sdk.HeadObjectCommand(this.#at(key));
      const found = await client.send(command, { abortSignal: signal });
      const modifiedAt = found.LastModified?.getTime() ?? Date.now();
      return { key, bytes: found.ContentLength ?? 0, modifiedAt };
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  async #putParts(key: string, content: Content, mode: PutMode, signal: AbortSignal) {
    const { sdk, client } = await this.#open();
    const at = this.#at(key);
    const options = { abortSignal: signal };
    const { UploadId } = await client.send(new sdk.CreateMultipartUploadCommand(at), options);
    const upload = { ...at, UploadId };
    const running = new Set<Promise<void>>();
    try {
      const done: { PartNumber: number; ETag: string | undefined }[] = [];
      const send = async (PartNumber: number, pieces: Uint8Array[]): Promise<void> => {
        const command = new sdk.UploadPartCommand({ ...upload, PartNumber, ...bodyOf(pieces) });
        const { ETag } = await client.send(command, options);
        done.push({ PartNumber, ETag });
      };
      let number = 0;
      for await (const pieces of inParts(content)) {
        if (running.size >= PARTS_AT_ONCE) await Promise.race(running);
        const sent = send(++number, pieces).finally(() => running.delete(sent));
        // Whoever waits next hears of its failure.
        sent.catch(() => undefined);
        running.add(sent);
      }
      await Promise.all(running);
      if (done.length !== number) throw unreachable(this.name, `a part of ${key} was not stored`);
      done.sort((a, b) => a.PartNumber - b.PartNumber);
      const whole = { ...upload, MultipartUpload: { Parts: done }, ...onlyNew(mode) };
      await client.send(new sdk.CompleteMultipartUploadCommand(whole), options);
    } catch (error) {
      // A part that arrived after the end of its upload would stay.
      await Promise.allSettled(running);
      await client.send(new sdk.AbortMultipartUploadCommand(upload)).catch(() => undefined);
      throw error;
    }
  }

  /** Once a process, in the background: a store without it works as well. */
  #sweep(): void {
    if (this.#swept) return;
    this.#swept = true;
    const sweep = async (): Promise<void> => {
      const { sdk, client } = await this.#open();
      const { bucket: Bucket, prefix: Prefix } = this.#place;
      const { Uploads } = await client.send(
        new sdk.ListMultipartUploadsCommand({ Bucket, Prefix }),
      );
      for (const { Key, UploadId, Initiated } of Uploads ?? [])
        if (Initiated !== undefined && Date.now() - Initiated.getTime() > OLD_UPLOAD_MS)
          await client.send(new sdk.AbortMultipartUploadCommand({ Bucket, Key, UploadId }));
    };
    sweep().catch(() => undefined);
  }

  async *#pieces(body: Readable): AsyncGenerator<Uint8Array> {
    try {
      yield* body;
    } catch (error) {
      throw this.#errorOf(error);
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
    const { name } = error as Error;
    const status = statusOf(error);
    const reason = `${name}: ${reasonIn(error)}`;
    if (/StorageFull|InsufficientStorage|QuotaExceeded/i.test(name) || status === 507)
      return storeFull(this.name, reason);
    if (status === 401 || status === 403 || DENIED.test(name) || DENIED.test(reason))
      return denied(this.name, reason);
    return unreachable(this.name, reason);
  }
}

/** Its errors come to us and are told of by who asked. */
const SILENT = {
  trace: () => undefined,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

const DENIED =
  /Credentials|ExpiredToken|InvalidToken|TokenRefresh|AccessDenied|InvalidAccessKey|NoSuchBucket|Region is missing/;

async function* inParts(content: Content): AsyncGenerator<Uint8Array[]> {
  const most = Math.max(PART_BYTES, Math.ceil(content.bytes / MOST_PARTS));
  let pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of content.open()) {
    pieces.push(piece);
    bytes += piece.byteLength;
    if (bytes < most) continue;
    yield pieces;
    pieces = [];
    bytes = 0;
  }
  if (pieces.length > 0) yield pieces;
}

/** As a stream, which the SDK signs without reading all of it in one turn of the loop. */
function bodyOf(pieces: readonly Uint8Array[]): { Body: Readable; ContentLength: number } {
  const ContentLength = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  const options = { objectMode: false, highWaterMark: PIECE_BYTES };
  return { Body: Readable.from(pieces, options), ContentLength };
}

function onlyNew(mode: PutMode): { IfNoneMatch?: '*' } {
  return mode === 'create' ? { IfNoneMatch: '*' } : {};
}

function statusOf(error: unknown): number {
  const { $metadata } = error as { $metadata?: { httpStatusCode?: number } };
  return $metadata?.httpStatusCode ?? 0;
}

/** An object, not the bucket. */
function isAbsent(error: unknown): boolean {
  const { name } = error as Error;
  return name === 'NoSuchKey' || name === 'NotFound';
}
