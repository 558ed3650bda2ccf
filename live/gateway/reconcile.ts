import type { Logger } from 'pino';
import type { DecidedCell, KernelReport, OpenCell } from '../wire/messages.ts';
import { newCell } from './cells.ts';
import type { CoreLoop } from './core-loop.ts';
import type { Delivery } from './delivery.ts';
import { type Cell, cellKey, type LiveKernel } from './kernel.ts';
import type { Agents } from './links.ts';
import type { Outcomes } from './outcomes.ts';
import { abortOf, remember, sendReply } from './replies.ts';

export interface ReconcilerOptions {
  loop: CoreLoop;
  links: Agents;
  outcomes: Outcomes;
  delivery: Delivery;
  isUp: (host: string) => boolean;
  log: Logger;
}

const ASK_AGAIN_MS = 50;
const MOST_ASKED = 100;

/**
 * Compares what the gateway believes of a kernel with what its log holds. Entries of a gateway
 * before this one may be committed late, when its hosts have reported already; what agents told
 * meanwhile may be lost with their link.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #asking = new Set<LiveKernel>();
  readonly #again = new Set<LiveKernel>();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** Something in the log is not known here: a member is asked for all of it. */
  look(kernel: LiveKernel): void {
    if (this.#asking.has(kernel)) {
      this.#again.add(kernel);
      return;
    }
    this.#asking.add(kernel);
    this.#look(kernel)
      .catch((error) => this.#options.log.error({ err: error, kernel: kernel.id }, 'not compared'))
      .finally(() => {
        this.#asking.delete(kernel);
        if (this.#again.delete(kernel)) this.look(kernel);
      });
  }

  async #look(kernel: LiveKernel): Promise<void> {
    for (let asked = 0; asked < MOST_ASKED && !kernel.closing; asked++) {
      const report = await this.#reportOf(kernel, asked);
      if (report !== undefined) {
        this.take(kernel, report);
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
    }
    for (const cell of kernel.dropped.splice(0)) this.#answer(kernel, cell);
  }

  /** It ran so long ago that nobody knows its answer. */
  #answer(kernel: LiveKernel, cell: Cell): void {
    cell.attempt = 0;
    const message = 'this request ran before, and its answer is not kept any more';
    const entry = abortOf(cell, 'rejected', message);
    remember(kernel, { cell, entry });
    sendReply(this.#options.delivery, kernel, cell, entry);
  }

  /** Of a member that has applied all that was told of so far. */
  async #reportOf(kernel: LiveKernel, asked: number): Promise<KernelReport | undefined> {
    const { links, isUp, log } = this.#options;
    const members = [...kernel.members.values()].filter(({ host }) => isUp(host));
    const member = members[asked % Math.max(1, members.length)];
    if (member === undefined) return undefined;
    try {
      const reports = (await links.request(member.host, { t: 'report' })) as KernelReport[];
      return reports.find((each) => each.kernel === kernel.id && each.applied >= kernel.heardIndex);
    } catch (error) {
      log.debug({ err: error, kernel: kernel.id }, 'no report');
      return undefined;
    }
  }

  /** Decides cells whose notices were lost, and takes in those that are not known here. */
  take(kernel: LiveKernel, report: KernelReport): void {
    if (kernel.closing) return;
    const { outcomes } = this.#options;
    kernel.epoch = Math.max(kernel.epoch, report.epoch);
    kernel.nextAttempt = Math.max(kernel.nextAttempt, report.nextAttempt);
    for (const decided of report.decided) this.#decide(kernel, decided);
    // What a member that lags believes to be open may be decided.
    const isLate = report.applied < kernel.appliedIndex;
    for (const open of isLate ? [] : report.open) {
      const cell = kernel.cells.get(open.submit.cell);
      const isAnswered = cell === undefined && kernel.decided.has(open.submit.cell);
      // Its log is about to hear that.
      if (isAnswered) continue;
      if (cell === undefined) this.#open(kernel, open, report);
      else if (open.attempt > 0 && cell.state === 'waiting') this.#started(kernel, open, report);
      else cell.accepted = true;
    }
    if (!isLate) kernel.unknown.clear();
    outcomes.startDeferred(kernel);
  }

  #started(kernel: LiveKernel, { submit, attempt, executor }: OpenCell, { epoch }: KernelReport) {
    const start = { cell: submit.cell, attempt, epoch, executor, won: true };
    this.#options.outcomes.started(kernel, { type: 'start', ...start });
  }

  #decide(kernel: LiveKernel, decided: DecidedCell): void {
    const { cell: number, session, msgId, entry } = decided;
    const cell = kernel.cells.get(number);
    if (cell !== undefined) {
      if (cell.state === 'deciding') return;
      cell.decidedAt = decided.at ?? 0;
      this.#options.outcomes.decided(kernel, cell, entry);
      return;
    }
    if (kernel.decided.has(number)) return;
    const key = cellKey(session, msgId);
    const dropped = kernel.dropped.findLast(
      ({ submit }) => cellKey(submit.session, submit.msgId) === key,
    );
    if (!kernel.unknown.delete(number) && dropped === undefined) return;
    const late = decidedCell(kernel, decided, dropped?.link);
    if (dropped === undefined) {
      kernel.cells.set(number, late);
      kernel.known.set(key, late);
      this.#options.outcomes.decided(kernel, late, entry);
    } else {
      remember(kernel, { cell: late, entry });
      sendReply(this.#options.delivery, kernel, late, entry);
      kernel.dropped.splice(kernel.dropped.indexOf(dropped), 1);
    }
  }

  /** Accepted for a gateway before this one, and committed after this one had asked. */
  #open(kernel: LiveKernel, open: OpenCell, report: KernelReport): void {
    const { submit, attempt, executor, devices, count } = open;
    const key = cellKey(submit.session, submit.msgId);
    const dropped = kernel.dropped.findIndex(
      (each) => cellKey(each.submit.session, each.submit.msgId) === key,
    );
    const link = dropped === -1 ? undefined : kernel.dropped.splice(dropped, 1)[0]!.link;
    const cell = newCell(submit, link);
    Object.assign(cell, { proposed: true, accepted: true, count, devices });
    kernel.unknown.delete(cell.cell);
    kernel.cells.set(cell.cell, cell);
    kernel.known.set(key, cell);
    if (submit.session !== '' && !kernel.positions.has(submit.session))
      kernel.positions.set(submit.session, -1);
    if (attempt === 0) {
      this.#options.outcomes.resubmit(kernel, cell);
      return;
    }
    // The scheduler is not told: its books have another cell of the kernel under way, or none.
    cell.attempt = attempt;
    cell.executor = executor;
    this.#started(kernel, open, report);
  }
}

/** A decided cell as far as a report tells of it. */
export function decidedCell(
  kernel: LiveKernel,
  { cell: number, session, msgId, header, count, at, entry }: DecidedCell,
  link: Cell['link'],
): Cell {
  const cell = newCell(
    {
      v: 1,
      type: 'submit',
      cell: number,
      session,
      msgId,
      userId: kernel.meta.userId,
      submittedAt: 0,
      need: kernel.meta.need,
      header,
      metadata: '{}',
      content: '{}',
      buffers: [],
    },
    link,
  );
  const attempt = entry.type === 'end' ? entry.attempt : entry.entry.attempt;
  return Object.assign(cell, {
    ...{ proposed: true, accepted: true, attempt, count },
    executor: kernel.executor,
    decidedAt: at ?? 0,
  });
}
