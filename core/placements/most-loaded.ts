// Packs: the fullest host that still takes it, so that others stay empty and can be released.
import type { Placement } from './placement.ts';

export const mostLoaded = {
  name: 'most-loaded',
  summary: 'highest subscription ratio (or, where placements commit, fewest idle GPUs), then id',
  claimOrder: 'most-subscribed',
  commitOrder: 'best-fit',
  choose: (state, { need, commits, accept, mostClaimed }) =>
    commits
      ? state.index.find(state.orders['best-fit'], need, accept)
      : state.index.find(
          state.orders['most-subscribed'],
          null,
          accept,
          need.gpuMillis,
          mostClaimed,
        ),
} satisfies Placement;
