import type { ProcessState } from './wire/messages.ts';

export type { JournalLine } from '../core/record/journal.ts';

/**
 * The admin API under /nbos, read by the commands. All routes need a token; what is not one's own
 * kernel needs an admin's. Errors: a fitting status with {code, message, hint}.
 *
 *   GET    /nbos/status                    SystemStatus
 *   GET    /nbos/kernels/ID/cells          CellRecord[], oldest first
 *   GET    /nbos/kernels/ID/cells/MSGID    {outputs}: nbformat outputs of one cell so far
 *   POST   /nbos/kernels/ID/migrate        MigrateRequest, answered by MigrateAnswer when done
 *   POST   /nbos/kernels/ID/recover        RecoverRequest of an admin, answered by RecoverAnswer
 *   POST   /nbos/workspace                {mark}, answered by HostSight[]
 *   POST   /nbos/hosts/ID/drain          HostStatus: takes no new work and is being emptied
 *   POST   /nbos/hosts/ID/enable         HostStatus: may have work again
 *   POST   /nbos/faults                    FaultRequest, 204
 *   GET    /nbos/journal                   NDJSON of JournalLine, oldest first
 *   GET    /nbos/tokens                    TokenRecord[]
 *   POST   /nbos/tokens                    {name, admin}, answered by TokenRecord with `token`
 *   DELETE /nbos/tokens/NAME               204
 */

/** GET /nbos/status */
export interface SystemStatus {
  gateway: { pid: number; url: string; version: string; policy: string; startedAt: string };
  hosts: HostStatus[];
  kernels: KernelStatus[];
}

/**
 * up: has work, or may get some; draining: is being emptied; drained: an operator has taken it out
 * of service; idle: there, and not needed now; down: not heard
 */
export type HostState = 'up' | 'draining' | 'drained' | 'idle' | 'down';

export interface HostStatus {
  id: string;
  pid: number;
  up: boolean;
  state: HostState;
  gpus: number;
  gpusCommitted: number;
  replicas: number;
  /** why it is not used, or '' */
  note: string;
  /** why nothing keeps kernels from GPUs that they have no lease for; left out where something does */
  unguardedGpus?: string;
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
  /** undefined where there is no store, or nobody leads the kernel at the moment */
  store?: StoreStanding;
  /** waiting and running cells */
  queue: { cell: number; state: 'waiting' | 'running'; reason: string; sinceMs: number }[];
}

/** How far what the store has of a kernel is behind. */
export interface StoreStanding {
  saved: boolean;
  /** ms that it has been behind, 0 when it is not */
  behindMs: number;
  /** of files that are not there yet */
  bytes: number;
}

export interface ReplicaStatus {
  /** "KERNEL/MEMBER" shortened to what is unique */
  id: string;
  host: string;
  /** of the kernel process, 0 when there is none */
  pid: number;
  role: 'leader' | 'follower' | 'learner' | 'candidate' | 'gone';
  applied: number;
  process: ProcessState;
}

/** POST /nbos/workspace {mark}: of each host that is up. */
export interface HostSight {
  host: string;
  /** unknown: its kernels have a volume, or it did not answer */
  sees: 'yes' | 'no' | 'unknown';
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

/** POST /nbos/kernels/ID/recover: of a kernel that has lost most of its replicas for good. */
export interface RecoverRequest {
  /** id of the replica that is all of the kernel from now on, or 'store' for what was saved */
  from: string;
}

export interface RecoverAnswer {
  kernel: string;
  /** id that the replica has now, and its host; '' when the next cell brings it back */
  replica: string;
  host: string;
}

export interface MigrateAnswer {
  kernel: string;
  /** id of the replica that came */
  replica: string;
  from: string;
  to: string;
}

/** A cell that the gateway knows: waiting, running, or among the latest ended ones. */
export interface CellRecord {
  cell: number;
  msgId: string;
  /** execution count, 0 before it has one */
  count: number;
  state: 'waiting' | 'running' | 'ok' | 'error' | 'aborted';
  /** source as sent; `nbos output` finds the notebook's cell by it */
  code?: string;
  /** id of the notebook's cell where the client sends it (metadata `cellId`) */
  cellId?: string;
}

export interface TokenRecord {
  name: string;
  admin: boolean;
  /** ISO time */
  createdAt: string;
  /** only in the answer that makes it */
  token?: string;
}
