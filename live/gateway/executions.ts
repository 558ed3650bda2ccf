import type { Execute } from '../../core/effects.ts';
import { stepsOf } from './cell-steps.ts';
import type { CoreLoop } from './core-loop.ts';
import type { Cell, DecidedEntry, LiveKernel } from './kernel.ts';

interface Bound {
  kernel: LiveKernel;
  cell: Cell;
}

/** Cells that core has bound GPUs for, by its numbers, until it is told what became of them. */
export class Executions {
  readonly #loop: CoreLoop;
  readonly #bound = new Map<number, Bound>();

  constructor(loop: CoreLoop) {
    this.#loop = loop;
  }

  /** From now on the cell is core's execution of this number, under this ticket. */
  bind(kernel: LiveKernel, cell: Cell, { execution, ticket }: Execute): void {
    cell.execution = execution;
    cell.ticket = ticket;
    cell.executedAt = this.#loop.now();
    this.#bound.set(execution, { kernel, cell });
  }

  /** undefined when another run has the number by now. */
  find(execution: number, ticket: number): Bound | undefined {
    const known = this.#bound.get(execution);
    return known?.cell.ticket === ticket ? known : undefined;
  }

  /** User code has ended, and its devices are free. */
  released(cell: Cell, entry: Extract<DecidedEntry, { type: 'end' }>): void {
    const { execution, ticket } = cell;
    cell.endedAt = this.#loop.now();
    if (ticket === 0) return;
    const steps = stepsOf(cell, entry, cell.endedAt);
    this.#loop.post({ kind: 'execution-released', execution, ticket, ...steps });
  }

  /** Its reply has left. */
  replied(kernel: LiveKernel, cell: Cell): void {
    const { execution, ticket } = cell;
    this.over(kernel, cell);
    if (ticket === 0) return;
    const replyMs = this.#loop.now() - cell.endedAt;
    this.#loop.post({ kind: 'execution-replied', execution, ticket, stateCommitMs: 0, replyMs });
  }

  /** It does not run any more, whatever core was told of it. */
  over(kernel: LiveKernel, cell: Cell): void {
    if (this.#bound.get(cell.execution)?.cell === cell) this.#bound.delete(cell.execution);
    cell.ticket = 0;
    if (kernel.deferred === cell) kernel.deferred = undefined;
    if (kernel.running === cell) kernel.running = undefined;
  }

  /** Tells core that nothing comes of it any more. */
  giveUp(kernel: LiveKernel, cell: Cell): void {
    const { execution, ticket } = cell;
    this.over(kernel, cell);
    const { session } = kernel;
    if (ticket === 0) this.#loop.post({ kind: 'cell-cancelled', session, cell: cell.cell });
    else this.#loop.post({ kind: 'execution-failed', execution, ticket });
  }

  /** Nothing of it ran: core places it anew. False when core does not know that it was to run. */
  yield(kernel: LiveKernel, cell: Cell): boolean {
    const { execution, ticket } = cell;
    cell.state = 'waiting';
    this.over(kernel, cell);
    if (ticket !== 0) this.#loop.post({ kind: 'execution-yielded', execution, ticket });
    return ticket !== 0;
  }
}
