// Cells as jobs on hosts pooled by GPU count, moved to any other host when the pool is full
// (after Xiao et al., OSDI 2018, as the reference system has it).
import type { Policy } from './policy.ts';

export const gandiva = {
  name: 'gandiva',
  summary: 'a container per execution on hosts pooled by GPU count',
  defaults: { replicas: 1, placement: 'gandiva-pools', scaling: 'on-demand', prewarmPool: 'none' },
  container: 'execution',
  commit: 'placement',
  replicated: false,
  stateRead: 'always',
  stateWrite: 'critical',
  deviceLoad: 'each',
  migrates: false,
  dynamicRequests: true,
  billing: 'committed',
} satisfies Policy;
