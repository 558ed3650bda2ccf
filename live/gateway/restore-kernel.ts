import type { Logger } from 'pino';
import { NbosError } from '../../core/errors.ts';
import type { OpenCell, RestoreAnswer } from '../wire/messages.ts';
import { isCounted } from './cell-request.ts';
import type { CoreLoop } from './core-loop.ts';
import type { Cell, LiveKernel, Member } from './kernel.ts';
import type { Agents } from './links.ts';
import type { Outcomes } from './outcomes.ts';
import type { Reconciler } from './reconcile.ts';

export interface RestorerOptions {
  loop: CoreLoop;
  links: Agents;
  outcomes: Outcomes;
  reconciler: Reconciler;
  isUp: (host: string) => boolean;
  log: Logger;
  /** ms that the state may take from the store */
  restoreMs: number;
}

/** What else belongs to a beginning. */
export interface Preparation {
  /** before the store is asked; what it rejects with ends the try */
  before(): Promise<void>;
  /** the new log is there, and nothing has gone into it yet */
  begun(): void;
}

interface Waiter {
  resolve: (member: Member) => void;
  reject: (error: unknown) => void;
}

/** After a store that did not answer, until the next try may begin. */
const REST_MS = 1_000;
const PASSING: ReadonlySet<string> = new Set(['store-unreachable', 'store-denied']);
const NAMES_TOLD = 8;
const NOTHING: Preparation = { before: () => Promise.resolve(), begun: () => undefined };

/**
 * A kernel whose log is on no host any more begins anew with what the store has of it. What had not
 * come there is lost, and its user is told which cells that concerns.
 */
export class Restorer {
  readonly #options: RestorerOptions;
  readonly #busy = new Set<LiveKernel>();
  readonly #waiters = new Map<LiveKernel, Waiter[]>();

  constructor(options: RestorerOptions) {
    this.#options = options;
  }

  /**
   * No host that is up has the log, and none can be waited for: of one replica there never was a
   * second copy, and of others an operator has said so.
   */
  isGone(kernel: LiveKernel): boolean {
    if (this.#busy.has(kernel)) return false;
    if (!kernel.restoring && kernel.meta.replicas > 1) return false;
    return ![...kernel.members.values()].some(
      ({ joined, host, position }) =>
        joined && this.#options.isUp(host) && position?.process !== 'dead',
    );
  }

  /** Settled by the next try to begin the kernel anew. */
  next(kernel: LiveKernel): Promise<Member> {
    return new Promise((resolve, reject) => {
      const waiters = this.#waiters.get(kernel) ?? [];
      this.#waiters.set(kernel, waiters);
      waiters.push({ resolve, reject });
    });
  }

  /** Resolves once this member has the log of the kernel. Rejects as the host or the store says. */
  async begin(
    kernel: LiveKernel,
    member: Member,
    pooled: string,
    preparation: Preparation = NOTHING,
  ): Promise<void> {
    this.#busy.add(kernel);
    kernel.restoring = true;
    try {
      await preparation.before();
      if (kernel.closing)
        throw new NbosError('kernel-unknown', `kernel ${kernel.id} is not this gateway's any more`);
      const answer = await this.#ask(kernel, member, pooled);
      // Its host may have been given up meanwhile, and the kernel begun on another.
      const isWanted = !kernel.closing && kernel.members.get(member.member) === member;
      if (isWanted) preparation.begun();
      if (isWanted) this.#settle(kernel, member, answer);
      this.#tell(kernel, (waiter) => waiter.resolve(member));
    } catch (error) {
      const { code, message } = error as NbosError;
      kernel.lastFailure = `${code}: ${message}`;
      this.#tell(kernel, (waiter) => waiter.reject(error));
      // Core tries again at once, and a few times only.
      if (PASSING.has(code)) await new Promise((resolve) => setTimeout(resolve, REST_MS));
      throw error;
    } finally {
      this.#busy.delete(kernel);
    }
  }

  async #ask(kernel: LiveKernel, { member, host }: Member, pooled: string): Promise<RestoreAnswer> {
    const { links, restoreMs } = this.#options;
    const { meta, appliedIndex, heardIndex, resetAt, beginsEmpty } = kernel;
    const beyond = Math.max(appliedIndex, heardIndex);
    const waiting = kernel.waiting().map(({ cell }) => cell);
    const beginning = { meta, member, beyond, after: resetAt, empty: beginsEmpty, waiting };
    const request = { t: 'restore-replica' as const, pooled, ...beginning };
    return (await links.request(host, request, restoreMs)) as RestoreAnswer;
  }

  #settle(kernel: LiveKernel, member: Member, { index, store, report }: RestoreAnswer): void {
    const { loop, outcomes, reconciler, log } = this.#options;
    const lost = lostCells(kernel, index);
    const notice = kernel.beginsEmpty ? '' : noticeOf(kernel, index, store, lost);
    log.info({ kernel: kernel.id, index, store, lost: lost.length }, 'a kernel began anew');
    if (notice !== '') kernel.notice = notice;
    const { session } = kernel;
    Object.assign(kernel, { restoring: false, beginsEmpty: false, lostQuorum: false });
    if (kernel.pinned.length > 0) loop.post({ kind: 'session-pinned', session, pinned: false });
    kernel.pinned = [];
    member.position = { ...report };
    kernel.minority = undefined;
    kernel.count = Math.max(kernel.count, report.count);
    kernel.nextCell = Math.max(kernel.nextCell, report.nextCell);
    kernel.appliedIndex = report.applied;
    kernel.heardIndex = report.applied;
    const isOpen = ({ submit }: OpenCell): boolean => !kernel.decided.has(submit.cell);
    reconciler.take(kernel, { ...report, open: report.open.filter(isOpen) });
    for (const { submit } of report.open) {
      // Taken back while the store was read.
      const over = kernel.decided.get(submit.cell)?.cell;
      if (over !== undefined) outcomes.abort(kernel, over, 'interrupted', 'it was taken back', 0);
    }
    outcomes.acceptAgain(kernel);
    const text = 'its host was lost while it ran, and what it did with it';
    for (const cell of [...kernel.cells.values()])
      if (cell.state === 'running') outcomes.end(kernel, cell, 'host-lost', text);
  }

  #tell(kernel: LiveKernel, say: (waiter: Waiter) => void): void {
    const waiters = this.#waiters.get(kernel) ?? [];
    this.#waiters.delete(kernel);
    for (const waiter of waiters) say(waiter);
  }
}

/** Cells that ended after the table was saved, oldest first. */
function lostCells(kernel: LiveKernel, index: number): Cell[] {
  const ended = [...kernel.decided.values()].flatMap(({ cell, entry }) =>
    entry.type === 'end' ? [cell] : [],
  );
  const ending = [...kernel.cells.values()].filter(({ state }) => state === 'deciding');
  const saved = Math.max(index, kernel.savedIndex);
  return [...ended, ...ending]
    .filter(({ decidedAt, submit }) => decidedAt > saved && isCounted(submit))
    .sort((a, b) => a.count - b.count);
}

function noticeOf(
  { executed, resetAt, visits }: LiveKernel,
  index: number,
  store: string,
  lost: readonly Cell[],
): string {
  const hosts = visits ? 'the host that had this kernel is' : 'all hosts that had this kernel are';
  const gone = `NotebookOS: ${hosts} lost.`;
  if (index === -1) {
    if (executed === 0 || (resetAt > 0 && lost.length === 0)) return '';
    const why = store === '' ? 'there is no store' : `${store} had nothing of it yet`;
    return `${gone} Its variables are lost too, since ${why}: run its cells again.`;
  }
  if (lost.length === 0) return '';
  const some = lost.slice(-NAMES_TOLD).map(({ count }) => `[${count}]`);
  const more = lost.length > NAMES_TOLD ? ` and ${lost.length - NAMES_TOLD} before` : '';
  const what = `what ${some.join(', ')}${more} did to them had not come there: run that again`;
  return `${gone} Its variables are as ${store} had them; ${what}.`;
}

/** Of a kernel that was not begun anew in time. */
export function notBegun(kernel: LiveKernel): NbosError {
  const why = kernel.lastFailure === '' ? 'no host has room for it' : kernel.lastFailure;
  return new NbosError(
    'kernel-failed',
    `kernel ${kernel.id} did not begin anew: ${why}`,
    'It does so as soon as a host has room, or with its next cell.',
  );
}
