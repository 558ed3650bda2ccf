import type { Entry, HardState, MemberId, Snapshot } from './entry.ts';
import type { Message } from './messages.ts';

export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader';

/** A read that may be answered from the state machine once entry `index` is applied to it. */
export interface ReadGrant {
  readonly id: number;
  readonly index: number;
}

/**
 * Everything a member wants done since the last Ready. Whoever runs it must, in this order:
 *
 * 1. send `early` (at any time before or during 2);
 * 2. make durable, in one atomic write: `snapshot` (it replaces the whole log), `entries` (they
 *    replace those at and after the first of them), `hardState`. The write must be synced when
 *    `mustSync`; after it, the storage given to the member must show it;
 * 3. send `messages`: votes and acknowledgements are promises about what 2 wrote;
 * 4. install `snapshot` in the state machine, then apply `committed` in order. This may go on after
 *    5, as long as the order is kept; after a crash, entries are handed out again from the applied
 *    index that the member is started with;
 * 5. call `advance`. No other Ready is given before.
 *
 * Messages may be lost, doubled, delayed and reordered. `step`, `tick` and proposals are allowed
 * between `ready` and `advance`; a failed write must end the member, never be skipped.
 */
export interface Ready {
  /** role, leader and term, where one of them changed; for information only, never durable */
  readonly status: RoleStatus | undefined;
  /** present when it changed */
  readonly hardState: HardState | undefined;
  readonly snapshot: Snapshot | undefined;
  readonly entries: readonly Entry[];
  /** the term, the vote, entries or a snapshot changed: not only the commit index */
  readonly mustSync: boolean;
  /** a leader's messages that promise nothing about its own disk (thesis, section 10.2.1) */
  readonly early: readonly Message[];
  readonly messages: readonly Message[];
  readonly committed: readonly Entry[];
  /** reads that may be answered once their index is applied, in the order they were asked */
  readonly reads: readonly ReadGrant[];
  /** reads whose leader lost its office before a quorum confirmed it: ask again elsewhere */
  readonly lostReads: readonly number[];
}

export interface RoleStatus {
  readonly role: Role;
  readonly term: number;
  /** NOBODY when not known */
  readonly leader: MemberId;
}
