import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { NbosError } from '../../core/errors.ts';
import { streamNote } from '../jupyter/headers.ts';
import type { Delivery } from './delivery.ts';
import type { Cell, LiveKernel, Member } from './kernel.ts';
import type { Agents } from './links.ts';

export interface SavedFirstOptions {
  links: Agents;
  delivery: Delivery;
  log: Logger;
  /** ms for which a store that does not answer is asked again */
  saveMs: number;
  /** ms that one save may take */
  wholeMs: number;
}

const AGAIN_MS = 250;
/**
 * A host that began the kernel for a gateway before this one, and was not waited for, has the
 * store: the kernel's own host takes it back.
 */
const OUTDONE = 'replica-stopped';
/** What may be over in a moment. */
const PASSING: ReadonlySet<string> = new Set([
  'store-unreachable',
  'store-denied',
  'link-lost',
  'link-timeout',
  'not-leader',
  OUTDONE,
]);

/**
 * A kernel without a process of its own goes on elsewhere with what the store has: what a cell did
 * is brought there before its GPUs are free and its reply leaves.
 */
export class SavedFirst {
  readonly #options: SavedFirstOptions;
  /** saves under way, and how each is given up */
  /** The kernel goes on from this member, whoever has claimed the store meanwhile. */
  takeBack: (kernel: LiveKernel, member: Member) => Promise<unknown> = () => Promise.resolve();
  readonly #saves = new Set<{ member: Member; lost: (error: NbosError) => void }>();

  constructor(options: SavedFirstOptions) {
    this.#options = options;
  }

  /** Calls back once what the cell did is in the store, or its user was told that it is not. */
  hold(kernel: LiveKernel, cell: Cell, done: () => void): void {
    const member = kernel.members.get(cell.executor);
    // It has gone on from the store since.
    if (member === undefined) done();
    else
      this.save(kernel, member)
        .catch((error) => this.#sayUnsaved(kernel, cell, member, error as NbosError))
        .then(done)
        .catch((error) => this.#options.log.error({ err: error, kernel: kernel.id }, 'no reply'));
  }

  /**
   * Resolves once all that the member's log holds now is in the store. Rejects as the store or the
   * host says, when that does not change for a while.
   */
  async save(kernel: LiveKernel, member: Member): Promise<void> {
    const { links, wholeMs, saveMs } = this.#options;
    const { appliedIndex } = kernel;
    const until = performance.now() + saveMs;
    const own = { member, lost: (_: NbosError): void => undefined };
    let isLost = false;
    const lost = new Promise<never>((_, reject) => {
      own.lost = reject;
    });
    lost.catch(() => {
      isLost = true;
    });
    this.#saves.add(own);
    try {
      for (;;) {
        try {
          const request = { t: 'save-replica' as const, kernel: kernel.id, member: member.member };
          await Promise.race([links.request(member.host, request, wholeMs), lost]);
          kernel.savedIndex = Math.max(kernel.savedIndex, appliedIndex);
          return;
        } catch (error) {
          const { code } = error as NbosError;
          const isOver = isLost || kernel.closing || !PASSING.has(code);
          if (isOver || performance.now() > until) throw error;
          if (code === OUTDONE) await Promise.race([this.takeBack(kernel, member), lost]);
          await Promise.race([sleep(AGAIN_MS), lost]);
        }
      }
    } finally {
      this.#saves.delete(own);
    }
  }

  /** Its host is lost: nobody knows whether it was saved. */
  lost(member: Member, error: NbosError): void {
    for (const each of [...this.#saves]) if (each.member === member) each.lost(error);
  }

  #sayUnsaved(kernel: LiveKernel, cell: Cell, { host }: Member, error: NbosError): void {
    const { code, message } = error;
    this.#options.log.warn({ err: error, kernel: kernel.id, host }, 'a cell was not saved');
    if (kernel.cells.get(cell.cell) !== cell) return;
    const text =
      `NotebookOS: what this cell did to variables is on ${host} only, and lost with it: ` +
      `the store did not take it (${code}: ${message}).\n`;
    this.#options.delivery.broadcast(kernel, streamNote(text, cell.header, kernel.id), cell.cell);
  }
}
