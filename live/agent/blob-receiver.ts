import type { Logger } from 'pino';
import { BlobFiles } from './blob-files.ts';
import { type Carry, CHUNK_BYTES } from './blob-sender.ts';
import { FileHash, hashOf } from './hash-worker.ts';

const MAX_BLOB_BYTES = 2 ** 38;
/** Chunks that may wait to be written; a sender keeps well below. */
const MOST_WAITING = 32;
/** ms without a chunk after which what came is thrown away */
const IDLE_MS = 30_000;

interface Arrival {
  from: string;
  kernel: string;
  hash: string;
  total: number;
  /** offset of the next chunk */
  next: number;
  waiting: number;
  failed: boolean;
  lastAt: number;
  part: Awaited<ReturnType<BlobFiles['createPart']>> | undefined;
  hashing: FileHash | undefined;
  /** chunks are written one after the other */
  work: Promise<void>;
}

/** Takes blobs that other hosts send, verifies them and makes them durable. */
export class BlobReceiver {
  readonly #files: BlobFiles;
  readonly #carry: Carry;
  readonly #log: Logger;
  readonly #arrivals = new Map<string, Arrival>();
  /** told of each chunk and at the end of each blob that arrives */
  readonly #onProgress: (kernel: string, hash: string, stored: boolean) => void;

  constructor(
    files: BlobFiles,
    carry: Carry,
    log: Logger,
    onProgress: (kernel: string, hash: string, stored: boolean) => void,
  ) {
    this.#files = files;
    this.#carry = carry;
    this.#log = log;
    this.#onProgress = onProgress;
  }

  /** One chunk. Nonsense is answered by a refusal and changes nothing. */
  take(
    from: string,
    {
      kernel,
      hash,
      offset,
      total,
    }: { kernel: string; hash: string; offset: number; total: number },
    chunk: Uint8Array | undefined,
  ): void {
    const key = `${from} ${kernel}/${hash}`;
    const expected = Math.min(CHUNK_BYTES, total - offset);
    if (!BlobFiles.fits(kernel, hash) || !(total >= 0 && total <= MAX_BLOB_BYTES)) return;
    let arrival = this.#arrivals.get(key);
    if (offset === 0) {
      if (arrival !== undefined) this.#abandon(key, arrival);
      arrival = begin(from, kernel, hash, total);
      this.#arrivals.set(key, arrival);
      this.#dropIdle();
    }
    if (arrival === undefined || arrival.failed) return;
    const fits = arrival.next === offset && arrival.total === total;
    if (!fits || chunk?.byteLength !== expected || arrival.waiting >= MOST_WAITING) {
      this.#refuse(key, arrival, 'chunks do not follow each other');
      return;
    }
    arrival.next += expected;
    arrival.waiting++;
    arrival.lastAt = performance.now();
    const current = arrival;
    arrival.work = arrival.work.then(() => this.#write(key, current, offset, chunk));
  }

  close(): void {
    for (const [key, arrival] of this.#arrivals) this.#abandon(key, arrival);
  }

  async #write(key: string, arrival: Arrival, offset: number, chunk: Uint8Array): Promise<void> {
    if (arrival.failed) return;
    const { from, kernel, hash, total } = arrival;
    try {
      if (total <= CHUNK_BYTES && (await this.#already(key, arrival))) return;
      arrival.part ??= await this.#files.createPart(kernel, hash);
      await arrival.part.file.write(chunk, 0, chunk.byteLength, offset);
      arrival.waiting--;
      const end = offset + chunk.byteLength;
      if (total > CHUNK_BYTES) {
        arrival.hashing ??= new FileHash(arrival.part.path);
        arrival.hashing.advance(end);
        this.#carry(from, { t: 'blob-ack', kernel, hash, offset });
      }
      this.#onProgress(kernel, hash, false);
      if (end < total) return;
      const found = arrival.hashing ? await arrival.hashing.finish(total) : hashOf(chunk);
      arrival.hashing = undefined;
      if (arrival.failed) return;
      if (found !== hash) {
        this.#log.error({ from, kernel, hash, found }, 'a blob is not what its name says');
        this.#refuse(key, arrival, 'its content does not match its name');
        return;
      }
      const { part } = arrival;
      arrival.part = undefined;
      await this.#files.keep(kernel, hash, part, total);
      this.#stored(key, arrival);
    } catch (error) {
      this.#log.error({ err: error, from, kernel, hash }, 'a blob could not be stored');
      this.#refuse(key, arrival, (error as Error).message);
    }
  }

  /** Small blobs are sent without asking first. */
  async #already(key: string, arrival: Arrival): Promise<boolean> {
    if (!(await this.#files.has(arrival.kernel, arrival.hash))) return false;
    this.#stored(key, arrival);
    return true;
  }

  #stored(key: string, arrival: Arrival): void {
    const { from, kernel, hash } = arrival;
    if (this.#arrivals.get(key) === arrival) this.#arrivals.delete(key);
    this.#carry(from, { t: 'blob-stored', kernel, hash, ok: true, message: '' });
    this.#onProgress(kernel, hash, true);
  }

  #refuse(key: string, arrival: Arrival, message: string): void {
    const { from, kernel, hash } = arrival;
    this.#abandon(key, arrival);
    this.#carry(from, { t: 'blob-stored', kernel, hash, ok: false, message });
  }

  #abandon(key: string, arrival: Arrival): void {
    if (this.#arrivals.get(key) === arrival) this.#arrivals.delete(key);
    arrival.failed = true;
    arrival.work = arrival.work.then(async () => {
      arrival.hashing?.abandon();
      if (arrival.part !== undefined) await this.#files.discard(arrival.part);
    });
  }

  #dropIdle(): void {
    const before = performance.now() - IDLE_MS;
    for (const [key, arrival] of this.#arrivals)
      if (arrival.lastAt < before) this.#abandon(key, arrival);
  }
}

function begin(from: string, kernel: string, hash: string, total: number): Arrival {
  return {
    ...{ from, kernel, hash, total },
    next: 0,
    waiting: 0,
    failed: false,
    lastAt: performance.now(),
    part: undefined,
    hashing: undefined,
    work: Promise.resolve(),
  };
}
