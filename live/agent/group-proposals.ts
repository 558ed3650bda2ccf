import { NbosError } from '../../core/errors.ts';
import { NOBODY, type RaftNode, REFUSALS, type Refusal } from '../../core/raft/index.ts';
import type { LogEntry } from '../log/entries.ts';
import { checkEntry, encodeEntry } from '../log/entry-codec.ts';
import { isEntry } from '../log/entry-shapes.ts';
import type { GroupLimits } from './group-options.ts';
import type { ForwardAnswer, Peers } from './ports.ts';

/** What proposals need of the group they belong to. */
export interface ProposalsOf {
  readonly kernel: string;
  readonly node: RaftNode;
  readonly peers: Peers;
  readonly now: () => number;
  readonly limits: GroupLimits;
  /** host of a member, undefined when not known */
  hostOf(member: number): string | undefined;
  /** Handles what the node has to do now. */
  pump(): void;
}

/** What became of entries that were put into the own log. */
type Fate = 'committed' | 'lost' | 'late';

interface Waiter {
  readonly last: number;
  readonly term: number;
  readonly since: number;
  readonly deadline: number;
  readonly settle: (fate: Fate) => void;
}

/** Refusals that pass; what else is refused, is so for good. */
const PASSING: ReadonlySet<string> = new Set<Refusal | 'unknown-kernel' | 'no-quorum'>([
  'not-leader',
  'not-ready',
  'transferring',
  'overloaded',
  'change-pending',
  'learner-behind',
  'unknown-kernel',
  'no-quorum',
]);

/** How many calls may wait at once; the gateway queues cells, so this is never met. */
const MOST_CALLS = 4096;

/**
 * Proposals of one group until their fate is known: put into the log where this member leads,
 * forwarded where another does, and tried again where the fate is unknown. Entries bear that: one
 * that is there twice counts once.
 */
export class Proposals {
  readonly #of: ProposalsOf;
  #waiters: Waiter[] = [];
  #paused: (() => void)[] = [];
  #calls = 0;
  /** since when something is asked without anything being committed; undefined: nothing is */
  #starvingSince: number | undefined;
  #stopped: NbosError | undefined;

  constructor(of: ProposalsOf) {
    this.#of = of;
  }

  /**
   * Resolves when committed. Rejects `no-quorum` after the time limit, `entry-too-large`, and
   * `replica-stopped`; after `no-quorum` the entries may be committed still.
   */
  async propose(entries: readonly LogEntry[], limitMs: number): Promise<void> {
    const { now } = this.#of;
    if (this.#calls >= MOST_CALLS) throw this.#noQuorum('too many proposals wait');
    for (const entry of entries) checkEntry(entry);
    const payloads = entries.map(encodeEntry);
    const deadline = now() + limitMs;
    this.#calls++;
    this.#starvingSince ??= now();
    try {
      for (;;) {
        const reason = await this.#attempt(entries, payloads, deadline);
        if (reason === undefined) return;
        if (!PASSING.has(reason)) throw this.#refused(reason);
        if (now() >= deadline) throw this.#noQuorum(`it took more than ${limitMs} ms`);
        await this.pause();
      }
    } finally {
      if (--this.#calls === 0) this.#starvingSince = undefined;
    }
  }

  /** Why not, undefined when committed. */
  async #attempt(
    entries: readonly LogEntry[],
    payloads: readonly string[],
    deadline: number,
  ): Promise<string | undefined> {
    if (this.#stopped !== undefined) throw this.#stopped;
    const { node, kernel, peers } = this.#of;
    if (node.role === 'leader') return this.#here(payloads, deadline);
    const host = this.#of.hostOf(node.leader);
    if (node.leader === NOBODY || host === undefined) {
      node.wake();
      return 'not-leader';
    }
    try {
      const answer = await peers.forward(host, kernel, entries);
      if (answer.ok) return undefined;
      // Its group has stopped there: no lease of it holds.
      if (answer.code === 'unknown-kernel') node.forgetLeader();
      return answer.code;
    } catch {
      // A leader that rests may be gone unnoticed: wait for it with a clock from now on.
      node.wake();
      return 'not-leader';
    }
  }

  async #here(payloads: readonly string[], deadline: number): Promise<string | undefined> {
    const answer = this.#of.node.propose(payloads);
    if (!answer.ok) return answer.reason;
    const fate = this.fateOf(answer.last, answer.term, deadline);
    this.#of.pump();
    switch (await fate) {
      case 'committed':
        return undefined;
      case 'lost':
        return 'not-leader';
      case 'late':
        return 'no-quorum';
    }
  }

  /** Proposes if this member leads, for a peer that forwards. Never rejects. */
  async proposeHere(entries: readonly LogEntry[], limitMs: number): Promise<ForwardAnswer> {
    const { node, now } = this.#of;
    const leader = this.#of.hostOf(node.leader) ?? '';
    if (this.#stopped !== undefined) return { ok: false, code: 'unknown-kernel', leader: '' };
    if (node.role !== 'leader') {
      // Whoever asks may have lost the leader: a group at rest would not notice.
      node.wake();
      return { ok: false, code: 'not-leader', leader };
    }
    for (const entry of entries)
      if (!isEntry(entry)) return { ok: false, code: 'entry-invalid', leader };
    this.#calls++;
    this.#starvingSince ??= now();
    const reason = await this.#here(entries.map(encodeEntry), now() + limitMs);
    if (--this.#calls === 0) this.#starvingSince = undefined;
    return { ok: reason === undefined, code: reason ?? '', leader };
  }

  /** Resolves once it is known what became of the entry of `term` at `last`. */
  fateOf(last: number, term: number, deadline: number): Promise<Fate> {
    return new Promise((settle) => {
      this.#waiters.push({ last, term, since: this.#of.now(), deadline, settle });
    });
  }

  /** Until something changed in the group, or the next tick. */
  pause(): Promise<void> {
    if (this.#stopped !== undefined) return Promise.resolve();
    return new Promise((resume) => this.#paused.push(resume));
  }

  /** An entry was applied here. */
  onApplied(index: number, term: number): void {
    if (this.#starvingSince !== undefined) this.#starvingSince = this.#of.now();
    if (this.#waiters.length === 0) return;
    this.#settleWhere((waiter) => {
      if (waiter.last > index) return undefined;
      return waiter.last === index && waiter.term === term ? 'committed' : 'lost';
    });
  }

  /** Everything up to `index` came as a snapshot: what stood there is not known here. */
  onRestored(index: number): void {
    this.#settleWhere(({ last }) => (last <= index ? 'lost' : undefined));
  }

  /** Role, leader or term changed: those that wait for a leader go on, those cut away are lost. */
  onRole(): void {
    const { node } = this.#of;
    this.#settleWhere(({ last, term }) => (node.termAt(last) === term ? undefined : 'lost'));
    this.#resume();
  }

  tick(): void {
    const { now, node } = this.#of;
    if (this.#waiters.length > 0)
      this.#settleWhere(({ last, term, deadline }) => {
        if (now() >= deadline) return 'late';
        return node.role !== 'leader' && node.termAt(last) !== term ? 'lost' : undefined;
      });
    this.#resume();
  }

  /** ms for which something was asked and nothing committed. */
  get starvingMs(): number {
    return this.#starvingSince === undefined ? 0 : this.#of.now() - this.#starvingSince;
  }

  stop(error: NbosError): void {
    this.#stopped ??= error;
    this.#settleWhere(() => 'lost');
    this.#resume();
  }

  get stopped(): NbosError | undefined {
    return this.#stopped;
  }

  #settleWhere(fateOf: (waiter: Waiter) => Fate | undefined): void {
    const left: Waiter[] = [];
    const settled: [Waiter, Fate][] = [];
    for (const waiter of this.#waiters) {
      const fate = fateOf(waiter);
      if (fate === undefined) left.push(waiter);
      else settled.push([waiter, fate]);
    }
    this.#waiters = left;
    for (const [{ settle }, fate] of settled) settle(fate);
  }

  #resume(): void {
    if (this.#paused.length === 0) return;
    const paused = this.#paused;
    this.#paused = [];
    for (const resume of paused) resume();
  }

  #noQuorum(why: string): NbosError {
    const { kernel } = this.#of;
    return new NbosError(
      'no-quorum',
      `the log of kernel ${kernel} could not take an entry: ${why}`,
      'See with `nbos status` which hosts of the kernel are up.',
    );
  }

  #refused(reason: string): NbosError {
    const { kernel } = this.#of;
    const why = REFUSALS[reason as Refusal] ?? reason;
    if (reason === 'too-large')
      return new NbosError(
        'entry-too-large',
        `an entry is too large for the log of kernel ${kernel}: ${why}`,
        'Send a smaller cell.',
      );
    return new NbosError('change-refused', `kernel ${kernel}: ${why}`);
  }
}

/** Whether a refusal passes by itself. */
export function passes(reason: Refusal): boolean {
  return PASSING.has(reason);
}
