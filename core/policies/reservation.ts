// Reserves a session's GPUs from its opening to its close, as today's notebook platforms do
// (the baseline of Carver et al., ASPLOS 2026).
import type { Policy } from './policy.ts';

export const reservation = {
  name: 'reservation',
  summary: 'GPUs are committed for the whole session; one container, no replication',
  defaults: { replicas: 1, placement: 'random', scaling: 'on-demand', prewarmPool: 'none' },
  container: 'session',
  commit: 'placement',
  replicated: false,
  stateRead: 'never',
  stateWrite: 'none',
  deviceLoad: 'once',
  migrates: false,
  dynamicRequests: false,
  billing: 'reserved',
} satisfies Policy;
