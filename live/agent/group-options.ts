import type { RaftLimits, RoleStatus } from '../../core/raft/index.ts';
import type { LogEntry } from '../log/entries.ts';
import type { LogStore, Peers } from './ports.ts';

/** Where background work says what went wrong; pino fits. */
export interface Logger {
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface GroupLimits {
  /** see core/raft; ticks are the agent's */
  readonly raft: Partial<RaftLimits>;
  /** a proposal that is not committed by then is refused */
  readonly proposeMs: number;
  /** one that a peer forwarded */
  readonly forwardedMs: number;
  /** a change of members, with the time that a new one takes to catch up */
  readonly changeMs: number;
  /** without any commit while something is asked, a group counts as without a quorum */
  readonly lostQuorumMs: number;
  /** a snapshot is made after so many entries, or so many bytes of them */
  readonly snapshotEntries: number;
  readonly snapshotBytes: number;
  /** entries kept behind a snapshot for members that lag a little */
  readonly keptEntries: number;
  /** ticks after which a commit index is written that came without anything else to write */
  readonly commitTicks: number;
}

export const GROUP_LIMITS: GroupLimits = {
  raft: {
    electionTicks: 10,
    heartbeatTicks: 2,
    lazyCommit: true,
    restAfterTicks: 20,
    maxEntryBytes: 16_777_216,
    maxMessageBytes: 4_194_304,
    maxApplyBytes: 1_048_576,
  },
  proposeMs: 10_000,
  forwardedMs: 5_000,
  changeMs: 60_000,
  lostQuorumMs: 5_000,
  snapshotEntries: 256,
  snapshotBytes: 16_777_216,
  keptEntries: 64,
  commitTicks: 4,
};

/** What a group is run for. All calls are made from the group's loop, in the order of the log. */
export interface GroupMachine {
  apply(index: number, entry: LogEntry): void;
  /** Plain data of everything applied so far. */
  snapshot(): unknown;
  /** Goes on from what `snapshot` gave on some member; undefined for the beginning. */
  restore(state: unknown): void;
  onRole(status: RoleStatus): void;
  /** Nothing could be committed for `lostQuorumMs` while something was asked. */
  onLostQuorum(): void;
  /** The group has stopped for good. */
  onFailed(error: unknown): void;
}

export interface GroupOptions {
  readonly kernel: string;
  readonly store: LogStore;
  readonly peers: Peers;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  /** ms that never run backwards */
  readonly now: () => number;
  readonly log: Logger;
  readonly limits: GroupLimits;
}
