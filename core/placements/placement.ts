import type { Host } from '../books/host-book.ts';
import type { HostQuery } from '../host-index.ts';
import type { HostOrder } from '../host-orders.ts';
import type { State } from '../state.ts';

/**
 * A container that needs a host: which hosts the rules allow, and what the choice may depend on.
 */
export interface PlacementRequest {
  readonly query: HostQuery;
  /** whether GPUs are committed with the placement */
  readonly commits: boolean;
  readonly gpuMillis: number;
  readonly session: number;
  readonly replica: number;
  readonly attempt: number;
}

/** A choice among legal hosts: one small file each, pure. */
export interface Placement {
  readonly name: string;
  readonly summary: string;
  /** the host orders that `choose` searches: for claims alone, and for placements that commit */
  readonly claimOrder?: HostOrder;
  readonly commitOrder?: HostOrder;
  /** the pool that an idle host joins with its first execution, until it is idle again */
  readonly poolOf?: (gpuMillis: number) => number;
  readonly choose: (state: State, request: PlacementRequest) => Host | undefined;
}
