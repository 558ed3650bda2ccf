import { closeSync, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 5;

/**
 * A file that is there until a cell's code begins: the helper takes it away right before. While it
 * is there, nothing of the cell has run. Without it, for whatever reason, the cell counts as begun.
 */
export class BegunMark {
  #file = '';

  /** For a cell that is about to be sent. */
  set(spool: string, record: string): void {
    this.#file = '';
    const file = join(spool, `${record}.waiting`);
    try {
      closeSync(openSync(file, 'wx', 0o600));
      this.#file = file;
    } catch {
      // No room for it.
    }
  }

  /** For a cell of which it cannot be told. */
  clear(): void {
    this.#file = '';
  }

  get isThere(): boolean {
    return this.#file !== '' && existsSync(this.#file);
  }

  /** Resolves when the cell has begun, or after the limit. */
  async gone(limitMs: number): Promise<void> {
    const until = performance.now() + limitMs;
    while (this.isThere && performance.now() < until) await sleep(POLL_MS);
  }
}
