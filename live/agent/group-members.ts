import { NbosError } from '../../core/errors.ts';
import {
  type ConfigChange,
  isMember,
  isVoter,
  membersOf,
  type RaftNode,
  REFUSALS,
} from '../../core/raft/index.ts';
import type { MemberAddress } from '../wire/messages.ts';
import { encodeChange } from './group-identity.ts';
import { type Proposals, type ProposalsOf, passes } from './group-proposals.ts';

/** Nobody else is to be heard before it may lead. */
export function isAlone({ config }: RaftNode, member: number): boolean {
  return membersOf(config).length === 1 && config.voters[0] === member;
}

/** One change of a group's members, step by step; each step may be done already. */
export class MemberChange {
  readonly #of: ProposalsOf;
  readonly #proposals: Proposals;
  readonly #deadline: number;

  constructor(of: ProposalsOf, proposals: Proposals) {
    this.#of = of;
    this.#proposals = proposals;
    this.#deadline = of.now() + of.limits.changeMs;
  }

  /**
   * Adds a learner, promotes it once it has caught up, then removes. Asked again after a failure it
   * goes on where it stopped. Rejects `not-leader` (naming who leads), `change-refused`.
   */
  async run(add: MemberAddress | undefined, remove: number | undefined): Promise<void> {
    const { node } = this.#of;
    if (add !== undefined) {
      const { member } = add;
      if (!isMember(node.config, member)) await this.#step({ type: 'add-learner', member }, add);
      if (!isVoter(node.config, member)) await this.#step({ type: 'promote', member }, add);
    }
    if (remove !== undefined && isMember(node.config, remove))
      await this.#step({ type: 'remove', member: remove }, undefined);
  }

  async #step(change: ConfigChange, add: MemberAddress | undefined): Promise<void> {
    const { node, now } = this.#of;
    for (;;) {
      if (this.#proposals.stopped !== undefined) throw this.#proposals.stopped;
      const answer = node.proposeChange(change, encodeChange(add));
      if (answer.ok) {
        const fate = this.#proposals.fateOf(answer.last, answer.term, this.#deadline);
        this.#of.pump();
        const known = await fate;
        if (known === 'committed' || isDone(node, change)) return;
      } else if (answer.reason === 'not-leader') throw this.#notLeader();
      else if (!passes(answer.reason)) throw this.#refused(change, REFUSALS[answer.reason]);
      if (now() >= this.#deadline) throw this.#refused(change, 'it took too long');
      await this.#proposals.pause();
    }
  }

  #notLeader(): NbosError {
    const { kernel, node, hostOf } = this.#of;
    const leader = hostOf(node.leader) ?? 'not known';
    return new NbosError(
      'not-leader',
      `kernel ${kernel}: this host does not lead; the leader is ${leader}`,
      'Ask the host of the leader.',
    );
  }

  #refused({ type, member }: ConfigChange, why: string): NbosError {
    const { kernel } = this.#of;
    return new NbosError(
      'change-refused',
      `kernel ${kernel}: ${type} of member ${member}: ${why}`,
      'See with `nbos status` whether all members of the kernel are up, and try again.',
    );
  }
}

function isDone({ config, configPending }: RaftNode, { type, member }: ConfigChange): boolean {
  if (configPending) return false;
  switch (type) {
    case 'add-learner':
      return isMember(config, member);
    case 'promote':
      return isVoter(config, member);
    default:
      return !isMember(config, member);
  }
}
