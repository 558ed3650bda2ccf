// Cells as jobs on hosts pooled by GPU count, moved to any other host when the pool is full
// (after Xiao et al., OSDI 2018, as the reference system has it).
import { batchFcfs } from './batch-fcfs.ts';
import type { Policy } from './policy.ts';

export const gandiva = {
  ...batchFcfs,
  name: 'gandiva',
  summary: 'a container per execution on hosts pooled by GPU count',
  defaults: { ...batchFcfs.defaults, placement: 'gandiva-pools' },
} satisfies Policy;
