// Replicated kernels on oversubscribed hosts: GPUs are bound to one replica while a cell runs
// (Carver et al., ASPLOS 2026; `static` in its code). `replicas` 1, 3 or 5.
import type { Policy } from './policy.ts';

export const notebookos = {
  name: 'notebookos',
  summary: 'replicas in step through Raft, GPUs bound only while a cell runs, migration',
  defaults: {
    replicas: 3,
    placement: 'least-loaded',
    scaling: 'predictive',
    prewarmPool: 'minimum',
    prewarmPerHost: 1,
  },
  container: 'session',
  commit: 'execution',
  replicated: true,
  stateRead: 'never',
  stateWrite: 'background',
  deviceLoad: 'each',
  migrates: true,
  dynamicRequests: true,
  billing: 'committed',
} satisfies Policy;
