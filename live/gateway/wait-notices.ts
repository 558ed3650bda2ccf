import type { Core } from '../../core/scheduler.ts';
import { streamNote } from '../jupyter/headers.ts';
import { notice } from './answers.ts';
import { isCounted, isInteractive } from './cell-request.ts';
import type { Delivery } from './delivery.ts';
import type { Cell, LiveKernel } from './kernel.ts';

const LOOK_MS = 500;

/**
 * Tells people whose cell waits why, in one message under the cell that is replaced while it waits.
 * Cells behind another one of their own kernel are silent, as in any notebook.
 */
export class WaitNotices {
  readonly #core: Core;
  readonly #delivery: Delivery;
  readonly #afterMs: number;
  readonly #kernels = new Set<LiveKernel>();
  readonly #said = new WeakMap<Cell, string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(core: Core, delivery: Delivery, afterMs: number) {
    this.#core = core;
    this.#delivery = delivery;
    this.#afterMs = afterMs;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** A cell of this kernel waits. */
  watch(kernel: LiveKernel): void {
    if (kernel.running !== undefined) return;
    this.#kernels.add(kernel);
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS);
  }

  #look(): void {
    for (const kernel of this.#kernels) {
      const first = kernel.waiting()[0];
      if (first === undefined || kernel.closing) this.#kernels.delete(kernel);
      else if (kernel.running === undefined) this.#say(kernel, first);
    }
    if (this.#kernels.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #say(kernel: LiveKernel, cell: Cell): void {
    if (performance.now() - cell.arrivedAt < this.#afterMs || !isInteractive(cell.submit)) return;
    const text = this.reasonOf(kernel);
    if (this.#said.get(cell) === text) return;
    if (!cell.noticed) this.#delivery.status(kernel, 'busy', cell.header, cell.cell);
    this.#send(kernel, cell, text);
  }

  #send(kernel: LiveKernel, cell: Cell, text: string): void {
    const id = `nbos-wait-${cell.cell}`;
    const message = notice(kernel.id, cell.header, id, text, cell.noticed);
    cell.noticed = true;
    this.#said.set(cell, text);
    this.#delivery.broadcast(kernel, message, cell.cell);
  }

  /** It runs: the message says for how long it waited; and what is to be said of its kernel. */
  started(kernel: LiveKernel, cell: Cell): void {
    if (kernel.notice !== '' && isCounted(cell.submit)) {
      const note = streamNote(kernel.notice, cell.header, kernel.id);
      kernel.notice = '';
      this.#delivery.broadcast(kernel, note, cell.cell);
    }
    if (!cell.noticed) return;
    const seconds = Math.round((performance.now() - cell.arrivedAt) / 1000);
    this.#send(kernel, cell, `NotebookOS: started after ${seconds} s.`);
  }

  /** Why the kernel's first waiting cell waits, for people. */
  reasonOf(kernel: LiveKernel): string {
    const { state } = this.#core;
    const session = state.sessions[kernel.session];
    const execution = session === undefined ? undefined : state.executions.slots[session.active];
    if (kernel.lostQuorum) return 'NotebookOS: waiting: too few replicas of this kernel answer.';
    if (kernel.restoring) {
      const why = kernel.lastFailure === '' ? '' : ` (${kernel.lastFailure})`;
      return `NotebookOS: waiting: the variables come back from the store${why}.`;
    }
    if (execution?.state === 'gpu-wait') {
      let position = 1;
      for (const other of state.queue.inOrder()) {
        if (other === execution) break;
        position++;
      }
      const gpus = execution.need.gpuMillis / 1000;
      return `NotebookOS: waiting for ${gpus} GPU, number ${position} in line.`;
    }
    if (execution?.state === 'container-wait')
      return 'NotebookOS: a replica of this kernel is moving to a host with free GPUs.';
    if (execution?.state === 'kernel-wait') return 'NotebookOS: waiting for the kernel to start.';
    return 'NotebookOS: waiting for the kernel.';
  }
}
