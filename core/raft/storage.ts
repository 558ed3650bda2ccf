import type { Entry, HardState, Snapshot } from './entry.ts';

/**
 * What a member reads of its durable log. The library never writes: what must be written is handed
 * out through Ready, and whoever runs the member writes it and lets it show here, before `advance`.
 * Reads are synchronous, so an implementation over a database keeps the entries since its last
 * compaction in memory (MemoryStorage) and writes through.
 */
export interface RaftStorage {
  hardState(): HardState;
  /** The newest snapshot: of a fresh group, index 0 with its first members. */
  snapshot(): Snapshot;
  /** Index of the first entry that is still there; at most one past the snapshot. */
  firstIndex(): number;
  /** Index of the last entry; firstIndex - 1 when there is none. */
  lastIndex(): number;
  /** Term of entry `index`, from firstIndex - 1 to lastIndex; undefined outside. */
  term(index: number): number | undefined;
  /** Entries from ≤ index < to, all of them there, at most `maxBytes` but at least one. */
  entries(from: number, to: number, maxBytes: number): readonly Entry[];
}
