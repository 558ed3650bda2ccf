import type { AgentFault } from '../wire/messages.ts';
import type { CellRunner } from './replica-cell.ts';
import type { ReplicaProcess } from './replica-process.ts';

/** Has a fault that was asked for happen to one replica; those of whole hosts are not its own. */
export function causeFault(fault: AgentFault, process: ReplicaProcess, runner: CellRunner): void {
  switch (fault.kind) {
    case 'kill-replica':
      process.crash('killed by a fault that was asked for');
      break;
    case 'fail-next':
      runner.failures++;
      break;
    case 'yield-next':
      runner.yields += fault.times;
      break;
    default:
  }
}
