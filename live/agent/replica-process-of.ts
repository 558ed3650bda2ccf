import type { NbosError } from '../../core/errors.ts';
import type { JupyterMessage } from '../jupyter/message.ts';
import type { Delta, Unit } from '../log/entries.ts';
import type { Logger } from './group-options.ts';
import type { KernelRuntime } from './kernel/runtime.ts';
import type { ReplicaLimits } from './replica-options.ts';

export type ClientChannel = 'shell' | 'control' | 'stdin';

/** What a process is run for. */
export interface ProcessOf {
  readonly kernel: string;
  readonly limits: ReplicaLimits;
  readonly now: () => number;
  readonly log: Logger;
  make(first: boolean): KernelRuntime;
  /** the kernel's state as its log has it */
  table(): ReadonlyMap<string, Unit>;
  /** another number whenever the table is another */
  revision(): number;
  /** last execution count given */
  count(): number;
  /** Resolves once the files of these units are on this host. */
  ensure(units: readonly Unit[]): Promise<void>;
  onMessage(channel: ClientChannel | 'iopub', message: JupyterMessage): void;
  onSaved(delta: Delta): void;
  /** In step for the first time since it started. */
  onReady(startMs: number): void;
  /** It ended by itself, and is started again. */
  /** `begun`: the cell that it had may have run */
  onDeath(exit: string, begun: boolean): void;
  /** It could not be started so often that nobody tries any more. */
  onFailed(error: NbosError): void;
}
