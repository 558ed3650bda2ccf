import { NbosError } from '../errors.ts';
import type { Configuration } from './configuration.ts';

/** What the library carries and never looks into. */
export type Payload = string | Uint8Array;

/** A member's identity in its group: an integer from 1, never given to another member again. */
export type MemberId = number;

/** No member: no vote cast, no leader known. */
export const NOBODY: MemberId = 0;

/** The newest format of entries and snapshots that this build reads, and the one it writes. */
export const LOG_FORMAT = 1;

export type EntryKind = 'data' | 'config' | 'empty';

/** One place of the replicated log. Never changed once made: it is shared between logs. */
export interface Entry {
  /** format version, LOG_FORMAT when written by this build */
  readonly v: number;
  readonly term: number;
  /** position in the log, from 1 */
  readonly index: number;
  /** `empty` is what a new leader opens its term with; only `data` concerns the state machine */
  readonly kind: EntryKind;
  /** the proposer's bytes; with `config`, whatever the proposer attached to the change */
  readonly data: Payload;
  /** the whole membership from this entry on; present exactly with kind `config` */
  readonly config?: Configuration;
}

/** The state machine up to and with entry `index`, which stands for all entries up to it. */
export interface Snapshot {
  readonly v: number;
  readonly index: number;
  readonly term: number;
  readonly config: Configuration;
  readonly data: Payload;
}

/** What a member must find again after a crash, beside its entries (section 5, figure 2). */
export interface HardState {
  readonly term: number;
  /** whom this member voted for in `term`, NOBODY for none */
  readonly vote: MemberId;
  /** a lower bound of the commit index: it may be lost without harm */
  readonly commit: number;
}

export const NO_HARD_STATE: HardState = { term: 0, vote: NOBODY, commit: 0 };

/** What an entry costs beside its payload, so that empty payloads count against limits too. */
export const ENTRY_OVERHEAD_BYTES = 32;

/** Size for limits: bytes, or UTF-16 units of a string (exact for ASCII, cheap for all). */
export function payloadBytes(data: Payload): number {
  return data.length;
}

export function entryBytes(entry: Entry): number {
  return ENTRY_OVERHEAD_BYTES + entry.data.length;
}

export function bytesOf(entries: readonly Entry[]): number {
  let sum = 0;
  for (const entry of entries) sum += entryBytes(entry);
  return sum;
}

/** The longest beginning of `entries` within `maxBytes`, but never nothing of something. */
export function withinBytes(entries: readonly Entry[], maxBytes: number): readonly Entry[] {
  let sum = 0;
  for (let at = 0; at < entries.length; at++) {
    sum += entryBytes(entries[at]!);
    if (sum > maxBytes && at > 0) return entries.slice(0, at);
  }
  return entries;
}

/** Refuses what a newer build wrote: reading it wrongly would be worse than not starting. */
export function assertReadable(v: number, what: string): void {
  if (v <= LOG_FORMAT) return;
  throw new NbosError(
    'format-version',
    `${what} has format version ${v}; this build reads up to ${LOG_FORMAT}`,
    'Start the newer version again, or upgrade this one.',
  );
}
