import type { Logger } from 'pino';
import type { AgentHello, AgentNotice, KernelReport, OpenCell } from '../wire/messages.ts';
import { type Adopted, Adoption } from './adoption.ts';
import { newCell } from './cells.ts';
import type { CoreLoop } from './core-loop.ts';
import type { Delivery } from './delivery.ts';
import type { Driver } from './driver.ts';
import type { Hosts, LiveHost } from './hosts.ts';
import { type Cell, cellKey, type LiveKernel } from './kernel.ts';
import type { KernelTable } from './kernel-table.ts';
import { hearOf } from './minority.ts';
import type { Outcomes } from './outcomes.ts';
import type { Pools } from './pools.ts';
import { decidedCell, type Reconciler } from './reconcile.ts';
import type { Replicas } from './replicas.ts';
import { remember } from './replies.ts';
import {
  failedCell,
  hasMajority,
  isMissed,
  isSuccessor,
  kernelOf,
  latestOf,
  type Report,
  repliedIn,
  reportsOf,
} from './reports.ts';
import type { Visits } from './visits.ts';

export interface RecoveryOptions {
  loop: CoreLoop;
  table: KernelTable;
  hosts: Hosts;
  pools: Pools;
  replicas: Replicas;
  outcomes: Outcomes;
  reconciler: Reconciler;
  delivery: Delivery;
  driver: Driver;
  log: Logger;
  /** ids of the hosts that are expected to report */
  expected: readonly string[];
  /** ms after the first report for which the others are waited for */
  waitMs: number;
  /** ms that a kernel without a majority of its hosts is waited for; then it is shown as it is */
  majorityMs: number;
  /** where kernels have a process for their cells only */
  visits: Visits | undefined;
  onNamed: (kernel: LiveKernel) => void;
}

/** Notices of one kernel that are kept until it is known. */
const MOST_KEPT = 10_000;

interface Kept {
  host: string;
  notice: AgentNotice;
}

/**
 * The way back to knowing all kernels, after any start: agents report what their logs hold, and
 * that is the truth. Hosts are waited for a short while after the first; what comes later is taken
 * in then.
 */
export class Recovery {
  readonly #options: RecoveryOptions;
  readonly #adoption: Adoption;
  readonly #early = new Map<string, AgentHello>();
  /** reports of kernels that too few hosts have told of, by host */
  readonly #awaited = new Map<string, Map<string, KernelReport>>();
  /** what members of kernels that are not known yet have told since they reported */
  readonly #kept = new Map<string, Kept[]>();
  /** takes a notice that was kept */
  onNotice: (host: string, notice: AgentNotice) => void = () => undefined;
  #done = false;
  #timer: NodeJS.Timeout | undefined;
  readonly #timers = new Set<NodeJS.Timeout>();
  #resolve: () => void = () => undefined;
  readonly done: Promise<void>;

  constructor(options: RecoveryOptions) {
    this.#options = options;
    this.#adoption = new Adoption(options);
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  get isDone(): boolean {
    return this.#done;
  }

  /** Fewer hosts than a majority have told of this kernel so far. */
  isAwaited(kernel: string): boolean {
    return this.#awaited.has(kernel);
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const timer of this.#timers) clearTimeout(timer);
  }

  /** A word on a kernel that is not known: it may be known in a moment. */
  keep(host: string, notice: AgentNotice & { kernel: string }): void {
    if (notice.t !== 'applied' && notice.t !== 'yielded') return;
    const { kernel } = notice;
    if (this.#done && !this.#awaited.has(kernel)) return;
    const kept = this.#kept.get(kernel) ?? [];
    this.#kept.set(kernel, kept);
    if (kept.length < MOST_KEPT) kept.push({ host, notice });
  }

  /** An agent said hello, or was asked for a report. */
  reported(host: LiveHost, hello: AgentHello): void {
    this.#options.pools.reported(host.id, hello.pooled);
    if (this.#done) this.#late(host.id, hello);
    else this.#take(host, hello);
  }

  /** An agent said hello, and its host has no work now. */
  idle(host: LiveHost, hello: AgentHello): void {
    this.#options.pools.reported(host.id, hello.pooled);
    if (!this.#done) this.#take(host, hello);
  }

  #take(host: LiveHost, hello: AgentHello): void {
    this.#early.set(host.id, hello);
    if (this.#options.expected.every((id) => this.#early.has(id))) this.#finish();
    else this.#timer ??= setTimeout(() => this.#finish(), this.#options.waitMs);
  }

  #finish(): void {
    clearTimeout(this.#timer);
    if (this.#done) return;
    this.#done = true;
    for (const [host, { kernels }] of this.#early)
      for (const report of kernels) {
        const { kernel, member } = report;
        if (!this.#options.table.wasRemoved(kernel)) this.#await(host, report);
        else this.#options.replicas.discard(host, kernel, member, true);
      }
    // Oldest first, so that numbers and queues are as they were.
    const kernels = [...this.#awaited.values()].map(reportsOf);
    kernels.sort((a, b) => a[0]!.report.meta.session - b[0]!.report.meta.session);
    for (const known of kernels) this.#adoptWhole(known);
    for (const kernel of this.#kept.keys())
      if (!this.#awaited.has(kernel)) this.#kept.delete(kernel);
    this.#options.log.info({ kernels: kernels.length, hosts: this.#early.size }, 'recovered');
    this.#early.clear();
    this.#resolve();
  }

  #await(host: string, report: KernelReport): void {
    const { kernel } = report;
    const known = this.#awaited.get(kernel);
    if (known === undefined) this.#awaited.set(kernel, new Map([[host, report]]));
    else known.set(host, report);
  }

  /**
   * Takes a kernel over once a majority of its members has told of it: fewer may not know what was
   * accepted, nor who its members are.
   */
  #adoptWhole(reports: readonly Report[]): void {
    const { kernel } = reports[0]!.report;
    if (hasMajority(reports)) {
      this.#adoptSafely(reports);
      return;
    }
    this.#options.log.warn({ kernel, reports: reports.length }, 'too few hosts know a kernel yet');
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      const late = this.#awaited.get(kernel);
      if (late === undefined) return;
      this.#adoptSafely(reportsOf(late));
    }, this.#options.majorityMs);
    timer.unref();
    this.#timers.add(timer);
  }

  #adoptSafely(reports: readonly Report[]): void {
    const { kernel } = reports[0]!.report;
    this.#awaited.delete(kernel);
    try {
      this.#adopt(reports);
    } catch (error) {
      this.#options.log.error({ err: error, kernel }, 'a kernel could not be taken over');
    }
    const kept = this.#kept.get(kernel) ?? [];
    this.#kept.delete(kernel);
    for (const { host, notice } of kept) this.onNotice(host, notice);
  }

  /** What is known is an older log of the kernel, whose host could not be told: this one goes on. */
  #succeed(kernel: LiveKernel, host: string, report: KernelReport): void {
    for (const member of [...kernel.members.values()]) this.#options.replicas.leave(kernel, member);
    this.#addMembers(kernel, report, [{ host, report }]);
    kernel.nextMember = Math.max(kernel.nextMember, report.member + 1);
    kernel.appliedIndex = report.applied;
    kernel.heardIndex = report.applied;
    kernel.executor = report.executor;
    kernel.count = Math.max(kernel.count, report.count);
    kernel.nextCell = Math.max(kernel.nextCell, report.nextCell);
  }

  /** A host that comes after the others, or again. */
  #late(host: string, { kernels }: AgentHello): void {
    const { table, loop, replicas, reconciler, delivery } = this.#options;
    for (const report of kernels) {
      const kernel = table.get(report.kernel);
      if (kernel !== undefined) {
        if (isSuccessor(kernel, report)) this.#succeed(kernel, host, report);
        const isSure = hearOf(kernel, { host, report }, { loop, replicas });
        if (!isSure && !kernel.members.has(report.member)) continue;
        replicas.reported(kernel, host, report);
        if (kernel.visits) this.#options.visits?.reported(kernel, report);
        reconciler.take(kernel, report);
        delivery.catchUp(kernel, report);
        continue;
      }
      // One that was shut down while this host was away. What nobody shut down is never removed: it
      // may be the last copy.
      if (table.wasRemoved(report.kernel)) {
        replicas.discard(host, report.kernel, report.member);
        continue;
      }
      const isFirst = !this.#awaited.has(report.kernel);
      this.#await(host, report);
      const reports = reportsOf(this.#awaited.get(report.kernel)!);
      if (isFirst || hasMajority(reports)) this.#adoptWhole(reports);
    }
    const named = new Set(kernels.map(({ kernel }) => kernel));
    for (const kernel of table) {
      for (const member of kernel.members.values())
        if (member.host === host && !named.has(kernel.id)) replicas.missing(kernel, member);
    }
  }

  #adopt(reports: readonly Report[]): void {
    const { table, loop } = this.#options;
    const best = latestOf(reports);
    if (this.#isForeign(best)) return;
    const kernel = kernelOf(best);
    if (!hasMajority(reports)) {
      kernel.lostQuorum = true;
      kernel.minority = new Map(reports.map(({ host, report }) => [host, report]));
    }
    this.#addMembers(kernel, best, reports);
    table.add(kernel);
    this.#options.onNamed(kernel);
    const adopted = this.#adoption.session(kernel);
    if (kernel.pinned.length > 0)
      loop.post({ kind: 'session-pinned', session: kernel.session, pinned: true });
    this.#takeOutputs(kernel, reports);
    kernel.toldReplied = repliedIn(reports) ?? 0;
    this.#takeDecided(kernel, best, repliedIn(reports));
    const failed = failedCell(best, kernel, repliedIn(reports));
    for (const open of best.open.toSorted((a, b) => a.submit.cell - b.submit.cell))
      this.#takeOpen(kernel, open, adopted, open.submit.cell > failed);
    // A move that the gateway before this one had begun: core has taken the kernel over without it.
    // Where one member is all there is, which of two has everything is not known here.
    if (kernel.minority === undefined && kernel.meta.replicas > 1)
      this.#options.replicas.removeSurplus(kernel);
  }

  /**
   * Policies that keep a process for each kernel and those that do not cannot take each other's
   * over: such a kernel stays on its hosts as it is.
   */
  #isForeign({ kernel, meta }: KernelReport): boolean {
    const { visits, table, log } = this.#options;
    const isVisiting = meta.visits === true;
    if (isVisiting === (visits !== undefined)) return false;
    const policies = isVisiting ? 'batch-fcfs or lcp' : 'notebookos or reservation';
    log.warn({ kernel }, `a kernel is left out: it comes back with --policy ${policies}`);
    table.leaveOut(meta.session);
    return true;
  }

  #addMembers(kernel: LiveKernel, best: KernelReport, reports: readonly Report[]): void {
    for (const { member, host } of best.members) {
      const own = reports.find((each) => each.host === host && each.report.member === member);
      kernel.members.set(member, {
        member,
        host,
        container: -1,
        ready: own?.report.process === 'ready',
        joined: true,
        leaving: false,
        readyFrom: 0,
        position: own === undefined ? undefined : { ...own.report },
        startedAt: performance.now(),
      });
    }
    for (const { host, report } of reports)
      if (kernel.minority === undefined && !kernel.members.has(report.member))
        this.#options.replicas.discard(host, kernel.id, report.member);
    kernel.everReady = [...kernel.members.values()].some(({ ready }) => ready);
  }

  /** What the clients of the gateway before this one may have missed is asked for again. */
  #takeOutputs(kernel: LiveKernel, reports: readonly Report[]): void {
    for (const { report } of reports) {
      const { first, seen } = report.outputs;
      kernel.seenBefore.set(report.member, seen);
      kernel.streams.expect(report.member, Math.max(first, seen + 1));
    }
    const executor = kernel.members.get(kernel.executor);
    const own = reports.find(({ report }) => report.member === kernel.executor)?.report;
    if (own === undefined || executor === undefined) return;
    const { first, next, seen } = own.outputs;
    kernel.streams.last = next - 1;
    // A page that is loaded anew wants all of the running cell, not only what was not seen.
    const runs = own.open.some(({ attempt }) => attempt > 0);
    const from = runs ? first : Math.max(first, seen + 1);
    kernel.streams.expect(executor.member, from);
    if (next > from) this.#options.delivery.resend(kernel, executor.member, from);
  }

  #takeDecided(kernel: LiveKernel, best: KernelReport, replied: number | undefined): void {
    for (const decided of best.decided) {
      const { cell: number, session, msgId, entry } = decided;
      const cell = decidedCell(kernel, decided, undefined);
      if (session !== '') kernel.positions.set(session, -1);
      if (!isMissed(kernel, decided, replied)) {
        cell.state = entry.type === 'end' ? 'ended' : 'aborted';
        remember(kernel, { cell, entry });
        continue;
      }
      // Decided while there was no gateway: its reply goes out when its outputs are there.
      kernel.cells.set(number, cell);
      kernel.known.set(cellKey(session, msgId), cell);
      this.#options.outcomes.decided(kernel, cell, entry);
    }
  }

  #takeOpen(
    kernel: LiveKernel,
    open: OpenCell,
    adopted: readonly Adopted[],
    isStopped: boolean,
  ): void {
    const { loop, outcomes } = this.#options;
    const { submit, attempt, executor, devices, count } = open;
    const cell: Cell = newCell(submit, undefined);
    Object.assign(cell, { proposed: true, accepted: true, attempt, executor, devices, count });
    cell.epoch = kernel.epoch;
    kernel.cells.set(cell.cell, cell);
    kernel.known.set(cellKey(submit.session, submit.msgId), cell);
    if (submit.session !== '') kernel.positions.set(submit.session, -1);
    if (attempt === 0) {
      cell.withdrawn = isStopped;
      if (isStopped)
        outcomes.abortWaiting(kernel, cell, 'stop-on-error', 'a cell before it failed');
      else outcomes.resubmit(kernel, cell);
      return;
    }
    cell.state = 'running';
    cell.startedAt = loop.now();
    kernel.running = cell;
    if (!this.#adoption.run(kernel, cell, adopted)) {
      const text = 'its host was lost while the cell ran, and its variables with what it did';
      outcomes.abort(kernel, cell, 'host-lost', text);
    }
  }
}
