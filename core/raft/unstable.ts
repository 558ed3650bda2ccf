import { assert } from '../errors.ts';
import type { Entry, Snapshot } from './entry.ts';

/** The end of a log that is not known to be durable yet, and a snapshot on its way to disk. */
export class Unstable {
  /** index of the first entry here; everything before it is in the storage */
  offset: number;
  entries: Entry[] = [];
  snapshot: Snapshot | undefined;

  constructor(offset: number) {
    this.offset = offset;
  }

  /** Index of the last entry here, or of the last one before when there is none. */
  get last(): number {
    return this.offset + this.entries.length - 1;
  }

  /** Term of an entry here or of the snapshot's end; undefined for all others. */
  term(index: number): number | undefined {
    if (this.snapshot?.index === index) return this.snapshot.term;
    return this.entries[index - this.offset]?.term;
  }

  /** Appends entries in place of those at and after the first of them, here or in the storage. */
  append(entries: readonly Entry[]): void {
    const from = entries[0]!.index;
    assert(from <= this.last + 1, 'a log has no holes');
    if (from <= this.offset) {
      this.offset = from;
      this.entries = [...entries];
      return;
    }
    this.entries.length = from - this.offset;
    for (const entry of entries) this.entries.push(entry);
  }

  /**
   * Entries up to `index`, whose last has `term`, are durable. If the log was cut and written over
   * while they were being written, what was written is not what is here, and nothing changes.
   */
  stableTo(index: number, term: number): void {
    if (index < this.offset || this.entries[index - this.offset]?.term !== term) return;
    this.entries = this.entries.slice(index + 1 - this.offset);
    this.offset = index + 1;
  }

  snapshotStable(snapshot: Snapshot): void {
    if (this.snapshot === snapshot) this.snapshot = undefined;
  }

  restore(snapshot: Snapshot): void {
    this.snapshot = snapshot;
    this.offset = snapshot.index + 1;
    this.entries = [];
  }
}
