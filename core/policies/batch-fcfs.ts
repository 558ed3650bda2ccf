// Runs each cell as a batch job: a fresh container on whatever host fits, first come first served
// (the Batch baseline of Carver et al., ASPLOS 2026).
import type { Policy } from './policy.ts';

export const batchFcfs = {
  name: 'batch-fcfs',
  summary: 'a container per execution, FIFO; state is read before and written after each cell',
  defaults: { replicas: 1, placement: 'random', scaling: 'on-demand', prewarmPool: 'none' },
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
