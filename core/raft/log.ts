import { assert } from '../errors.ts';
import { ConfigHistory } from './config-history.ts';
import { assertReadable, type Entry, type Snapshot, withinBytes } from './entry.ts';
import type { RaftStorage } from './storage.ts';
import { Unstable } from './unstable.ts';

/** Where two logs may meet: see conflictHint. */
export interface Place {
  readonly index: number;
  readonly term: number;
}

/**
 * A member's log as it stands: what the storage holds, and after it what is not durable yet.
 * handed ≤ committed ≤ last, and nothing up to `committed` is ever cut.
 */
export class RaftLog {
  readonly #storage: RaftStorage;
  readonly #unstable: Unstable;
  readonly configs = new ConfigHistory();
  committed: number;
  /** entries up to here were handed out to be applied */
  handed: number;

  /** `applied` is what the state machine has; `committed` what the hard state says. */
  constructor(storage: RaftStorage, committed: number, applied: number) {
    this.#storage = storage;
    this.#unstable = new Unstable(storage.lastIndex() + 1);
    const snapshot = storage.snapshot();
    assertReadable(snapshot.v, 'the snapshot');
    assert(applied >= snapshot.index, 'the state machine is at least as new as the snapshot');
    this.committed = Math.max(committed, snapshot.index, applied);
    assert(this.committed <= storage.lastIndex(), 'the log holds all that it committed');
    this.handed = applied;
    this.configs.reset(snapshot.index, snapshot.config);
    this.#readConfigs(snapshot.index + 1);
  }

  /** In pieces, for a long log. */
  #readConfigs(from: number): void {
    let next = from;
    while (next <= this.#storage.lastIndex()) {
      const entries = this.#storage.entries(next, this.#storage.lastIndex() + 1, 1_048_576);
      for (const entry of entries) assertReadable(entry.v, `log entry ${entry.index}`);
      this.configs.add(entries);
      next += entries.length;
    }
  }

  get first(): number {
    return this.#unstable.snapshot !== undefined
      ? this.#unstable.snapshot.index + 1
      : this.#storage.firstIndex();
  }

  get last(): number {
    return this.#unstable.last;
  }

  get lastTerm(): number {
    return this.term(this.last)!;
  }

  /** The log is durable up to here. */
  get stable(): number {
    return this.#unstable.offset - 1;
  }

  get unstableSnapshot(): Snapshot | undefined {
    return this.#unstable.snapshot;
  }

  get unstableEntries(): readonly Entry[] {
    return this.#unstable.entries;
  }

  /** Undefined for entries that are compacted away or not there yet. */
  term(index: number): number | undefined {
    if (index > this.last || index < this.first - 1) return undefined;
    const unstable = this.#unstable.term(index);
    if (unstable !== undefined) return unstable;
    return index < this.#unstable.offset ? this.#storage.term(index) : undefined;
  }

  has(index: number, term: number): boolean {
    return this.term(index) === term;
  }

  /**
   * Whether a log that ends so may lead: no member's committed entry is missing (section 5.4.1).
   */
  isCurrent(lastIndex: number, lastTerm: number): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.last);
  }

  /** Entries from ≤ index ≤ to, all of them there; within `maxBytes`, but at least one. */
  slice(from: number, to: number, maxBytes: number): readonly Entry[] {
    if (from > to) return [];
    assert(from >= this.first && to <= this.last, 'the entries asked for are there');
    const { offset, entries } = this.#unstable;
    if (from >= offset) return withinBytes(entries.slice(from - offset, to + 1 - offset), maxBytes);
    const stored = this.#storage.entries(from, Math.min(to + 1, offset), maxBytes);
    if (to < offset || from + stored.length < offset) return stored;
    return withinBytes([...stored, ...entries.slice(0, to + 1 - offset)], maxBytes);
  }

  /** Adds what a leader proposes. */
  append(entries: readonly Entry[]): void {
    assert(entries[0]!.index === this.last + 1, 'a leader only appends (section 5.3)');
    this.#unstable.append(entries);
    this.configs.add(entries);
  }

  /**
   * Takes over a leader's entries after `prevIndex` when the logs meet there: cuts this log at the
   * first difference, never where they agree, since a late message may tell less than is here
   * (section 5.3). Gives the last index now known to be equal; undefined when they do not meet.
   */
  tryAppend(prevIndex: number, prevTerm: number, entries: readonly Entry[]): number | undefined {
    if (!this.has(prevIndex, prevTerm)) return undefined;
    const at = entries.findIndex((entry) => !this.has(entry.index, entry.term));
    if (at >= 0) {
      const fresh = entries.slice(at);
      assert(fresh[0]!.index > this.committed, 'a committed entry is never cut (section 5.4)');
      this.configs.cutFrom(fresh[0]!.index);
      this.#unstable.append(fresh);
      this.configs.add(fresh);
    }
    return prevIndex + entries.length;
  }

  /**
   * The last place at or before `index` whose term is at most `term`. With the other log's term at
   * `index` it skips everything that cannot be equal, whole terms at a time.
   */
  conflictHint(index: number, term: number): Place {
    for (let at = Math.min(index, this.last); at >= this.first - 1; at--) {
      const found = this.term(at)!;
      if (found <= term) return { index: at, term: found };
    }
    return { index: this.first - 1, term: 0 };
  }

  /** Raises the commit index; false when that is not news. */
  commitTo(index: number): boolean {
    if (index <= this.committed) return false;
    assert(index <= this.last, 'only what is in the log can be committed');
    this.committed = index;
    return true;
  }

  /** Committed entries to be applied next. They wait for a snapshot that is not installed yet. */
  nextCommitted(maxBytes: number): readonly Entry[] {
    if (this.#unstable.snapshot !== undefined) return [];
    return this.slice(this.handed + 1, this.committed, maxBytes);
  }

  get hasNextCommitted(): boolean {
    return this.#unstable.snapshot === undefined && this.handed < this.committed;
  }

  restore(snapshot: Snapshot): void {
    assert(snapshot.index > this.committed, 'a snapshot never takes back what is committed');
    this.#unstable.restore(snapshot);
    this.committed = snapshot.index;
    this.configs.reset(snapshot.index, snapshot.config);
  }

  stableTo(index: number, term: number): void {
    this.#unstable.stableTo(index, term);
  }

  snapshotStable(snapshot: Snapshot): void {
    this.handed = Math.max(this.handed, snapshot.index);
    this.#unstable.snapshotStable(snapshot);
  }

  /** The storage's snapshot, for members that need what is compacted away. */
  get snapshot(): Snapshot {
    return this.#unstable.snapshot ?? this.#storage.snapshot();
  }
}
