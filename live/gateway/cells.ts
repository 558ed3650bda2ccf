import type { Logger } from 'pino';
import { readField } from '../jupyter/fields.ts';
import type { JupyterMessage } from '../jupyter/message.ts';
import type { AbortReason, SubmitEntry } from '../log/entries.ts';
import { answerOf } from './answers.ts';
import { needOf } from './cell-request.ts';
import type { CoreLoop } from './core-loop.ts';
import type { Delivery } from './delivery.ts';
import { type Cell, type ClientLink, cellKey, type LiveKernel } from './kernel.ts';
import type { Outcomes } from './outcomes.ts';
import { sendReply } from './replies.ts';
import type { WaitNotices } from './wait-notices.ts';

export interface CellsOptions {
  loop: CoreLoop;
  delivery: Delivery;
  outcomes: Outcomes;
  notices: WaitNotices;
  log: Logger;
  /** most waiting cells of one kernel */
  queueLimit: number;
  isDraining: () => boolean;
  /** each cell runs elsewhere than the one before */
  moveEveryCell: () => boolean;
}

/** Takes execute_requests in: who they are from, what they need, whether they were here before. */
export class Cells {
  readonly #options: CellsOptions;

  constructor(options: CellsOptions) {
    this.#options = options;
  }

  submit(kernel: LiveKernel, link: ClientLink, message: JupyterMessage): void {
    const { loop, outcomes, notices, queueLimit } = this.#options;
    const session = readField(message.header, 'session') ?? '';
    const msgId = readField(message.header, 'msg_id') ?? '';
    const known = kernel.known.get(cellKey(session, msgId));
    if (known !== undefined) {
      // A client that asks again wants the answer, not another run.
      known.link = link;
      const decided = kernel.decided.get(known.cell);
      if (decided !== undefined) sendReply(this.#options.delivery, kernel, known, decided.entry);
      return;
    }
    if (kernel.cells.size >= queueLimit) {
      this.#refuse(kernel, link, message, `more than ${queueLimit} cells wait for this kernel`);
      return;
    }
    if (this.#options.isDraining()) {
      this.#refuse(kernel, link, message, 'the gateway is shutting down');
      return;
    }
    const submit = submitEntryOf(kernel, session, msgId, message);
    const cell = newCell(submit, link);
    kernel.cells.set(cell.cell, cell);
    kernel.known.set(cellKey(session, msgId), cell);
    loop.post({
      kind: 'cell-submitted',
      session: kernel.session,
      cell: cell.cell,
      submittedAt: loop.now(),
      need: submit.need,
      expectedMs: -1,
      ...(this.#options.moveEveryCell() ? { moves: true } : {}),
    });
    // Where it could start at once, its SUBMIT has left together with its START.
    outcomes.accept(kernel, cell);
    notices.watch(kernel);
  }

  /** Takes waiting cells back, oldest first. The client hears of it once that is committed. */
  withdraw(
    kernel: LiveKernel,
    cells: readonly Cell[],
    reasonOf: (cell: Cell) => AbortReason,
    message: string,
  ): void {
    for (const cell of cells) {
      this.#options.loop.post({
        kind: 'cell-cancelled',
        session: kernel.session,
        cell: cell.cell,
      });
    }
    for (const cell of cells) {
      if (cell.state !== 'waiting' || cell.withdrawn) continue;
      cell.withdrawn = true;
      this.#options.outcomes.abortWaiting(kernel, cell, reasonOf(cell), message);
    }
  }

  /**
   * What the user's interrupt does to cells that do not run: the first ends with KeyboardInterrupt,
   * those behind it are not run. True when there was one to take back.
   */
  interruptWaiting(kernel: LiveKernel): boolean {
    if (kernel.running !== undefined) return false;
    const waiting = kernel.waiting();
    const first = waiting[0];
    if (first === undefined) return false;
    if (first.attempt !== 0 && first.ticket !== 0) {
      first.interrupt = true;
      return true;
    }
    const text = 'interrupted while it waited; nothing of it ran';
    this.withdraw(
      kernel,
      waiting,
      (cell) => (cell === first ? 'interrupted' : 'stop-on-error'),
      text,
    );
    return true;
  }

  /** Answers a request that is not accepted at all. */
  #refuse(kernel: LiveKernel, link: ClientLink, message: JupyterMessage, why: string): void {
    const { delivery } = this.#options;
    const error = { ename: 'CellRejected', evalue: why, traceback: [`CellRejected: ${why}`] };
    const content = JSON.stringify({ status: 'error', execution_count: kernel.count, ...error });
    const reply = answerOf('execute_reply', kernel.id, message.header, content);
    const asker = { link, session: link.session };
    const said = answerOf('error', kernel.id, message.header, JSON.stringify(error));
    delivery.broadcast(kernel, said);
    delivery.answer(kernel, asker, 'shell', reply);
    delivery.status(kernel, 'idle', message.header);
  }
}

function submitEntryOf(
  kernel: LiveKernel,
  session: string,
  msgId: string,
  message: JupyterMessage,
): SubmitEntry {
  const content = textOf(message.content);
  const metadata = textOf(message.metadata);
  return {
    v: 1,
    type: 'submit',
    cell: kernel.nextCell++,
    session,
    msgId,
    userId: kernel.meta.userId,
    submittedAt: Date.now(),
    need: needOf(kernel.meta.need, content, metadata),
    header: textOf(message.header),
    metadata,
    content,
    buffers: message.buffers.map((buffer) => Buffer.from(buffer).toString('base64')),
  };
}

export function newCell(submit: SubmitEntry, link: ClientLink | undefined): Cell {
  return {
    cell: submit.cell,
    submit,
    header: Buffer.from(submit.header),
    link,
    state: 'waiting',
    proposed: false,
    accepted: false,
    attempt: 0,
    epoch: 0,
    executor: 0,
    count: 0,
    devices: [],
    firstOutput: 0,
    execution: -1,
    ticket: 0,
    executedAt: 0,
    startedAt: 0,
    endedAt: 0,
    decidedAt: 0,
    withdrawn: false,
    ending: undefined,
    interrupt: false,
    inputShown: false,
    noticed: false,
    arrivedAt: performance.now(),
    runMs: 0,
  };
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}
