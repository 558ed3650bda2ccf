import type { Logger } from 'pino';
import type { Abort, Execute, Reply } from '../../core/effects.ts';
import type { NbosError } from '../../core/errors.ts';
import { REASONS } from '../../core/reasons.ts';
import type { AbortReason } from '../log/entries.ts';
import type { AgentNotice, AppliedEntry } from '../wire/messages.ts';
import { isCounted, isFailure, stopsOnError } from './cell-request.ts';
import { devicesOf, submittedAtOf } from './cell-steps.ts';
import type { CoreLoop } from './core-loop.ts';
import type { Delivery } from './delivery.ts';
import { Executions } from './executions.ts';
import { interruptCell } from './interrupt-cell.ts';
import { type Cell, cellKey, type DecidedEntry, type LiveKernel } from './kernel.ts';
import type { Agents } from './links.ts';
import type { Proposals } from './proposals.ts';
import { abortOf, remember, sendReply } from './replies.ts';
import type { SavedFirst } from './saved-first.ts';
import type { WaitNotices } from './wait-notices.ts';

export interface OutcomesOptions {
  loop: CoreLoop;
  links: Agents;
  proposals: Proposals;
  delivery: Delivery;
  notices: WaitNotices;
  savedFirst: SavedFirst;
  log: Logger;
  kernelOf: (session: number) => LiveKernel | undefined;
  isUp: (host: string) => boolean;
}

type Of<T extends AppliedEntry['type']> = Extract<AppliedEntry, { type: T }>;

/** How long the last outputs of a process that died may still be on their way. */
const LAST_OUTPUTS_MS = 100;

/**
 * What becomes of cells: core's decisions go into the kernel's log, and what the log decides goes to
 * core and to the client. The log has the last word.
 */
export class Outcomes {
  readonly #options: OutcomesOptions;
  readonly executions: Executions;
  /** takes waiting cells back; set once both parts are there */
  stopQueue: (kernel: LiveKernel) => void = () => undefined;
  /** the log holds something that is not known here */
  look: (kernel: LiveKernel) => void = () => undefined;
  /** a RESET was applied */
  onReset: (kernel: LiveKernel, index: number) => void = () => undefined;

  constructor(options: OutcomesOptions) {
    this.#options = options;
    this.executions = new Executions(options.loop);
  }

  /** Core has bound GPUs for the cell: the executor's START goes into the log. */
  execute(effect: Execute): void {
    const { loop } = this.#options;
    const { execution, ticket } = effect;
    const kernel = this.#options.kernelOf(effect.session);
    const cell = kernel?.cells.get(effect.cell);
    const member = kernel?.memberOfContainer(effect.container);
    const runs = cell?.state === 'running' || cell?.state === 'deciding';
    if (kernel === undefined || cell === undefined || kernel.closing || !(member || runs)) {
      if (kernel !== undefined && cell !== undefined && !kernel.closing)
        this.abortWaiting(kernel, cell, 'host-lost', 'its replica was lost; nothing of it ran');
      loop.post({ kind: 'execution-failed', execution, ticket });
      return;
    }
    this.executions.bind(kernel, cell, effect);
    // Taken over from a gateway before this one: it runs already.
    if (runs || member === undefined) return;
    cell.executor = member.member;
    cell.devices = devicesOf(effect.devices);
    // The log starts no cell before it has decided the one before.
    if (kernel.running === undefined) this.#start(kernel, cell);
    else kernel.deferred = cell;
  }

  /** Has the request accepted by the kernel's log. */
  accept(kernel: LiveKernel, cell: Cell): void {
    if (cell.proposed) return;
    cell.proposed = true;
    this.#options.proposals.propose(kernel, cell.submit, (error) => {
      this.refused(kernel, cell, error);
    });
  }

  /** As `accept`, of all that wait: the log that had accepted them is no more. */
  acceptAgain(kernel: LiveKernel): void {
    for (const cell of kernel.waiting()) {
      cell.proposed = false;
      this.accept(kernel, cell);
      const { ending } = cell;
      if (ending !== undefined) this.abort(kernel, cell, ending.reason, ending.message, 0);
    }
  }

  #start(kernel: LiveKernel, cell: Cell): void {
    this.accept(kernel, cell);
    cell.attempt = kernel.nextAttempt++;
    cell.epoch = ++kernel.epoch;
    if (cell.count === 0) cell.count = isCounted(cell.submit) ? ++kernel.count : kernel.count;
    const { attempt, epoch, executor, count, devices } = cell;
    const moves = kernel.executor !== 0 && kernel.executor !== executor;
    cell.firstOutput = kernel.streams.last + 1;
    const first = moves ? { firstOutput: cell.firstOutput } : {};
    this.#options.proposals.propose(
      kernel,
      { v: 1, type: 'start', cell: cell.cell, attempt, epoch, executor, count, devices, ...first },
      (error) => this.refused(kernel, cell, error),
    );
  }

  /** The running cell is decided: the next may start. */
  startDeferred(kernel: LiveKernel): void {
    const cell = kernel.deferred;
    if (cell === undefined || kernel.running !== undefined) return;
    kernel.deferred = undefined;
    if (cell.state === 'waiting' && !cell.withdrawn && cell.ticket !== 0 && !kernel.closing)
      this.#start(kernel, cell);
  }

  /** Core gives a run up because its host is lost. */
  aborted({ execution, ticket }: Abort): void {
    const known = this.executions.find(execution, ticket);
    if (known === undefined) return;
    const { kernel, cell } = known;
    cell.ticket = 0;
    if (kernel.closing) return;
    const host = kernel.members.get(cell.executor)?.host ?? 'its host';
    if (kernel.visits && !kernel.hasLog(this.#options.isUp)) {
      this.#lostAlone(kernel, cell, host);
      return;
    }
    const text =
      `${host} was lost while the cell ran. Variables are as they were after the last cell ` +
      'that ended; what this cell did to them is lost.';
    this.abort(kernel, cell, 'host-lost', text);
  }

  /** With the host of the only log: nobody else can decide what ran there. */
  #lostAlone(kernel: LiveKernel, cell: Cell, host: string): void {
    if (cell.state === 'deciding') return;
    if (cell.attempt === 0) {
      this.executions.over(kernel, cell);
      this.resubmit(kernel, cell);
      return;
    }
    // What it decides from now on, should it live, is not the kernel's any more.
    kernel.members.delete(cell.executor);
    kernel.restoring = true;
    const text =
      `${host} was lost while the cell ran. Variables are as they were saved last; what this ` +
      'cell did to them is lost.';
    this.end(kernel, cell, 'host-lost', text);
  }

  /** Core's own word on a cell: only a rejection needs anything done. */
  replied({ session, cell: number, status, execution }: Reply): void {
    const kernel = this.#options.kernelOf(session);
    const cell = kernel?.cells.get(number);
    if (kernel === undefined || cell === undefined || kernel.closing) return;
    if (cell.execution === execution.slot) cell.ticket = 0;
    if (status !== 'rejected' || cell.state !== 'waiting') return;
    const { reason } = execution;
    const isBegun = kernel.visits && reason === 'rejected-attempts' && kernel.lastFailure !== '';
    const said = kernel.restoring || isBegun;
    const why = said ? kernel.lastFailure : `${reason}: ${REASONS[reason]}`;
    this.abortWaiting(kernel, cell, 'rejected', `${why}; nothing of it ran`);
  }

  /** As `abort`, of a cell that has not started: a START that was faster keeps it. */
  abortWaiting(kernel: LiveKernel, cell: Cell, reason: AbortReason, message: string): void {
    cell.ending = { reason, message };
    const isAlone = kernel.visits && !kernel.hasLog(this.#options.isUp);
    if (!kernel.restoring || kernel.visits) {
      this.accept(kernel, cell);
      this.abort(kernel, cell, reason, message, 0);
    }
    // Its log hears of it when there is one again.
    if (kernel.visits ? isAlone : kernel.restoring) this.end(kernel, cell, reason, message);
  }

  /** Proposes the end of a cell without a result. */
  abort(
    kernel: LiveKernel,
    cell: Cell,
    reason: AbortReason,
    message: string,
    attempt = cell.attempt,
  ): void {
    const epoch = attempt === 0 ? kernel.epoch : cell.epoch;
    const entry = { cell: cell.cell, attempt, epoch, reason, message };
    this.#options.proposals.propose(kernel, { v: 1, type: 'abort', ...entry });
  }

  /** The log does not take the request at all. */
  refused(kernel: LiveKernel, cell: Cell, error: NbosError): void {
    if (kernel.closing || !kernel.cells.has(cell.cell)) return;
    this.end(kernel, cell, 'rejected', `${error.code}: ${error.message}`);
  }

  /** Ends a cell without a word of the log, where there is none that could decide it. */
  end(kernel: LiveKernel, cell: Cell, reason: AbortReason, message: string): void {
    this.#abortApplied(kernel, cell, abortOf(cell, reason, message));
  }

  /** Every member tells what it applies; the first one counts. */
  applied(kernel: LiveKernel, notice: Extract<AgentNotice, { t: 'applied' }>): void {
    const { index, entry, member } = notice;
    kernel.heardIndex = Math.max(kernel.heardIndex, index);
    if (index <= kernel.appliedIndex || kernel.closing) return;
    kernel.appliedIndex = index;
    kernel.lostQuorum = false;
    switch (entry.type) {
      case 'submit':
        this.#submitApplied(kernel, entry);
        break;
      case 'start':
        this.started(kernel, entry);
        break;
      case 'end': {
        const cell = kernel.cells.get(entry.cell);
        if (!entry.won || cell === undefined) break;
        cell.decidedAt = index;
        this.#endApplied(kernel, cell, entry);
        break;
      }
      case 'abort': {
        const cell = kernel.cells.get(entry.entry.cell);
        if (!entry.won || cell === undefined) break;
        cell.decidedAt = index;
        const waits = cell.state === 'running' && member !== cell.executor;
        if (!waits) this.#abortApplied(kernel, cell, entry);
        else setTimeout(() => this.#abortApplied(kernel, cell, entry), LAST_OUTPUTS_MS);
        break;
      }
      case 'reset':
        kernel.epoch = Math.max(kernel.epoch, entry.epoch);
        this.#resetApplied(kernel, index);
        break;
      default:
    }
  }

  /** A decision that is known from a report. */
  decided(kernel: LiveKernel, cell: Cell, entry: DecidedEntry): void {
    if (entry.type === 'end') this.#endApplied(kernel, cell, entry);
    else this.#abortApplied(kernel, cell, entry);
  }

  #submitApplied(kernel: LiveKernel, entry: Of<'submit'>): void {
    const { cell: number, session, msgId, duplicate } = entry;
    const cell = kernel.cells.get(number);
    const isOwn = cell?.submit.session === session && cell.submit.msgId === msgId;
    if (isOwn && duplicate) this.#drop(kernel, cell);
    else if (isOwn) cell.accepted = true;
    else if (!duplicate && !kernel.decided.has(number)) {
      kernel.unknown.add(number);
      this.look(kernel);
    }
  }

  /** The log had the request before, under another number: that one is answered. */
  #drop(kernel: LiveKernel, cell: Cell): void {
    kernel.cells.delete(cell.cell);
    const key = cellKey(cell.submit.session, cell.submit.msgId);
    if (kernel.known.get(key) === cell) kernel.known.delete(key);
    this.executions.giveUp(kernel, cell);
    kernel.dropped.push(cell);
    this.look(kernel);
  }

  started(kernel: LiveKernel, entry: Of<'start'>): void {
    kernel.epoch = Math.max(kernel.epoch, entry.epoch);
    kernel.nextAttempt = Math.max(kernel.nextAttempt, entry.attempt + 1);
    const cell = kernel.cells.get(entry.cell);
    if (cell === undefined) {
      if (entry.won && !kernel.decided.has(entry.cell)) this.look(kernel);
      return;
    }
    if (!entry.won) {
      this.#startLost(kernel, cell, entry);
      return;
    }
    cell.accepted = true;
    // Another one's outputs may have been numbered meanwhile; what it said before is waited for.
    if (kernel.executor !== entry.executor && !kernel.waitsFor(entry.executor))
      kernel.streams.forget(entry.executor);
    kernel.executor = entry.executor;
    kernel.running = cell;
    cell.state = 'running';
    cell.attempt = entry.attempt;
    cell.epoch = entry.epoch;
    cell.executor = entry.executor;
    cell.startedAt = this.#options.loop.now();
    this.#options.notices.started(kernel, cell);
    if (kernel.visits && !kernel.members.has(entry.executor))
      this.abort(kernel, cell, 'host-lost', 'it was to run on a host that its kernel has left');
    else if (cell.interrupt) this.interrupt(kernel, cell);
  }

  #startLost(kernel: LiveKernel, cell: Cell, { attempt, running }: Of<'start'>): void {
    if (cell.attempt !== attempt || cell.state !== 'waiting' || cell.ticket === 0) return;
    if (running === undefined) this.yielded(kernel, cell.cell, attempt);
    // One that a gateway before this one started comes first.
    else if (running !== cell.cell) kernel.deferred = cell;
    if (running === undefined || !kernel.cells.has(running)) this.look(kernel);
  }

  interrupt(kernel: LiveKernel, cell: Cell): void {
    interruptCell(this.#options, kernel, cell);
  }

  #endApplied(kernel: LiveKernel, cell: Cell, entry: Of<'end'>): void {
    cell.state = 'deciding';
    cell.runMs = Math.max(0, Math.round(entry.timings.runMs - entry.timings.captureMs));
    kernel.executed++;
    if (isFailure(entry.reply.content) && stopsOnError(cell.submit)) this.stopQueue(kernel);
    cell.executor = entry.executor;
    const ended = (): void => this.#ended(kernel, cell, entry);
    if (kernel.visits) this.#options.savedFirst.hold(kernel, cell, ended);
    else ended();
  }

  /** Its devices are free; its reply leaves behind its outputs. */
  #ended(kernel: LiveKernel, cell: Cell, entry: Of<'end'>): void {
    if (kernel.cells.get(cell.cell) !== cell) return;
    this.executions.released(cell, entry);
    this.#options.delivery.afterOutputs(kernel, cell, entry.lastOutput, () => {
      if (kernel.cells.get(cell.cell) !== cell) return;
      this.#decide(kernel, cell, entry, 'ended');
      this.executions.replied(kernel, cell);
      this.startDeferred(kernel);
    });
  }

  #abortApplied(kernel: LiveKernel, cell: Cell, entry: DecidedEntry): void {
    if (kernel.cells.get(cell.cell) !== cell) return;
    this.#decide(kernel, cell, entry, 'aborted');
    const stops = entry.type === 'abort' && entry.entry.reason !== 'stop-on-error';
    if (stops && cell.attempt > 0 && stopsOnError(cell.submit)) this.stopQueue(kernel);
    this.executions.giveUp(kernel, cell);
    this.startDeferred(kernel);
  }

  /** The user's restart: everything that was open ends without a result. */
  #resetApplied(kernel: LiveKernel, index: number): void {
    for (const cell of [...kernel.cells.values()]) {
      // What was accepted after it, or had ended before it, is not concerned.
      if (!cell.accepted || cell.state === 'deciding') continue;
      const entry = abortOf(cell, 'kernel-restarted', 'the kernel was restarted');
      this.#decide(kernel, cell, entry, 'aborted');
      this.executions.giveUp(kernel, cell);
    }
    this.startDeferred(kernel);
    Object.assign(kernel, { count: 0, resetDue: false });
    this.onReset(kernel, index);
  }

  /** The kernel is shut down: its open cells end here. */
  close(kernel: LiveKernel): void {
    // Core forgets from the back, so that none starts because the one before it has ended.
    const cells = [...kernel.cells.values()];
    for (const cell of cells.toReversed()) this.executions.giveUp(kernel, cell);
    for (const cell of cells) {
      const entry = abortOf(cell, 'kernel-closed', 'the kernel was shut down');
      this.#decide(kernel, cell, entry, 'aborted');
    }
  }

  /** The agent could not take it; nothing of it ran. */
  yielded(kernel: LiveKernel, number: number, attempt: number): void {
    const cell = kernel.cells.get(number);
    if (cell === undefined || cell.attempt !== attempt) return;
    if (cell.ticket === 0 && cell.state !== 'running') return;
    // The scheduler may not know that it ran.
    if (!this.executions.yield(kernel, cell)) this.resubmit(kernel, cell);
  }

  /** The scheduler takes up a cell that it does not know and that waits. */
  resubmit(kernel: LiveKernel, { cell, submit }: Cell): void {
    const { loop } = this.#options;
    const asked = { session: kernel.session, cell, need: submit.need, expectedMs: -1 };
    loop.post({ kind: 'cell-submitted', ...asked, submittedAt: submittedAtOf(loop, submit) });
    this.#options.notices.watch(kernel);
  }

  #decide(kernel: LiveKernel, cell: Cell, entry: DecidedEntry, state: 'ended' | 'aborted'): void {
    cell.state = state;
    kernel.cells.delete(cell.cell);
    remember(kernel, { cell, entry });
    kernel.replay.decided(cell.cell);
    if (kernel.pendingInput !== undefined && kernel.running === cell)
      kernel.pendingInput = undefined;
    sendReply(this.#options.delivery, kernel, cell, entry);
    this.#options.delivery.replied(kernel, kernel.executor);
  }
}
