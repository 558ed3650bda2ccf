// A large pool of warm containers that belong to nobody: each cell takes one and brings its state
// along (LCP in Carver et al., ASPLOS 2026; `middle-ground` in its code).
import type { Policy } from './policy.ts';

export const lcp = {
  name: 'lcp',
  summary: 'a large pool of warm containers; state is read before each cell unless it is there',
  defaults: {
    replicas: 1,
    placement: 'warm-first',
    scaling: 'predictive',
    loadBufferHosts: 0,
    prewarmPool: 'minimum',
    prewarmPerHost: -1,
    prewarmMaxPerHost: -1,
  },
  container: 'pool',
  commit: 'placement',
  replicated: false,
  stateRead: 'unless-warm',
  stateWrite: 'critical',
  deviceLoad: 'each',
  migrates: false,
  dynamicRequests: true,
  billing: 'committed',
} satisfies Policy;
