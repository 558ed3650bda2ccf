// Spreads: the host with the lowest subscribed / spec GPUs; where GPUs are committed with the
// placement, the host with most idle GPUs.
import type { Placement } from './placement.ts';

export const leastLoaded = {
  name: 'least-loaded',
  summary: 'lowest subscription ratio (or, where placements commit, most idle GPUs), then id',
  claimOrder: 'least-subscribed',
  commitOrder: 'most-idle',
  choose: (state, { query, commits }) =>
    state.index.find(state.orders[commits ? 'most-idle' : 'least-subscribed'], query),
} satisfies Placement;
