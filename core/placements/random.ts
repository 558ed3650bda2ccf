// Uniform over the hosts that fit, by a hash of (seed, session, replica, attempt).
import { hash4 } from '../hash.ts';
import type { State } from '../state.ts';
import type { Placement, PlacementRequest } from './placement.ts';

/** Probes before the search goes on in a fixed order from a hashed start. */
const PROBES = 24;

function hashOf(state: State, { session, replica, attempt }: PlacementRequest, probe: number) {
  return hash4(state.config.seed, session, replica * 65_536 + attempt, probe);
}

export const random = {
  name: 'random',
  summary: 'uniform over the hosts that fit, repeatable by seed',
  choose: (state, request) => {
    const { accept, need } = request.query;
    const count = state.up.length;
    if (count === 0 || (need !== null && !state.index.mayFit(need))) return undefined;
    // Rejection sampling is exactly uniform over the hosts that fit.
    for (let probe = 0; probe < PROBES; probe++) {
      const host = state.hosts[state.up[hashOf(state, request, probe) % count]!]!;
      if (accept(host)) return host;
    }
    const start = hashOf(state, request, PROBES) % count;
    for (let step = 0; step < count; step++) {
      const host = state.hosts[state.up[(start + step) % count]!]!;
      if (accept(host)) return host;
    }
    return undefined;
  },
} satisfies Placement;
