import { assert } from '../errors.ts';
import { type Configuration, NO_CONFIGURATION } from './configuration.ts';
import type { Entry } from './entry.ts';

interface Since {
  /** the entry, or the snapshot's last entry, from which the configuration holds */
  readonly index: number;
  readonly config: Configuration;
}

/**
 * The configurations of a log. A member acts on the newest one in its log, committed or not, and
 * falls back when the entry is cut off (thesis, section 4.1); so those back to the snapshot are
 * kept.
 */
export class ConfigHistory {
  #since: Since[] = [{ index: 0, config: NO_CONFIGURATION }];

  get latest(): Configuration {
    return this.#since[this.#since.length - 1]!.config;
  }

  /** Index of the entry that brought the latest configuration. */
  get latestIndex(): number {
    return this.#since[this.#since.length - 1]!.index;
  }

  /** What held at `index`; undefined when that lies before what is kept. */
  at(index: number): Configuration | undefined {
    for (let at = this.#since.length - 1; at >= 0; at--) {
      if (this.#since[at]!.index <= index) return this.#since[at]!.config;
    }
    return undefined;
  }

  reset(index: number, config: Configuration): void {
    this.#since = [{ index, config }];
  }

  add(entries: readonly Entry[]): void {
    for (const { index, config } of entries) {
      if (config === undefined) continue;
      assert(index > this.latestIndex, 'configurations come in the order of the log');
      this.#since.push({ index, config });
    }
  }

  /** Forgets what entries from `index` on brought. */
  cutFrom(index: number): void {
    while (this.#since.length > 1 && this.latestIndex >= index) this.#since.pop();
    assert(this.latestIndex < index || index === 0, 'the first configuration is never cut');
  }

  /** Forgets what was superseded at or before `index`. */
  compact(index: number): void {
    let superseded = 0;
    while (superseded + 1 < this.#since.length && this.#since[superseded + 1]!.index <= index)
      superseded++;
    if (superseded > 0) this.#since = this.#since.slice(superseded);
  }
}
