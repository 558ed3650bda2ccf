import type {
  CellRecord,
  FaultRequest,
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
  /** Resolves when the kernel goes on from one replica. NbosError `change-refused`: why not. */
  recover(kernel: string, request: RecoverRequest): Promise<RecoverAnswer>;
  /** Resolves when the fault is set. NbosError `request-invalid` for an unknown kernel or host. */
  fault(request: FaultRequest): Promise<void>;
  /** The kernel's latest cells that are still known, oldest first. */
  cellsOf(kernel: string): readonly CellRecord[];
  /** No new kernels and cells from now on; resolves when nothing runs or its time limit is over. */
  drain(): Promise<DrainAnswer>;
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
