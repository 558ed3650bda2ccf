import type { MemberId } from './entry.ts';

/**
 * Who belongs to a group. Voters decide elections and commits; learners receive the log and decide
 * nothing. Both lists ascend and share no member.
 */
export interface Configuration {
  readonly voters: readonly MemberId[];
  readonly learners: readonly MemberId[];
}

export const NO_CONFIGURATION: Configuration = { voters: [], learners: [] };

/**
 * One step of membership. A new member comes as a learner and is promoted once it has caught up, so
 * a group never waits for an empty log; each step moves one voter at most, so any majority before
 * it meets any majority after it (thesis, section 4.1).
 */
export type ConfigChange =
  | { readonly type: 'add-learner'; readonly member: MemberId }
  | { readonly type: 'promote'; readonly member: MemberId }
  | { readonly type: 'demote'; readonly member: MemberId }
  | { readonly type: 'remove'; readonly member: MemberId };

export type ConfigMistake =
  | 'already-member'
  | 'not-a-learner'
  | 'not-a-voter'
  | 'not-a-member'
  | 'last-voter'
  | 'too-many-members';

export function configurationOf(
  voters: readonly MemberId[],
  learners: readonly MemberId[] = [],
): Configuration {
  return { voters: ascending(voters), learners: ascending(learners) };
}

export function isVoter(config: Configuration, member: MemberId): boolean {
  return config.voters.includes(member);
}

export function isMember(config: Configuration, member: MemberId): boolean {
  return config.voters.includes(member) || config.learners.includes(member);
}

/** Voters, then learners. */
export function membersOf(config: Configuration): readonly MemberId[] {
  return config.learners.length === 0 ? config.voters : [...config.voters, ...config.learners];
}

/** The configuration after `change`, or why there is none. */
export function changed(
  config: Configuration,
  change: ConfigChange,
  maxMembers: number,
): Configuration | ConfigMistake {
  const { member } = change;
  const voter = isVoter(config, member);
  const learner = config.learners.includes(member);
  const without = (members: readonly MemberId[]): MemberId[] => members.filter((m) => m !== member);
  switch (change.type) {
    case 'add-learner':
      if (voter || learner) return 'already-member';
      if (membersOf(config).length >= maxMembers) return 'too-many-members';
      return configurationOf(config.voters, [...config.learners, member]);
    case 'promote':
      if (!learner) return 'not-a-learner';
      return configurationOf([...config.voters, member], without(config.learners));
    case 'demote':
      if (!voter) return 'not-a-voter';
      if (config.voters.length === 1) return 'last-voter';
      return configurationOf(without(config.voters), [...config.learners, member]);
    case 'remove':
      if (!voter && !learner) return 'not-a-member';
      if (voter && config.voters.length === 1) return 'last-voter';
      return configurationOf(without(config.voters), without(config.learners));
  }
}

/** What a stranger's value must pass to be taken as a configuration. */
export function isConfiguration(value: unknown): value is Configuration {
  if (typeof value !== 'object' || value === null) return false;
  const { voters, learners } = value as Record<string, unknown>;
  if (!isAscending(voters) || !isAscending(learners)) return false;
  return !voters.some((member) => learners.includes(member));
}

function isAscending(value: unknown): value is MemberId[] {
  if (!Array.isArray(value)) return false;
  return value.every(
    (member, at) => Number.isSafeInteger(member) && member > (at === 0 ? 0 : value[at - 1]),
  );
}

function ascending(members: readonly MemberId[]): MemberId[] {
  return [...new Set(members)].sort((a, b) => a - b);
}
