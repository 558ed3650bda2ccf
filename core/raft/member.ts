import { assert } from '../errors.ts';
import { type Configuration, isVoter } from './configuration.ts';
import { type HardState, type MemberId, NOBODY } from './entry.ts';
import { RaftLog } from './log.ts';
import type { Message } from './messages.ts';
import { limitsOf, type RaftLimits, type RaftOptions } from './options.ts';
import type { Progress } from './progress.ts';
import type { ReadGrant, Role } from './ready.ts';

export interface WaitingRead extends ReadGrant {
  /** the heartbeat round that a quorum must answer first */
  readonly round: number;
}

/**
 * All state of one member of one group, for the files beside this one. Role, term, vote and leader
 * are written in become.ts only.
 */
export class Member {
  readonly id: MemberId;
  readonly limits: RaftLimits;
  readonly random: () => number;
  readonly log: RaftLog;

  role: Role = 'follower';
  term: number;
  vote: MemberId;
  leader: MemberId = NOBODY;

  /** ticks since the leader was heard from; of a leader, since it last checked its quorum */
  electionElapsed = 0;
  /** drawn anew for each term and campaign */
  electionTimeout = 0;
  heartbeatElapsed = 0;

  /** of a campaign: who answered what */
  readonly votes = new Map<MemberId, boolean>();

  /** of a leader: how it feeds each other member of its latest configuration */
  readonly progress = new Map<MemberId, Progress>();
  /** of a leader: whom it is handing its office to */
  transferee: MemberId = NOBODY;
  transferTicks = 0;
  /** of a leader: proposals that were not handed out yet */
  uncommittedBytes = 0;
  /** of a leader: the latest heartbeat round that was sent */
  round = 0;
  /** of a leader: a heartbeat is to be sent with the next Ready */
  heartbeatDue = false;
  /** of a leader: followers are to be told of commits with the next Ready, even if lazyCommit */
  commitDue = false;

  waitingReads: WaitingRead[] = [];
  grantedReads: ReadGrant[] = [];
  lostReads: number[] = [];

  /** ticks are ignored until something comes */
  resting = false;
  idleTicks = 0;

  outbox: Message[] = [];
  droppedMessages = 0;

  constructor(options: RaftOptions) {
    this.limits = limitsOf(options);
    this.id = options.id;
    this.random = options.random;
    const { term, vote, commit } = options.storage.hardState();
    const snapshot = options.storage.snapshot();
    // A member that starts from another's snapshot has no hard state of its own yet.
    this.term = Math.max(term, snapshot.term);
    this.vote = this.term === term ? vote : NOBODY;
    this.log = new RaftLog(options.storage, commit, options.applied ?? snapshot.index);
    assert(this.log.lastTerm <= this.term, 'entries and their term are written together');
  }

  /** The newest configuration in the log, committed or not. */
  get config(): Configuration {
    return this.log.configs.latest;
  }

  get configPending(): boolean {
    return this.log.configs.latestIndex > this.log.committed;
  }

  get hardState(): HardState {
    return { term: this.term, vote: this.vote, commit: this.log.committed };
  }

  /**
   * A voter may. So may one that an uncommitted entry removes: its log may be the only one that can
   * still commit the removal (thesis, section 4.2.2).
   */
  get mayCampaign(): boolean {
    if (isVoter(this.config, this.id)) return true;
    const settled = this.log.configs.at(this.log.committed);
    return this.configPending && settled !== undefined && isVoter(settled, this.id);
  }

  send(message: Message): void {
    if (this.outbox.length < this.limits.maxOutbox) this.outbox.push(message);
    else this.droppedMessages++;
  }
}
