import type {
  CellRecord,
  FaultRequest,
  HostSight,
  HostStatus,
  JournalLine,
  MigrateAnswer,
  MigrateRequest,
  RecoverAnswer,
  RecoverRequest,
  SystemStatus,
} from '../admin-types.ts';
import type { User } from './kernel-service.ts';

/**
 * What the admin routes under /nbos ask of the rest of the gateway. Who may ask, and that a kernel
 * is the asker's own, has been checked before any of these is called.
 */
export interface AdminService {
  /** Cheap: asked before every request. */
  health(): Health;
  /** An admin sees all kernels, others their own. */
  status(user: User): SystemStatus;
  /** Resolves when the replica has moved. NbosError `migrate-refused`: why it cannot. */
  migrate(kernel: string, request: MigrateRequest): Promise<MigrateAnswer>;
  /** The host is emptied from now on. NbosError `request-invalid` for an unknown host. */
  drainHost(host: string): HostStatus;
  /** An operator's drain is over, and an idle host is asked for. NbosError as above. */
  enableHost(host: string): HostStatus;
  /** Resolves when the kernel goes on from one replica. NbosError `change-refused`: why not. */
  recover(kernel: string, request: RecoverRequest): Promise<RecoverAnswer>;
  /** Resolves when the fault is set. NbosError `request-invalid` for an unknown kernel or host. */
  fault(request: FaultRequest): Promise<void>;
  /** The kernel's latest cells that are still known, oldest first. */
  cellsOf(kernel: string): readonly CellRecord[];
  /** No new kernels and cells from now on; resolves when nothing runs or its time limit is over. */
  drain(): Promise<DrainAnswer>;
  /** Whether each host that is up sees a mark of `nbos doctor` in its workspace. */
  workspaceSights(mark: string): Promise<HostSight[]>;
  journal(): AsyncIterable<JournalLine>;
}

export interface Health {
  /** false while kernels are still being reported after a start: unknown ones may yet turn up */
  ready: boolean;
  /** no new work is taken */
  draining: boolean;
  /** one sentence when not ready or draining, else '' */
  reason: string;
}

export interface DrainAnswer {
  /** cells that still run */
  running: number;
}
