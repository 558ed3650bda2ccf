// Packs: the fullest host that still takes it, so that others stay empty and can be released.
import type { Placement } from './placement.ts';

export const mostLoaded = {
  name: 'most-loaded',
  summary: 'highest subscription ratio (or, where placements commit, fewest idle GPUs), then id',
  orders: ['most-subscribed', 'best-fit'],
  choose: (state, { need, commits, accept }) =>
    commits
      ? state.index.find(state.orders['best-fit'], need, accept)
      : state.index.find(state.orders['most-subscribed'], null, accept),
} satisfies Placement;
