// For pools of containers: best fit among hosts with an idle pool container, else best fit, cold.
import type { Placement } from './placement.ts';

export const warmFirst = {
  name: 'warm-first',
  summary: 'fewest idle GPUs among hosts with a warm container, else among all that fit',
  choose: (state, { query }) => state.index.bestFit(query, true),
} satisfies Placement;
