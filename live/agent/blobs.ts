import type { Logger } from 'pino';
import { NbosError } from '../../core/errors.ts';
import type { Blob } from '../log/entries.ts';
import { corrupt } from '../stores/store-errors.ts';
import type { PeerMessage } from '../wire/messages.ts';
import { adopt } from './blob-adoption.ts';
import { BlobFiles, HASH } from './blob-files.ts';
import { BlobOffers } from './blob-offers.ts';
import { BlobReceiver } from './blob-receiver.ts';
import { type BlobSource, fetchBlob, restored } from './blob-restore.ts';
import { BlobSender, type Carry, CHUNK_BYTES, unreachable } from './blob-sender.ts';
import type { Blobs } from './ports.ts';

export interface BlobLimits {
  /** ms for a quorum of hosts to have all blobs, beyond what their bytes take */
  replicateMs: number;
  /** ms to find a blob on other hosts, beyond what its bytes take */
  ensureMs: number;
  /** ms without an answer or a chunk after which it is tried anew, or elsewhere */
  stallMs: number;
  /** hosts of one machine link each other's files in instead of sending them */
  link: boolean;
}

export const BLOB_LIMITS: BlobLimits = {
  replicateMs: 15_000,
  ensureMs: 15_000,
  stallMs: 5_000,
  link: true,
};

/** What a slow disk and a slow network manage, in bytes a ms; limits grow with the size by it. */
const SLOW_BYTES_PER_MS = 10_000;
const RETRY_MS = 200;
const FAR_MS = 60_000;
/** Times that a host may say no before it is left out. */
const MOST_REFUSALS = 3;
const MOST_FETCHED_AT_ONCE = 8;
const MOST_STORED_AT_ONCE = 4;
const MOST_OFFERED_AT_ONCE = 2_000;

/** Where a fetch waits for its blob. */
interface Fetch {
  from: string;
  lastAt: number;
  settle(outcome: 'stored' | 'elsewhere'): void;
}

/** Messages that concern blobs. */
export type BlobMessage = Extract<
  PeerMessage,
  { t: 'offer-blobs' | 'wanted-blobs' | 'blob' | 'blob-ack' | 'blob-stored' | 'want-blob' }
>;

/** Blobs of this host, and their way to and from the others. */
export class PeerBlobs implements Blobs {
  readonly #host: string;
  readonly #files: BlobFiles;
  readonly #carry: Carry;
  readonly #log: Logger;
  readonly #limits: BlobLimits;
  readonly #store: BlobSource | undefined;
  readonly #sender: BlobSender;
  readonly #receiver: BlobReceiver;
  readonly #offers: BlobOffers;
  /** hosts that could not link our files in, on other machines or disks, until when */
  readonly #far = new Map<string, number>();
  readonly #fetches = new Map<string, Fetch>();
  readonly #ensuring = new Map<string, Promise<void>>();
  #closed = false;

  constructor(
    host: string,
    root: string,
    carry: Carry,
    log: Logger,
    limits: Partial<BlobLimits> = {},
    store?: BlobSource,
  ) {
    this.#store = store;
    this.#host = host;
    this.#files = new BlobFiles(root);
    this.#carry = carry;
    this.#offers = new BlobOffers(carry);
    this.#log = log;
    this.#limits = { ...BLOB_LIMITS, ...limits };
    this.#sender = new BlobSender(this.#files, carry, log, this.#limits.stallMs);
    this.#receiver = new BlobReceiver(this.#files, carry, log, (kernel, hash, stored) => {
      const fetch = this.#fetches.get(`${kernel}/${hash}`);
      if (fetch === undefined) return;
      fetch.lastAt = performance.now();
      if (stored) fetch.settle('stored');
    });
  }

  directory(kernel: string): string {
    return this.#files.directory(kernel);
  }

  prepare(kernel: string): Promise<void> {
    return this.#files.prepare(kernel);
  }

  kernels(): Promise<string[]> {
    return this.#files.kernels();
  }

  async replicate(
    kernel: string,
    blobs: readonly Blob[],
    hosts: readonly string[],
    quorum: number,
  ): Promise<void> {
    const files = filesOf(blobs);
    if (files.length === 0) return;
    await this.#files.settle(kernel, files);
    const others = hosts.filter((host) => host !== this.#host);
    const bytes = files.reduce((sum, each) => sum + each.bytes, 0);
    const until = performance.now() + this.#limits.replicateMs + bytes / SLOW_BYTES_PER_MS;
    await new Promise<void>((resolve, reject) => {
      const holders = new Map(files.map(({ hash }) => [hash, 1]));
      let open = quorum > 1 ? files.length : 0;
      let working = others.length;
      let last: NbosError | undefined;
      const stored = (hash: string): void => {
        const count = holders.get(hash)! + 1;
        holders.set(hash, count);
        if (count === quorum && --open === 0) resolve();
      };
      if (open === 0) resolve();
      else if (others.length + 1 < quorum) reject(unreachable('', 'there are too few hosts'));
      for (const host of others)
        void this.#bring(host, kernel, files, until, stored).then((error) => {
          last = error ?? last;
          if (--working === 0 && open > 0)
            reject(last ?? unreachable(host, 'it did not store all that it was sent'));
        });
    });
  }

  async ensure(kernel: string, blobs: readonly Blob[], hosts: readonly string[]): Promise<void> {
    const missing: { hash: string; bytes: number }[] = [];
    for (const blob of filesOf(blobs))
      if ((await this.#files.sizeOnDisk(kernel, blob.hash)) !== blob.bytes) missing.push(blob);
    const others = hosts.filter((host) => host !== this.#host);
    const fetchers = Array.from({ length: Math.min(MOST_FETCHED_AT_ONCE, missing.length) });
    await Promise.all(
      fetchers.map(async () => {
        for (let next = missing.shift(); next !== undefined; next = missing.shift())
          await this.#ensureOne(kernel, next, others);
      }),
    );
  }

  /**
   * Fetches from the store what is missing here, a few at a time and never whole in memory. Rejects
   * `store-corrupt` for one that is damaged there or gone, or what the store or the disk says.
   */
  async fetchStored(kernel: string, blobs: readonly Blob[]): Promise<void> {
    const open = filesOf(blobs);
    const store = this.#store;
    const fetchers = Array.from({ length: Math.min(MOST_STORED_AT_ONCE, open.length) });
    await Promise.all(
      fetchers.map(async () => {
        for (let next = open.shift(); next !== undefined; next = open.shift()) {
          if ((await this.#files.sizeOnDisk(kernel, next.hash)) === next.bytes) continue;
          if (store === undefined || !(await fetchBlob(this.#files, store, kernel, next)))
            throw corrupt(store?.name ?? 'no store', `blobs/${next.hash}`, 'it is not there');
        }
      }),
    );
  }

  collect(kernel: string, keep: ReadonlySet<string>): Promise<void> {
    return this.#files.collect(kernel, keep);
  }

  remove(kernel: string): Promise<void> {
    return this.#files.remove(kernel);
  }

  /** A message of another host about blobs. */
  take(from: string, message: BlobMessage, frames: readonly Uint8Array[]): void {
    const { t } = message;
    if (t === 'blob') this.#receiver.take(from, message, frames[0]);
    else if (t === 'blob-ack')
      this.#sender.written(from, message.kernel, message.hash, message.offset);
    else if (t === 'blob-stored') this.#storedThere(from, message);
    else if (t === 'want-blob') {
      if (BlobFiles.fits(message.kernel, message.hash))
        void this.#provide(from, message.kernel, message.hash);
    } else if (t === 'offer-blobs') void this.#answerOffer(from, message);
    else this.#offers.answered(from, message.id, message);
  }

  /** The link to a host ended. */
  linkDown(host: string): void {
    this.#sender.linkDown(host);
    this.#offers.fail(host, 'the link was lost');
    for (const fetch of this.#fetches.values()) if (fetch.from === host) fetch.settle('elsewhere');
  }

  /** Nothing can be written from now on, as on a full disk; or again. */
  setFull(full: boolean): void {
    this.#files.setFull(full);
  }

  close(): void {
    this.#closed = true;
    this.#sender.close();
    this.#receiver.close();
    this.#offers.fail(undefined, 'this agent ends');
    for (const fetch of this.#fetches.values()) fetch.settle('elsewhere');
  }

  /** Brings files to one host until they are there or time is up; resolves with the last error. */
  async #bring(
    host: string,
    kernel: string,
    files: readonly { hash: string; bytes: number }[],
    until: number,
    stored: (hash: string) => void,
  ): Promise<NbosError | undefined> {
    let open = files;
    let last: NbosError | undefined;
    let refusals = 0;
    while (open.length > 0 && !this.#closed) {
      const round = open;
      try {
        const missing = await this.#missingThere(host, kernel, round);
        for (const { hash } of round) if (!missing.has(hash)) stored(hash);
        open = round.filter(({ hash }) => missing.has(hash));
        const outcomes = await Promise.allSettled(
          open.map(async (each) => {
            await this.#sender.push(host, kernel, each.hash, each.bytes);
            stored(each.hash);
          }),
        );
        open = open.filter((_, at) => {
          const outcome = outcomes[at]!;
          if (outcome.status === 'rejected') last = outcome.reason as NbosError;
          return outcome.status === 'rejected';
        });
      } catch (error) {
        last = error as NbosError;
      }
      if (open.length > 0) {
        if (last?.code !== 'peer-unreachable' && ++refusals === MOST_REFUSALS) return last;
        if (performance.now() + RETRY_MS > until) return last;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    return open.length > 0 ? unreachable(host, 'this agent ends') : undefined;
  }

  /** To another machine a single small blob is sent without asking. */
  async #missingThere(
    host: string,
    kernel: string,
    files: readonly { hash: string; bytes: number }[],
  ): Promise<Set<string>> {
    const near = this.#isNear(host);
    if (!near && files.length === 1 && files[0]!.bytes <= CHUNK_BYTES)
      return new Set([files[0]!.hash]);
    const missing = new Set<string>();
    for (let at = 0; at < files.length; at += MOST_OFFERED_AT_ONCE) {
      const some = files.slice(at, at + MOST_OFFERED_AT_ONCE);
      const bytes = some.reduce((sum, each) => sum + each.bytes, 0);
      const waitMs = this.#limits.stallMs + (near ? bytes / SLOW_BYTES_PER_MS : 0);
      const hashes = some.map(({ hash }) => hash);
      const folder = near ? { folder: this.#files.directory(kernel) } : {};
      const lacks = await this.#offers.ask(host, { kernel, hashes, ...folder }, waitMs);
      for (const hash of lacks.missing) missing.add(hash);
      if (lacks.far) this.#far.set(host, performance.now() + FAR_MS);
    }
    return missing;
  }

  #isNear(host: string): boolean {
    return this.#limits.link && performance.now() > (this.#far.get(host) ?? 0);
  }

  /** Another host asks for a blob: as a file of this machine, or else sent. */
  async #provide(host: string, kernel: string, hash: string): Promise<void> {
    const bytes = await this.#files.size(kernel, hash);
    if (bytes !== undefined && this.#isNear(host)) {
      const missing = await this.#missingThere(host, kernel, [{ hash, bytes }]).catch(
        () => undefined,
      );
      if (missing?.size === 0) return;
    }
    await this.#sender.wanted(host, kernel, hash);
  }

  async #answerOffer(
    from: string,
    { id, kernel, hashes, folder }: Extract<PeerMessage, { t: 'offer-blobs' }>,
  ): Promise<void> {
    let missing: string[] = [];
    let far = false;
    for (const hash of hashes.slice(0, MOST_OFFERED_AT_ONCE))
      if (BlobFiles.fits(kernel, hash) && !(await this.#files.has(kernel, hash)))
        missing.push(hash);
    if (typeof folder === 'string' && missing.length > 0)
      try {
        ({ missing, far } = await adopt(this.#files, kernel, missing, folder));
      } catch (error) {
        this.#log.warn({ err: error, kernel }, 'blobs could not be linked in');
      }
    this.#carry(from, { t: 'wanted-blobs', id, missing, far });
    for (const hash of hashes)
      if (!missing.includes(hash)) this.#fetches.get(`${kernel}/${hash}`)?.settle('stored');
  }

  #storedThere(
    from: string,
    { kernel, hash, ok, message }: { kernel: string; hash: string; ok: boolean; message: string },
  ): void {
    this.#sender.stored(from, kernel, hash, ok, message);
    const fetch = this.#fetches.get(`${kernel}/${hash}`);
    if (!ok && fetch?.from === from) fetch.settle('elsewhere');
  }

  #ensureOne(
    kernel: string,
    blob: { hash: string; bytes: number },
    hosts: readonly string[],
  ): Promise<void> {
    const key = `${kernel}/${blob.hash}`;
    const running = this.#ensuring.get(key);
    if (running !== undefined) return running;
    const fetched = this.#search(kernel, blob, hosts).finally(() => this.#ensuring.delete(key));
    this.#ensuring.set(key, fetched);
    return fetched;
  }

  async #search(
    kernel: string,
    { hash, bytes }: { hash: string; bytes: number },
    hosts: readonly string[],
  ): Promise<void> {
    const until = performance.now() + this.#limits.ensureMs + bytes / SLOW_BYTES_PER_MS;
    while (!this.#closed && (hosts.length > 0 || this.#store !== undefined)) {
      for (const host of hosts) {
        if ((await this.#files.size(kernel, hash)) === bytes) return;
        if ((await this.#fetch(host, kernel, hash)) === 'stored') return;
      }
      if (await restored(this.#files, this.#store, kernel, { hash, bytes }, this.#log)) return;
      if (performance.now() + RETRY_MS > until) break;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
    this.#log.error({ kernel, hash, hosts }, 'a blob is nowhere');
    throw new NbosError(
      'blob-lost',
      `state ${hash.slice(0, 12)}… of kernel ${kernel} is on none of ${hosts.join(', ') || 'no hosts'}, nor in a store`,
      'Bring back a host that had the kernel; its variables go on without this part otherwise.',
    );
  }

  #fetch(host: string, kernel: string, hash: string): Promise<'stored' | 'elsewhere'> {
    const key = `${kernel}/${hash}`;
    return new Promise((resolve) => {
      const watch = setInterval(() => {
        if (performance.now() - fetch.lastAt > this.#limits.stallMs) fetch.settle('elsewhere');
      }, this.#limits.stallMs / 4);
      const fetch: Fetch = {
        from: host,
        lastAt: performance.now(),
        settle: (outcome) => {
          clearInterval(watch);
          if (this.#fetches.get(key) === fetch) this.#fetches.delete(key);
          resolve(outcome);
        },
      };
      this.#fetches.set(key, fetch);
      if (!this.#carry(host, { t: 'want-blob', kernel, hash })) fetch.settle('elsewhere');
    });
  }
}

/** Those that are files, each once. */
function filesOf(blobs: readonly Blob[]): { hash: string; bytes: number }[] {
  const found = new Map<string, number>();
  for (const { hash, bytes, inline } of blobs)
    if (inline === undefined && HASH.test(hash)) found.set(hash, bytes);
  return Array.from(found, ([hash, bytes]) => ({ hash, bytes }));
}
