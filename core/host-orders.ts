import type { Host } from './books/host-book.ts';
import type { HostComparator } from './host-index.ts';

function subscribedRatioDifference(a: Host, b: Host): number {
  // Cross-multiplied, so that equal ratios are equal whatever the sizes of the hosts.
  return (
    a.subscribed.gpuMillis * Math.max(1, b.spec.gpuMillis) -
    b.subscribed.gpuMillis * Math.max(1, a.spec.gpuMillis)
  );
}

/** The orders in which hosts can be searched; each is total, by the id in the end. */
export const HOST_ORDERS = {
  /** lowest subscribed / spec GPUs, then most idle GPUs */
  'least-subscribed': (a, b) =>
    subscribedRatioDifference(a, b) || b.idle.gpuMillis - a.idle.gpuMillis || a.id - b.id,
  /** most idle GPUs */
  'most-idle': (a, b) => b.idle.gpuMillis - a.idle.gpuMillis || a.id - b.id,
  /** highest subscribed / spec GPUs, then fewest idle GPUs */
  'most-subscribed': (a, b) =>
    subscribedRatioDifference(b, a) || a.idle.gpuMillis - b.idle.gpuMillis || a.id - b.id,
} as const satisfies Record<string, HostComparator>;

export type HostOrder = keyof typeof HOST_ORDERS;
