import { NbosError } from '../errors.ts';
import type { MemberId } from './entry.ts';
import type { RaftStorage } from './storage.ts';

/** Time is counted in ticks, whose length is the caller's affair. Sizes: see payloadBytes. */
export interface RaftLimits {
  /** a follower waits this long for a leader, and up to twice as long, before it campaigns */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** ask before campaigning, so that a member that was cut off disturbs nobody (thesis, 9.6) */
  readonly preVote: boolean;
  /**
   * A leader that hears of no majority for electionTicks steps down, and a member that heard of its
   * leader within electionTicks votes for nobody else (thesis, 6.2 and 4.2.3).
   */
  readonly checkQuorum: boolean;
  /**
   * Followers learn of a commit with the next append or heartbeat, instead of by an append of its
   * own: half the messages, for a delay of at most heartbeatTicks. `announceCommit` tells at once.
   */
  readonly lazyCommit: boolean;
  /** a group without anything to do rests after so many ticks; 0: never */
  readonly restAfterTicks: number;
  /** a larger payload is refused */
  readonly maxEntryBytes: number;
  /** entries in one append; a single entry may pass it */
  readonly maxMessageBytes: number;
  /** appends to one member that are not answered yet, in number and bytes */
  readonly maxInflight: number;
  readonly maxInflightBytes: number;
  /** proposals that are not committed and handed out yet; more are refused */
  readonly maxUncommittedBytes: number;
  /** committed entries in one Ready; a single entry may pass it */
  readonly maxApplyBytes: number;
  /** messages between two Readies; more are dropped, which Raft allows */
  readonly maxOutbox: number;
  /** reads that wait for a quorum; more are refused */
  readonly maxReads: number;
  readonly maxMembers: number;
  /** a snapshot that was not acknowledged for so long is given up, and sent again if needed */
  readonly snapshotTicks: number;
  /** a learner is promoted only when it lacks no more entries than this */
  readonly promoteLag: number;
}

export const DEFAULT_LIMITS: RaftLimits = {
  electionTicks: 10,
  heartbeatTicks: 1,
  preVote: true,
  checkQuorum: true,
  lazyCommit: false,
  restAfterTicks: 0,
  maxEntryBytes: 1_048_576,
  maxMessageBytes: 1_048_576,
  maxInflight: 64,
  maxInflightBytes: 16_777_216,
  maxUncommittedBytes: 67_108_864,
  maxApplyBytes: 16_777_216,
  maxOutbox: 4_096,
  maxReads: 1_024,
  maxMembers: 16,
  snapshotTicks: 100,
  promoteLag: 64,
};

export interface RaftOptions extends Partial<RaftLimits> {
  readonly id: MemberId;
  readonly storage: RaftStorage;
  /** the next number of a generator, 0 ≤ x < 1; spreads election timeouts */
  readonly random: () => number;
  /**
   * What the state machine has durably applied; entries after it are handed out. Default: the index
   * of the storage's snapshot, for a state machine that is rebuilt from it.
   */
  readonly applied?: number;
}

/** Options completed and checked. Throws `config-bad-value` naming the first that is wrong. */
export function limitsOf(options: RaftOptions): RaftLimits {
  const limits = { ...DEFAULT_LIMITS };
  for (const name of Object.keys(DEFAULT_LIMITS) as (keyof RaftLimits)[]) {
    const given = options[name];
    if (given !== undefined) Object.assign(limits, { [name]: given });
    const value = limits[name];
    if (typeof value === 'boolean') continue;
    const least = name === 'restAfterTicks' || name === 'promoteLag' ? 0 : 1;
    if (!Number.isSafeInteger(value) || value < least) refuse(name, `${least} or more`, value);
  }
  if (!Number.isSafeInteger(options.id) || options.id < 1) refuse('id', '1 or more', options.id);
  if (limits.heartbeatTicks >= limits.electionTicks)
    refuse('heartbeatTicks', 'less than electionTicks', limits.heartbeatTicks);
  return limits;
}

function refuse(name: string, expected: string, value: unknown): never {
  throw new NbosError(
    'config-bad-value',
    `raft option ${name} is ${value}, expected an integer of ${expected}`,
  );
}
