// Least attained service in two queues, preemptive: an execution falls into the second queue once
// it has had its share of GPU time (Tiresias' discretised 2D-LAS; Gu et al., NSDI 2019, section 3).
import type { ExecutionView, Policy } from '../../core/policies/policy.ts';

/** GPU time, GPU-ms, after which an execution falls into the second queue. */
const QUEUE_GPU_MS = 30_000;

function queueOf({ gpuMillis, servedMs }: ExecutionView): number {
  return (gpuMillis * servedMs) / 1000 < QUEUE_GPU_MS ? 0 : 1;
}

function order(a: ExecutionView, b: ExecutionView): number {
  return queueOf(a) - queueOf(b) || a.submittedAtMs - b.submittedAtMs || a.id - b.id;
}

export default {
  name: 'las',
  summary: 'two queues by attained GPU time; those of the second give way',
  defaults: { placement: 'most-loaded', queueOrder: 'policy', strictOrder: true },
  container: 'execution',
  commit: 'placement',
  replicated: false,
  stateRead: 'always',
  stateWrite: 'critical',
  deviceLoad: 'each',
  migrates: false,
  dynamicRequests: true,
  billing: 'committed',
  suspends: true,
  everyMs: 10_000,
  order,
  onTimer: ({ running, waiting, gpuMillis }) => {
    let left = gpuMillis;
    let isFull = false;
    const givesWay = [];
    for (const execution of [...running, ...waiting].sort(order)) {
      isFull ||= execution.gpuMillis > left;
      if (!isFull) left -= execution.gpuMillis;
      else if (execution.host !== -1) givesWay.push(execution.id);
    }
    return givesWay.map((execution) => ({ kind: 'suspend' as const, execution }));
  },
} satisfies Policy;
