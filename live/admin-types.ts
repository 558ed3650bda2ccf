/** Answers of the admin API under /nbos, read by the commands. All need a token; faults need more. */

/** GET /nbos/status */
export interface SystemStatus {
  gateway: { pid: number; url: string; version: string; policy: string; startedAt: string };
  hosts: HostStatus[];
  kernels: KernelStatus[];
}

export interface HostStatus {
  id: string;
  pid: number;
  up: boolean;
  gpus: number;
  gpusCommitted: number;
  replicas: number;
  /** why it is not used, or '' */
  note: string;
}

export interface KernelStatus {
  id: string;
  user: string;
  spec: string;
  path: string;
  state: string;
  /** id of the replica that ran last or runs; '' before the first cell */
  executor: string;
  replicas: ReplicaStatus[];
  unreplicated: { name: string; reason: string }[];
  pinned: string[];
  stateBytes: number;
  /** ms that the last cell's state took to be saved */
  savedMs: number;
  /** waiting and running cells */
  queue: { cell: number; state: 'waiting' | 'running'; reason: string; sinceMs: number }[];
}

export interface ReplicaStatus {
  /** "KERNEL/MEMBER" shortened to what is unique */
  id: string;
  host: string;
  /** of the kernel process, 0 when there is none */
  pid: number;
  role: 'leader' | 'follower' | 'learner' | 'candidate' | 'gone';
  applied: number;
  process: 'starting' | 'ready' | 'behind' | 'dead';
}

/** POST /nbos/faults, only with --enable-faults */
export type FaultRequest =
  | { fault: 'fail-next'; kernel: string }
  | { fault: 'yield-next'; kernel: string; times?: number }
  | { fault: 'kill-replica'; kernel: string; replica?: string }
  | { fault: 'disconnect-host'; host: string; forMs?: number }
  | { fault: 'slow-host'; host: string; delayMs: number; forMs?: number }
  | { fault: 'disk-full'; host: string; forMs?: number }
  | { fault: 'move-every-cell'; on: boolean };

/** POST /nbos/kernels/ID/migrate */
export interface MigrateRequest {
  /** replica to move, else the one the core would */
  replica?: string;
  /** host to move to, else the core's choice */
  to?: string;
}
