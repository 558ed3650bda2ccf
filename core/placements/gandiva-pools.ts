// Gandiva (Xiao et al., OSDI 2018): hosts are pooled by GPU count, so that jobs of one size share.
import type { Placement } from './placement.ts';

/** Pools for executions of at most 1, 2, 4 and 8 GPUs; larger ones share the last. */
const CLASSES = [1000, 2000, 4000, 8000] as const;

/** The pool, 1 to 4, of an execution that needs `gpuMillis`. */
function poolClassOf(gpuMillis: number): number {
  const at = CLASSES.findIndex((most) => gpuMillis <= most);
  return at === -1 ? CLASSES.length : at + 1;
}

export const gandivaPools = {
  name: 'gandiva-pools',
  summary: "the execution's own pool of hosts, a free host, then any other; most idle GPUs first",
  claimOrder: 'most-idle',
  commitOrder: 'most-idle',
  poolOf: poolClassOf,
  choose: (state, { query, gpuMillis }) => {
    const own = poolClassOf(gpuMillis);
    const order = state.orders['most-idle'];
    const inPool = (pool: number) =>
      state.index.find(order, {
        ...query,
        accept: (host) => host.poolClass === pool && query.accept(host),
      });
    return inPool(own) ?? inPool(0) ?? state.index.find(order, query);
  },
} satisfies Placement;
