import { type FileHandle, open } from 'node:fs/promises';
import type { Logger } from 'pino';
import { NbosError } from '../../core/errors.ts';
import type { PeerMessage } from '../wire/messages.ts';
import type { BlobFiles } from './blob-files.ts';

/** Bytes of one frame of a blob. */
export const CHUNK_BYTES = 2 ** 20;
/** Bytes on the way to one host that it has not written yet: what a blob costs in memory. */
const WINDOW_BYTES = 8 * CHUNK_BYTES;
/** Blobs under way to one host at a time, so that its syncs overlap. */
const MOST_AT_ONCE = 16;

/** Carries a message to another agent; false when there is no link. Never waits. */
export type Carry = (host: string, message: PeerMessage, frames?: readonly Uint8Array[]) => boolean;

interface Transfer {
  host: string;
  kernel: string;
  hash: string;
  total: number;
  /** offset → bytes of chunks that are not acknowledged */
  unwritten: Map<number, number>;
  failed: NbosError | undefined;
  progressAt: number;
  resolve(): void;
  reject(error: NbosError): void;
}

interface Lane {
  active: Map<string, Transfer>;
  queue: Transfer[];
  /** bytes that are not acknowledged */
  under: number;
  /** transfers that wait for room in the window */
  room: (() => void)[];
}

/** Sends blobs of this host to others, in chunks, a window at a time. */
export class BlobSender {
  readonly #files: BlobFiles;
  readonly #carry: Carry;
  readonly #log: Logger;
  readonly #stallMs: number;
  readonly #lanes = new Map<string, Lane>();
  #watch: NodeJS.Timeout | undefined;

  /** `stallMs` without an acknowledgement make a transfer fail. */
  constructor(files: BlobFiles, carry: Carry, log: Logger, stallMs: number) {
    this.#stallMs = stallMs;
    this.#files = files;
    this.#carry = carry;
    this.#log = log;
  }

  /** Resolves once the host has it on disk. Rejects `peer-unreachable` or with its refusal. */
  push(host: string, kernel: string, hash: string, total: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const lane = this.#lane(host);
      lane.queue.push({
        ...{ host, kernel, hash, total, resolve, reject },
        unwritten: new Map(),
        failed: undefined,
        progressAt: performance.now(),
      });
      this.#next(lane);
    });
  }

  /** Another host asked for it. */
  async wanted(host: string, kernel: string, hash: string): Promise<void> {
    const total = await this.#files.size(kernel, hash);
    if (total === undefined) {
      const message = 'not here';
      this.#carry(host, { t: 'blob-stored', kernel, hash, ok: false, message });
      return;
    }
    await this.push(host, kernel, hash, total).catch((error) =>
      this.#log.debug({ err: error, host, hash }, 'a blob that was asked for could not be sent'),
    );
  }

  written(host: string, kernel: string, hash: string, offset: number): void {
    const lane = this.#lane(host);
    const transfer = lane.active.get(`${kernel}/${hash}`);
    const bytes = transfer?.unwritten.get(offset);
    if (transfer === undefined || bytes === undefined) return;
    transfer.unwritten.delete(offset);
    transfer.progressAt = performance.now();
    this.#release(lane, bytes);
  }

  stored(host: string, kernel: string, hash: string, ok: boolean, message: string): void {
    const lane = this.#lane(host);
    const transfer = lane.active.get(`${kernel}/${hash}`);
    if (transfer === undefined) return;
    if (ok) this.#end(lane, transfer, undefined);
    else this.#end(lane, transfer, refused(host, hash, message));
  }

  /** The link to a host ended: what was on its way there is lost. */
  linkDown(host: string): void {
    const lane = this.#lane(host);
    for (const transfer of [...lane.active.values(), ...lane.queue.splice(0)])
      this.#end(lane, transfer, unreachable(host, 'the link was lost'));
  }

  close(): void {
    for (const host of this.#lanes.keys()) this.linkDown(host);
    clearInterval(this.#watch);
    this.#watch = undefined;
  }

  #next(lane: Lane): void {
    while (lane.active.size < MOST_AT_ONCE && lane.queue.length > 0) {
      const at = lane.queue.findIndex((each) => !lane.active.has(`${each.kernel}/${each.hash}`));
      if (at < 0) return;
      const transfer = lane.queue.splice(at, 1)[0]!;
      transfer.progressAt = performance.now();
      lane.active.set(`${transfer.kernel}/${transfer.hash}`, transfer);
      this.#watch ??= setInterval(() => this.#failStalled(), this.#stallMs / 4).unref();
      void this.#run(lane, transfer);
    }
  }

  async #run(lane: Lane, transfer: Transfer): Promise<void> {
    const { host, kernel, hash, total } = transfer;
    let file: FileHandle | undefined;
    try {
      file = await open(this.#files.path(kernel, hash), 'r');
      for (let offset = 0; offset < total; offset += CHUNK_BYTES) {
        const bytes = Math.min(CHUNK_BYTES, total - offset);
        while (lane.under > 0 && lane.under + bytes > WINDOW_BYTES)
          await new Promise<void>((resolve) => lane.room.push(resolve));
        if (transfer.failed !== undefined) return;
        // Room is taken before the read, so that others do not take it meanwhile.
        lane.under += bytes;
        transfer.unwritten.set(offset, bytes);
        const chunk = Buffer.allocUnsafeSlow(bytes);
        const { bytesRead } = await file.read(chunk, 0, bytes, offset);
        if (transfer.failed !== undefined) return;
        if (bytesRead < bytes) throw refused(host, hash, 'the file is shorter than it was');
        const sent = this.#carry(host, { t: 'blob', kernel, hash, offset, total }, [chunk]);
        if (!sent) throw unreachable(host, 'there is no link');
      }
    } catch (error) {
      const reason =
        error instanceof NbosError
          ? error
          : refused(host, hash, `cannot be read: ${(error as Error).message}`);
      this.#end(lane, transfer, reason);
    } finally {
      await file?.close();
    }
  }

  #end(lane: Lane, transfer: Transfer, failed: NbosError | undefined): void {
    const key = `${transfer.kernel}/${transfer.hash}`;
    if (lane.active.get(key) === transfer) lane.active.delete(key);
    transfer.failed = failed ?? refused(transfer.host, transfer.hash, 'it has it already');
    let bytes = 0;
    for (const each of transfer.unwritten.values()) bytes += each;
    transfer.unwritten.clear();
    if (failed === undefined) transfer.resolve();
    else transfer.reject(failed);
    this.#release(lane, bytes);
    this.#next(lane);
  }

  #release(lane: Lane, bytes: number): void {
    lane.under -= bytes;
    for (const go of lane.room.splice(0)) go();
  }

  #failStalled(): void {
    const before = performance.now() - this.#stallMs;
    let busy = false;
    for (const [host, lane] of this.#lanes)
      for (const transfer of lane.active.values())
        if (transfer.progressAt < before)
          this.#end(lane, transfer, unreachable(host, `silent for ${this.#stallMs} ms`));
        else busy = true;
    if (busy) return;
    clearInterval(this.#watch);
    this.#watch = undefined;
  }

  #lane(host: string): Lane {
    let lane = this.#lanes.get(host);
    if (lane === undefined) {
      lane = { active: new Map(), queue: [], under: 0, room: [] };
      this.#lanes.set(host, lane);
    }
    return lane;
  }
}

export function unreachable(host: string, why: string): NbosError {
  return new NbosError(
    'peer-unreachable',
    `host ${host} cannot be reached: ${why}`,
    'It is tried again by itself; `nbos status` shows which hosts are up.',
  );
}

function refused(host: string, hash: string, why: string): NbosError {
  return new NbosError(
    'blob-lost',
    `state ${hash.slice(0, 12)}… could not be put on host ${host}: ${why}`,
    'See the log of that host.',
  );
}
