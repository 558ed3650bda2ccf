import type { Configuration } from './configuration.ts';
import type { MemberId } from './entry.ts';

export function majority(voters: number): number {
  return Math.floor(voters / 2) + 1;
}

/**
 * The largest number that a majority of the voters has reached, by what each has reached; 0 without
 * voters. With match indexes it is what is replicated on a majority (section 5.3).
 */
export function reachedByQuorum(
  { voters }: Configuration,
  reached: (member: MemberId) => number,
): number {
  if (voters.length === 0) return 0;
  const sorted = voters.map(reached).sort((a, b) => b - a);
  return sorted[majority(voters.length) - 1]!;
}

export type Tally = 'won' | 'lost' | 'open';

/** Where an election stands: only votes of voters count, each once (section 5.2). */
export function tally({ voters }: Configuration, votes: ReadonlyMap<MemberId, boolean>): Tally {
  const needed = majority(voters.length);
  let granted = 0;
  let open = 0;
  for (const voter of voters) {
    const vote = votes.get(voter);
    if (vote === true) granted++;
    else if (vote === undefined) open++;
  }
  if (granted >= needed) return 'won';
  return granted + open >= needed ? 'open' : 'lost';
}
