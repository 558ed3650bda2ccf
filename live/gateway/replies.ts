import type { AbortReason } from '../log/entries.ts';
import { abortAnswer, answerOf } from './answers.ts';
import type { Delivery } from './delivery.ts';
import {
  type Cell,
  cellKey,
  DECIDED_KEPT,
  type Decided,
  type DecidedEntry,
  type LiveKernel,
} from './kernel.ts';

/** Reply, then idle. */
export function sendReply(
  delivery: Delivery,
  kernel: LiveKernel,
  cell: Cell,
  entry: DecidedEntry,
): void {
  const { header, submit } = cell;
  const asker = { link: cell.link, session: submit.session };
  kernel.lastActivityMs = Date.now();
  if (entry.type === 'end') {
    const { content, metadata } = entry.reply;
    const reply = answerOf('execute_reply', kernel.id, header, content, metadata);
    delivery.answer(kernel, asker, 'shell', reply, cell.cell);
  } else {
    const { reply, error } = abortAnswer(entry.entry, cell.count);
    const { id } = kernel;
    if (cell.attempt === 0) delivery.status(kernel, 'busy', header, cell.cell);
    if (error !== null) {
      const said = answerOf('error', id, header, JSON.stringify(error));
      delivery.broadcast(kernel, said, cell.cell);
    }
    const message = answerOf('execute_reply', id, header, JSON.stringify(reply));
    delivery.answer(kernel, asker, 'shell', message, cell.cell);
  }
  delivery.status(kernel, 'idle', header, cell.cell);
}

/** The end of a cell that no entry of the log tells of. */
export function abortOf(cell: Cell, reason: AbortReason, message: string): DecidedEntry {
  const { attempt, epoch } = cell;
  const entry = { cell: cell.cell, attempt, epoch, reason, message };
  return { type: 'abort', won: true, entry: { v: 1, type: 'abort', ...entry } };
}

/** Keeps a decided cell for those who ask again, and forgets the oldest. */
export function remember(kernel: LiveKernel, decided: Decided): void {
  const { cell } = decided;
  kernel.decided.set(cell.cell, decided);
  kernel.known.set(cellKey(cell.submit.session, cell.submit.msgId), cell);
  while (kernel.decided.size > DECIDED_KEPT) {
    const [number, oldest] = kernel.decided.entries().next().value!;
    kernel.decided.delete(number);
    kernel.known.delete(cellKey(oldest.cell.submit.session, oldest.cell.submit.msgId));
  }
}
