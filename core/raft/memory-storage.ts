import { assert, NbosError } from '../errors.ts';
import type { Configuration } from './configuration.ts';
import {
  type Entry,
  entryBytes,
  type HardState,
  LOG_FORMAT,
  NO_HARD_STATE,
  type Snapshot,
} from './entry.ts';
import type { Ready } from './ready.ts';
import type { RaftStorage } from './storage.ts';

/** A log in memory: the whole storage in tests, the readable part of a durable one elsewhere. */
export class MemoryStorage implements RaftStorage {
  #hardState: HardState = NO_HARD_STATE;
  #snapshot: Snapshot;
  /** term of the entry before the first one kept */
  #termBefore: number;
  #first: number;
  #entries: Entry[] = [];

  /** Starts as `snapshot` says, without entries after it. */
  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
    this.#first = snapshot.index + 1;
    this.#termBefore = snapshot.term;
  }

  /** The log of a new group's member; every first member must start with the same `config`. */
  static forGroup(config: Configuration, data = ''): MemoryStorage {
    return new MemoryStorage({ v: LOG_FORMAT, index: 0, term: 0, config, data });
  }

  hardState(): HardState {
    return this.#hardState;
  }

  snapshot(): Snapshot {
    return this.#snapshot;
  }

  firstIndex(): number {
    return this.#first;
  }

  lastIndex(): number {
    return this.#first + this.#entries.length - 1;
  }

  term(index: number): number | undefined {
    if (index === this.#first - 1) return this.#termBefore;
    return this.#entries[index - this.#first]?.term;
  }

  entries(from: number, to: number, maxBytes: number): readonly Entry[] {
    assert(from >= this.#first && to <= this.lastIndex() + 1, 'the entries asked for are there');
    const found: Entry[] = [];
    let bytes = 0;
    for (let index = from; index < to; index++) {
      const entry = this.#entries[index - this.#first]!;
      bytes += entryBytes(entry);
      if (bytes > maxBytes && found.length > 0) break;
      found.push(entry);
    }
    return found;
  }

  /** Takes over everything of a Ready that must be durable, in its order. */
  write({ hardState, snapshot, entries }: Ready): void {
    if (snapshot !== undefined) this.restore(snapshot);
    this.append(entries);
    if (hardState !== undefined) this.#hardState = hardState;
  }

  setHardState(hardState: HardState): void {
    this.#hardState = hardState;
  }

  /** Appends entries in place of those at and after the first of them. */
  append(entries: readonly Entry[]): void {
    const from = entries[0]?.index;
    if (from === undefined) return;
    assert(from >= this.#first && from <= this.lastIndex() + 1, 'a log has no holes');
    this.#entries.length = from - this.#first;
    for (const entry of entries) this.#entries.push(entry);
  }

  /** Replaces everything by a snapshot that the leader sent. */
  restore(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
    this.#first = snapshot.index + 1;
    this.#termBefore = snapshot.term;
    this.#entries = [];
  }

  /** Keeps a snapshot of the member's own state; an older one than there is changes nothing. */
  keep(snapshot: Snapshot): void {
    if (snapshot.index <= this.#snapshot.index) return;
    assert(snapshot.index <= this.lastIndex(), 'a snapshot is of entries that are in the log');
    this.#snapshot = snapshot;
  }

  /** Drops the entries up to and with `index`, which a snapshot must stand for. */
  compact(index: number): void {
    if (index < this.#first) return;
    if (index > this.#snapshot.index)
      throw new NbosError(
        'event-invalid',
        `entry ${index} cannot be dropped: the snapshot ends at ${this.#snapshot.index}`,
        'Keep a snapshot of at least that index first.',
      );
    this.#termBefore = this.term(index)!;
    this.#entries = this.#entries.slice(index + 1 - this.#first);
    this.#first = index + 1;
  }
}
