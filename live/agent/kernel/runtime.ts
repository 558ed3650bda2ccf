import type { JupyterMessage } from '../../jupyter/message.ts';
import type { Delta, KernelMeta, SubmitEntry, Unit } from '../../log/entries.ts';

/**
 * One kernel process on this host with everything that talks to it. It knows nothing of
 * replication: a replica's controller tells it what to run and what state to take, and is told
 * what happened.
 */
export interface KernelRuntime {
  readonly pid: number;
  /**
   * Whether code of the latest cell may have run: from then on it must not run again. False only
   * when the process has ended and proves that it never came to it.
   */
  readonly begun: boolean;
  readonly state: 'starting' | 'ready' | 'busy' | 'dead';
  /** Resolves once kernel_info is answered and the helper is in. Rejects with `kernel-failed`. */
  start(): Promise<void>;
  /** Runs one cell; resolves after reply, idle and the helper's record of what changed. */
  run(cell: CellRun): Promise<CellResult>;
  /** Brings the process to exactly this state, in one go; only on a process that runs nothing. */
  apply(state: StateUpdate): Promise<ApplyResult>;
  /** What has changed since the last record while nothing ran; null for nothing. */
  collect(): Promise<Delta | null>;
  /** The user asked for a save inside the running cell. Set by whoever runs cells. */
  onSaved: (delta: Delta) => void;
  /** Passes a client's message on; what comes back arrives through `onMessage`. */
  send(channel: 'shell' | 'control' | 'stdin', message: JupyterMessage): void;
  /** Everything from the kernel but the helper's own traffic, reply and idle of `run`. */
  onMessage: (channel: 'shell' | 'control' | 'stdin' | 'iopub', message: JupyterMessage) => void;
  onDeath: (exit: string) => void;
  /** interrupt_request, then SIGINT when it is not answered within a second. */
  interrupt(): Promise<void>;
  /** SIGSTOP and SIGCONT, for fencing. */
  pause(): void;
  resume(): void;
  /** Normal priority from now on. */
  prioritize(): void;
  /** shutdown_request, 5 s, SIGTERM, SIGKILL; with `now` SIGKILL at once. Removes its folder. */
  stop(now?: boolean): Promise<void>;
}

export interface RuntimeOptions {
  meta: KernelMeta;
  /** 0700 directory for connection file, sockets, helper and spool; short enough for sockets */
  directory: string;
  /** the host's blob directory for this kernel; spooled blobs are moved here */
  blobs: string;
  niced: boolean;
  /** ms without word from its agent after which the process ends itself */
  orphanMs: number;
}

export interface CellRun {
  cell: number;
  attempt: number;
  count: number;
  /** as the process calls them */
  devices: readonly number[];
  request: SubmitEntry;
}

export interface CellResult {
  /** execute_reply as received */
  reply: JupyterMessage;
  /** what changed; null when the helper could not say (its error is in `helperError`) */
  delta: Delta | null;
  helperError: string;
  /** CUDA has started in the process */
  cuda?: boolean;
  runMs: number;
  captureMs: number;
}

/** From the state a process has to the table's: the units that differ. */
export interface StateUpdate {
  /** nothing of before remains; false when `units` and `dropped` are relative to what it has */
  reset: boolean;
  units: readonly Unit[];
  dropped: readonly string[];
  /** last execution count given */
  count: number;
}

export interface ApplyResult {
  /** units that could not be loaded; they stay as they were and are told to the user */
  failed: readonly { unit: string; names: readonly string[]; message: string }[];
  /**
   * Packages that the process has loaded and that were upgraded or removed since. When there are
   * any, nothing was taken: only a fresh process can have the state as the others have it.
   */
  outdated?: readonly string[];
}

/** Where an agent gets its kernel processes from; tests and benches put a light one in its place. */
export interface RuntimeFactory {
  /**
   * A runtime that is not started yet. With `pooled` it takes that process over, when it fits the
   * kernel's argv and hash seed, and ends it and starts another otherwise.
   */
  make(options: RuntimeOptions, pooled?: PooledKernel): KernelRuntime;
  /** A process of no kernel yet, started and with the helper in. Rejects with `kernel-failed`. */
  startPooled(options: PooledOptions): Promise<PooledKernel>;
  /** Ends what an agent before this one left in `root`, the parent of all `directory`s. */
  endLeftovers(root: string): Promise<readonly number[]>;
}

export interface PooledOptions {
  pooled: string;
  spec: string;
  language: string;
  argv: readonly string[];
  /** kernels made from it must have the same one */
  hashSeed: number;
  directory: string;
  niced: boolean;
  orphanMs: number;
}

export interface PooledKernel {
  readonly pooled: string;
  readonly pid: number;
  onDeath: (exit: string) => void;
  /** Ends the process and removes its folder; nothing once a runtime has taken it. */
  stop(): Promise<void>;
}
