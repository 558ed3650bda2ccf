import type { Host } from '../books/host-book.ts';
import type { HostOrder } from '../host-orders.ts';
import type { ResourceVector } from '../resources.ts';
import type { State } from '../state.ts';

/** A container that needs a host. */
export interface PlacementRequest {
  readonly need: Readonly<ResourceVector>;
  /** whether `need` must be idle, because it is committed with the placement */
  readonly commits: boolean;
  /** most subscribed GPUs / GPUs that `accept` allows, all replicas together; for pruning */
  readonly mostClaimed: number;
  readonly session: number;
  readonly replica: number;
  readonly attempt: number;
  /** whether the rules allow this host; placements only choose among those it takes */
  readonly accept: (host: Host) => boolean;
}

/** A choice among legal hosts: one small file each, pure. */
export interface Placement {
  readonly name: string;
  readonly summary: string;
  /** the host orders that `choose` searches: for claims alone, and for those that commit */
  readonly claimOrder: HostOrder;
  readonly commitOrder: HostOrder;
  /** the pool that an idle host joins with its first execution, until it is idle again */
  readonly poolOf?: (gpuMillis: number) => number;
  readonly choose: (state: State, request: PlacementRequest) => Host | undefined;
}
