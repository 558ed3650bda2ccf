import type { ResourceVector } from '../resources.ts';
import type { Lease } from './host-book.ts';

export type ReplicaState = 'missing' | 'starting' | 'joining' | 'recovering' | 'ready';

/**
 * One copy of a kernel, with the GPUs it holds where placements commit. `missing`: it has no
 * container and waits for a host. `recovering`: it votes, but its process is not up.
 */
export interface Replica extends Lease {
  container: number;
  host: number;
  state: ReplicaState;
}

/** A replica that is being moved: `container` on `host` takes the place of replica `replica`. */
export interface Migration {
  replica: number;
  container: number;
  host: number;
  /** execution it is for, by slot; -1 when the old host is being drained */
  execution: number;
}

/** A user's notebook and its kernel. Plain data. */
export interface Session {
  readonly id: number;
  state: 'open' | 'closing' | 'closed';
  need: Readonly<ResourceVector>;
  gpuType: string;
  openedAt: number;
  /** `idle`: no containers, by policy or reclaimed; `placed`: its replicas have or await hosts */
  kernel: 'idle' | 'placed';
  replicas: Replica[];
  /** how many it is to have while it is placed */
  readonly replicaCount: number;
  migrations: Migration[];
  /** execution under way, by slot; -1 for none */
  active: number;
  /** executions that wait for it, by slot, oldest first */
  queue: number[];
  /** replica, host and container of the last execution; -1 before the first */
  lastReplica: number;
  lastContainer: number;
  executed: number;
  deviceLoaded: boolean;
  /** the kernel's state is in the store and must be read before use */
  checkpointed: boolean;
  /** last moment at which it was created, submitted to, started or ended something */
  lastActiveAt: number;
  /** its last executor holds what cannot be carried elsewhere */
  pinned: boolean;
  /** attempt number of placements, a key of random choices */
  placements: number;
  waitingForHosts: boolean;
  /** containers of its replicas that failed to start since one last did */
  failedStarts: number;
  /** pending host whose GPUs are promised to its placement; -1 for none */
  promised: number;
  migrated: number;
}

export function newSession(
  id: number,
  need: Readonly<ResourceVector>,
  gpuType: string,
  at: number,
  replicaCount: number,
): Session {
  return {
    id,
    state: 'open',
    need,
    gpuType,
    openedAt: at,
    kernel: 'idle',
    replicas: [],
    replicaCount,
    migrations: [],
    active: -1,
    queue: [],
    lastReplica: -1,
    lastContainer: -1,
    executed: 0,
    deviceLoaded: false,
    checkpointed: false,
    lastActiveAt: at,
    pinned: false,
    placements: 0,
    waitingForHosts: false,
    failedStarts: 0,
    promised: -1,
    migrated: 0,
  };
}

export function readyReplicas(session: Session): number {
  let ready = 0;
  for (const replica of session.replicas) if (replica.state === 'ready') ready++;
  return ready;
}

export function isBeingMoved(session: Session, replica: number): boolean {
  for (const migration of session.migrations) if (migration.replica === replica) return true;
  return false;
}

/** Replicas that take part in its log, whether or not their processes run. */
export function votingReplicas(session: Session): number {
  let voting = readyReplicas(session);
  for (const replica of session.replicas) if (replica.state === 'recovering') voting++;
  return voting;
}

/** Whether a majority of its replicas can agree on an executor, and one of them can be it. */
export function isUsable(session: Session): boolean {
  const { length } = session.replicas;
  return readyReplicas(session) > 0 && votingReplicas(session) * 2 > length;
}
