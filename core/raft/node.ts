import { assert } from '../errors.ts';
import { becomeFollower, forgetLeader } from './become.ts';
import type { ConfigChange, Configuration } from './configuration.ts';
import { campaign, onOwnVoteDurable, tickElection } from './election.ts';
import {
  bytesOf,
  type Entry,
  type HardState,
  LOG_FORMAT,
  type MemberId,
  NOBODY,
  type Payload,
  type Snapshot,
} from './entry.ts';
import { Member } from './member.ts';
import type { Message, MessageType } from './messages.ts';
import type { RaftOptions } from './options.ts';
import { type Answer, propose, proposeChange, type Refusal } from './proposals.ts';
import { askRead, confirmReads } from './reads.ts';
import type { Ready, Role, RoleStatus } from './ready.ts';
import {
  maybeCommit,
  onSnapshotReport,
  onUnreachable,
  replicate,
  sendHeartbeats,
  tickLeader,
} from './replication.ts';
import { tickIdle, wake } from './rest.ts';
import { type RaftStatus, roleStatusOf, statusOf } from './status.ts';
import { FROM_LEADER, type StepOutcome, step } from './step.ts';
import { startTransfer } from './transfer.ts';

/** What a leader may send before its own write: see Ready. */
const EARLY: ReadonlySet<MessageType> = new Set<MessageType>([...FROM_LEADER, 'timeout-now']);

/**
 * One member of one Raft group, without any I/O: time comes in by `tick`, messages by `step`,
 * requests by the methods named for them, and everything to be done goes out by `ready`.
 */
export class RaftNode {
  readonly #m: Member;
  #durable: HardState;
  #shown: RoleStatus;
  #out: Ready | undefined;

  /** Starts from what the storage holds, as a follower. Throws on bad options and newer formats. */
  constructor(options: RaftOptions) {
    this.#m = new Member(options);
    this.#durable = this.#m.hardState;
    becomeFollower(this.#m, this.#m.term, NOBODY);
    this.#shown = roleStatusOf(this.#m);
  }

  get id(): MemberId {
    return this.#m.id;
  }

  get role(): Role {
    return this.#m.role;
  }

  get term(): number {
    return this.#m.term;
  }

  /** Whom this member takes for the leader; NOBODY when it knows none. */
  get leader(): MemberId {
    return this.#m.leader;
  }

  /** Index of the first entry that is not compacted away. */
  get first(): number {
    return this.#m.log.first;
  }

  /** Index of the last entry, durable or not. */
  get last(): number {
    return this.#m.log.last;
  }

  get committed(): number {
    return this.#m.log.committed;
  }

  /** The newest configuration in the log, on which this member acts. */
  get config(): Configuration {
    return this.#m.config;
  }

  /** Whether `config` is not known to be committed yet. */
  get configPending(): boolean {
    return this.#m.configPending;
  }

  /** Ticks do nothing until the next message or request: the caller may leave them out. */
  get resting(): boolean {
    return this.#m.resting;
  }

  /** A Ready was given and not advanced yet. */
  get busy(): boolean {
    return this.#out !== undefined;
  }

  /** One unit of time has passed. */
  tick(): void {
    const m = this.#m;
    if (m.resting) return;
    if (m.role === 'leader') {
      tickLeader(m);
      tickIdle(m);
    } else {
      tickElection(m);
    }
  }

  /** Takes a message that another member sent. From a wire, it must have passed `isMessage`. */
  step(message: Message): StepOutcome {
    return step(this.#m, message);
  }

  /** Appends payloads, all or none. See Accepted for what that promises. */
  propose(payloads: readonly Payload[]): Answer {
    return this.#request(() => propose(this.#m, payloads));
  }

  /** Changes the members by one step. `data` travels with it, to be told what the member is. */
  proposeChange(change: ConfigChange, data: Payload = ''): Answer {
    return this.#request(() => proposeChange(this.#m, change, data));
  }

  /** Asks for a linearizable read; Ready names `id` among its reads, or its lost reads, later. */
  read(id: number): Refusal | undefined {
    return this.#request(() => askRead(this.#m, id));
  }

  /** Hands the leadership to another voter; whether it went through shows in the status. */
  transferTo(target: MemberId): Refusal | undefined {
    return this.#request(() => startTransfer(this.#m, target));
  }

  /** Stands for election now, as if the leader had been silent. */
  campaign(): void {
    this.#request(() => {
      if (this.#m.role !== 'leader' && this.#m.mayCampaign) campaign(this.#m);
    });
  }

  /** Ends rest, since a host of the group may be lost. */
  wake(): void {
    wake(this.#m);
  }

  /** The leader is known to be gone: no lease of it holds any more. */
  forgetLeader(): void {
    this.#request(() => forgetLeader(this.#m));
  }

  /** A message to `member` could not be sent. */
  reportUnreachable(member: MemberId): void {
    onUnreachable(this.#m, member);
  }

  /** A snapshot for `member` was handed over, or could not be. */
  reportSnapshot(member: MemberId, delivered: boolean): void {
    onSnapshotReport(this.#m, member, delivered);
  }

  #request<Result>(serve: () => Result): Result {
    wake(this.#m);
    return serve();
  }

  /** What is to be done now, undefined when nothing is. See Ready for the contract. */
  ready(): Ready | undefined {
    assert(this.#out === undefined, 'a Ready is advanced before the next is asked for');
    const m = this.#m;
    this.#flush();
    const hardState = m.hardState;
    const { term, vote } = this.#durable;
    const promised = hardState.term === term && hardState.vote === vote;
    const changedState = !promised || hardState.commit !== this.#durable.commit;
    const { unstableEntries, unstableSnapshot } = m.log;
    assert(promised || m.role !== 'leader', 'the term and vote of a leader are on disk');
    const early = m.role === 'leader' ? m.outbox.filter(isEarly) : [];
    const ready: Ready = {
      status: this.#changedStatus(),
      hardState: changedState ? hardState : undefined,
      snapshot: unstableSnapshot,
      entries: [...unstableEntries],
      mustSync: !promised || unstableEntries.length > 0 || unstableSnapshot !== undefined,
      early,
      messages: early.length === 0 ? m.outbox : m.outbox.filter((message) => !isEarly(message)),
      committed: m.log.nextCommitted(m.limits.maxApplyBytes),
      reads: m.grantedReads,
      lostReads: m.lostReads,
    };
    if (isEmpty(ready)) return undefined;
    this.#take(ready);
    return ready;
  }

  #flush(): void {
    const m = this.#m;
    if (m.role !== 'leader') return;
    if (m.heartbeatDue) {
      sendHeartbeats(m, false);
      confirmReads(m);
    }
    replicate(m);
    m.commitDue = false;
  }

  #take(ready: Ready): void {
    const m = this.#m;
    this.#out = ready;
    this.#durable = ready.hardState ?? this.#durable;
    this.#shown = ready.status ?? this.#shown;
    m.outbox = [];
    m.grantedReads = [];
    m.lostReads = [];
    const last = ready.committed.at(-1);
    if (last === undefined) return;
    m.log.handed = last.index;
    m.uncommittedBytes = Math.max(0, m.uncommittedBytes - bytesOf(ready.committed));
  }

  /** With lazyCommit: what is committed by the next Ready is told to all with it. */
  announceCommit(): void {
    this.#m.commitDue = true;
  }

  /** The Ready that was given is done, as its contract says. */
  advance(): void {
    const ready = this.#out;
    assert(ready !== undefined, 'there is a Ready to advance');
    this.#out = undefined;
    const m = this.#m;
    const last = ready.entries.at(-1);
    if (last !== undefined) m.log.stableTo(last.index, last.term);
    if (ready.snapshot !== undefined) m.log.snapshotStable(ready.snapshot);
    const { term, vote } = this.#durable;
    if (term === m.term && vote === m.id) onOwnVoteDurable(m);
    if (m.role === 'leader') maybeCommit(m);
  }

  /**
   * A snapshot of the state machine, whose state after entry `index` is `data`; for the storage,
   * which may then be compacted up to `index`. Undefined when a snapshot of the leader is on its
   * way in and will replace it, when the storage has one that is as new, and as long as this member
   * does not know the group's voters.
   */
  snapshotAt(index: number, data: Payload): Snapshot | undefined {
    const { log } = this.#m;
    if (index < log.first) return undefined;
    assert(index <= log.handed, 'only what was handed out can have been applied');
    const term = log.term(index);
    const config = log.configs.at(index);
    // A new member does not know who belonged to the group before the entry that brought it in.
    if (term === undefined || config === undefined || config.voters.length === 0) return undefined;
    log.configs.compact(index);
    return { v: LOG_FORMAT, index, term, config, data };
  }

  status(): RaftStatus {
    return statusOf(this.#m);
  }

  /** Term of an entry of the log as it stands, durable or not; undefined when it is not there. */
  termAt(index: number): number | undefined {
    return this.#m.log.term(index);
  }

  /** Entries of the log as it stands, from ≤ index ≤ to, all of them there. */
  entriesAt(from: number, to: number): readonly Entry[] {
    return this.#m.log.slice(from, to, Number.POSITIVE_INFINITY);
  }

  #changedStatus(): RoleStatus | undefined {
    const now = roleStatusOf(this.#m);
    const { role, term, leader } = this.#shown;
    const same = now.role === role && now.term === term && now.leader === leader;
    return same ? undefined : now;
  }
}

function isEarly({ type }: Message): boolean {
  return EARLY.has(type);
}

function isEmpty(ready: Ready): boolean {
  const { status, hardState, snapshot } = ready;
  if (status !== undefined || hardState !== undefined || snapshot !== undefined) return false;
  const { entries, early, messages, committed, reads, lostReads } = ready;
  const lists = [entries, early, messages, committed, reads, lostReads];
  return lists.every(({ length }) => length === 0);
}
