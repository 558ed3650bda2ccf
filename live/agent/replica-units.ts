import type { Delta, Unit } from '../log/entries.ts';
import type { ApplyResult } from './kernel/runtime.ts';
import { type Difference, differenceOf, inLoadingOrder } from './replica-table.ts';

/** A unit that a process could not load. */
export interface FailedUnit {
  readonly names: readonly string[];
  readonly message: string;
}

/** What one process holds of the table of state, and what it must never be given. */
export class ProcessUnits {
  readonly #have = new Map<string, number>();
  readonly #failed = new Map<string, FailedUnit>();
  /** units whose loading ended a process, by `id@version`; outlives the process */
  readonly #quarantine = new Map<string, string>();
  #behind = false;
  /** revision of the table that `#behind` is about; -1 when what the process has changed since */
  #comparedAt = -1;

  /** A fresh process has nothing. */
  clear(): void {
    this.#have.clear();
    this.#failed.clear();
    this.#comparedAt = -1;
  }

  get failed(): Iterable<FailedUnit> {
    return this.#failed.values();
  }

  /** Whether the process lacks something; compared once for each revision of the table. */
  isBehind(table: ReadonlyMap<string, Unit>, revision: number): boolean {
    if (revision !== this.#comparedAt) {
      const { units, dropped } = differenceOf(table, this.#have);
      this.#behind = units.length > 0 || dropped.length > 0;
      this.#comparedAt = revision;
    }
    return this.#behind;
  }

  /** What to load next; what is in quarantine counts as loaded and failed. */
  wanted(table: ReadonlyMap<string, Unit>): Difference {
    const { units, dropped } = differenceOf(table, this.#have);
    const wanted = units.filter((unit) => {
      const message = this.#quarantine.get(`${unit.id}@${unit.version}`);
      if (message === undefined) return true;
      this.#have.set(unit.id, unit.version);
      this.#comparedAt = -1;
      this.#failed.set(unit.id, { names: unit.names, message });
      return false;
    });
    return { units: inLoadingOrder(wanted), dropped };
  }

  /** The process has these versions now, or did the change itself. */
  took({ units, dropped }: Pick<Delta, 'units' | 'dropped'>): void {
    this.#comparedAt = -1;
    for (const id of dropped) {
      this.#have.delete(id);
      this.#failed.delete(id);
    }
    for (const { id, version } of units) {
      this.#have.set(id, version);
      this.#failed.delete(id);
    }
  }

  /** What the process said of units that it was to load. */
  note({ failed }: ApplyResult): void {
    for (const { unit, names, message } of failed) this.#failed.set(unit, { names, message });
  }

  shun(units: readonly Unit[], message: string): void {
    for (const { id, version } of units) this.#quarantine.set(`${id}@${version}`, message);
  }
}
