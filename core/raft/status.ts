import type { Configuration } from './configuration.ts';
import type { MemberId } from './entry.ts';
import type { Member } from './member.ts';
import type { ProgressState } from './progress.ts';
import type { RoleStatus } from './ready.ts';

export interface RaftStatus extends RoleStatus {
  readonly id: MemberId;
  readonly vote: MemberId;
  readonly first: number;
  readonly last: number;
  readonly committed: number;
  readonly handed: number;
  readonly config: Configuration;
  readonly configPending: boolean;
  /** NOBODY unless this leader is handing its office over */
  readonly transferee: MemberId;
  readonly resting: boolean;
  readonly droppedMessages: number;
  /** of a leader: the other members as it sees them */
  readonly members: readonly MemberStatus[];
}

export interface MemberStatus {
  readonly id: MemberId;
  readonly state: ProgressState;
  readonly match: number;
  readonly active: boolean;
}

export function roleStatusOf({ role, term, leader }: Member): RoleStatus {
  return { role, term, leader };
}

export function statusOf(m: Member): RaftStatus {
  const { first, last, committed, handed } = m.log;
  const { id, vote, config, configPending, transferee, resting, droppedMessages } = m;
  const members = [...m.progress].map(([member, { state, match, active }]) => ({
    id: member,
    state,
    match,
    active,
  }));
  const own = { id, vote, config, configPending, transferee, resting, droppedMessages, members };
  return { ...roleStatusOf(m), ...own, first, last, committed, handed };
}
