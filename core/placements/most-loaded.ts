// Packs: the fullest host that still takes it, so that others stay empty and can be released.
import type { Placement } from './placement.ts';

export const mostLoaded = {
  name: 'most-loaded',
  summary: 'highest subscription ratio (or, where placements commit, fewest idle GPUs), then id',
  claimOrder: 'most-subscribed',
  choose: (state, { query, commits }) =>
    commits
      ? state.index.bestFit(query, false)
      : state.index.find(state.orders['most-subscribed'], query),
} satisfies Placement;
