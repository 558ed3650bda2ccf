// Spreads: the host with the lowest subscribed / spec GPUs; where GPUs are committed with the
// placement, the host with most idle GPUs.
import type { Placement } from './placement.ts';

export const leastLoaded = {
  name: 'least-loaded',
  summary: 'lowest subscription ratio (or, where placements commit, most idle GPUs), then id',
  claimOrder: 'least-subscribed',
  commitOrder: 'most-idle',
  choose: (state, { need, commits, accept, mostClaimed }) =>
    commits
      ? state.index.find(state.orders['most-idle'], need, accept)
      : state.index.find(
          state.orders['least-subscribed'],
          null,
          accept,
          need.gpuMillis,
          mostClaimed,
        ),
} satisfies Placement;
