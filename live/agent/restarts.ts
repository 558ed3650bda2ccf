import { statfs } from 'node:fs/promises';
import type { Logger } from 'pino';
import type { Replicas } from './replicas.ts';

/** The first try comes so long after a replica has stopped; each one that fails doubles it, ms. */
const FIRST_MS = 5_000;
const LONGEST_MS = 300_000;
/** A log that opens anew writes a little; a kernel writes more. */
const ROOM_BYTES = 32 * 1024 * 1024;

type Stopped = Pick<Replicas, 'stopped' | 'restartStopped'>;

/** Has replicas go on that a full disk has stopped, once there is room again. */
export class Restarts {
  readonly #replicas: Stopped;
  readonly #folder: string;
  readonly #log: Logger;
  readonly #now: () => number;
  #waitMs = FIRST_MS;
  /** undefined while none has stopped */
  #dueAt: number | undefined;
  #triedAt = Number.NEGATIVE_INFINITY;
  #trying: Promise<void> | undefined;

  constructor(replicas: Stopped, folder: string, log: Logger, now = () => performance.now()) {
    this.#replicas = replicas;
    this.#folder = folder;
    this.#log = log;
    this.#now = now;
  }

  /**
   * Called again and again; cheap while nothing has stopped. Resolves, and never rejects, when the
   * try that is under way has ended.
   */
  async look(): Promise<void> {
    if (this.#trying !== undefined) return this.#trying;
    const now = this.#now();
    if (this.#replicas.stopped === 0) {
      this.#dueAt = undefined;
      if (now - this.#triedAt > LONGEST_MS) this.#waitMs = FIRST_MS;
      return;
    }
    this.#dueAt ??= now + this.#waitMs;
    if (now < this.#dueAt) return;
    this.#trying = this.#try()
      .catch((error) => this.#log.warn({ err: error }, 'replicas that stopped do not go on'))
      .finally(() => {
        this.#trying = undefined;
      });
    return this.#trying;
  }

  async #try(): Promise<void> {
    const now = this.#now();
    const { bavail, bsize, files, ffree } = await statfs(this.#folder);
    if (bavail * bsize < ROOM_BYTES || (files > 0 && ffree === 0)) {
      this.#dueAt = now + FIRST_MS;
      return;
    }
    const { stopped } = this.#replicas;
    this.#triedAt = now;
    this.#dueAt = undefined;
    this.#waitMs = Math.min(LONGEST_MS, this.#waitMs * 2);
    await this.#replicas.restartStopped();
    this.#log.warn({ stopped }, 'there is room: replicas that had stopped go on');
  }
}
