import { NbosError } from '../../core/errors.ts';
import type { Uniform } from './draws.ts';
import type { Profile } from './profiles.ts';
import { valueAt } from './tables.ts';

export interface SessionSizes {
  /** rank of each session by cell count, 0 … 1, ascending */
  readonly rank: Float64Array;
  /** cells of each session, at least 1, ascending but for rounding */
  readonly cells: Uint32Array;
  /** index of each session's first cell; length sessions + 1 */
  readonly firstCell: Uint32Array;
}

/**
 * Cell counts of `sessions` sessions, one from each n-th of the profile's table, in ascending order.
 * With `cells`, counts are scaled until they sum to exactly that many.
 */
export function drawSizes(
  profile: Profile,
  sessions: number,
  cells: number | undefined,
  uniform: Uniform,
): SessionSizes {
  const rank = new Float64Array(sessions);
  const drawn = new Float64Array(sessions);
  for (let s = 0; s < sessions; s++) {
    rank[s] = (s + uniform()) / sessions;
    drawn[s] = valueAt(profile.cells, rank[s]!);
  }
  const counts = cells === undefined ? Uint32Array.from(drawn) : scaledTo(drawn, cells);
  const firstCell = new Uint32Array(sessions + 1);
  for (let s = 0; s < sessions; s++) firstCell[s + 1] = firstCell[s]! + counts[s]!;
  return { rank, cells: counts, firstCell };
}

function scaledTo(drawn: Float64Array, cells: number): Uint32Array {
  if (cells < drawn.length)
    throw new NbosError(
      'trace-unreachable',
      `${cells} cells cannot be spread over ${drawn.length} sessions: each needs one`,
      'Ask for more cells or fewer sessions.',
    );
  const totalAt = (factor: number): number => {
    let total = 0;
    for (const count of drawn) total += Math.max(1, Math.floor(count * factor));
    return total;
  };
  let low = 0;
  let high = 1;
  while (totalAt(high) <= cells) high *= 2;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (totalAt(middle) <= cells) low = middle;
    else high = middle;
  }
  const counts = Uint32Array.from(drawn, (count) => Math.max(1, Math.floor(count * low)));
  // What rounding left over goes to the largest sessions, where it changes least.
  let missing = cells - totalAt(low);
  for (let s = counts.length - 1; missing > 0; s = s === 0 ? counts.length - 1 : s - 1) {
    counts[s]!++;
    missing--;
  }
  return counts;
}
