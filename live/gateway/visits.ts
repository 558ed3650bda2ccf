import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Execute, StartContainer, StopContainer } from '../../core/effects.ts';
import { NbosError } from '../../core/errors.ts';
import type { KernelReport } from '../wire/messages.ts';
import type { CoreLoop } from './core-loop.ts';
import type { Hosts } from './hosts.ts';
import type { LiveKernel, Member } from './kernel.ts';
import type { KernelTable } from './kernel-table.ts';
import type { Agents } from './links.ts';
import type { Outcomes } from './outcomes.ts';
import type { Pools } from './pools.ts';
import type { Proposals } from './proposals.ts';
import type { Replicas } from './replicas.ts';
import type { Restorer } from './restore-kernel.ts';
import type { SavedFirst } from './saved-first.ts';

export interface VisitsOptions {
  loop: CoreLoop;
  links: Agents;
  hosts: Hosts;
  table: KernelTable;
  pools: Pools;
  replicas: Replicas;
  restorer: Restorer;
  outcomes: Outcomes;
  proposals: Proposals;
  savedFirst: SavedFirst;
  log: Logger;
  kernelOf: (session: number) => LiveKernel | undefined;
  /** ms that a process may take to end */
  startMs: number;
}

/** What a host says that has no log of the kernel: there is nothing to be saved. */
const NOTHING_THERE: ReadonlySet<string> = new Set(['kernel-unknown', 'link-lost', 'link-timeout']);

const LOOK_MS = 20;

/** A beginning under way. */
interface Begin {
  readonly host: string;
  readonly over: Promise<void>;
  /** its host is lost: what it says is not waited for */
  lost: (error: NbosError) => void;
}

/**
 * Kernels that have a process for their cells only, in containers that core starts for a cell: they
 * visit a host, and between visits their log rests on the host of the last one. On the same host
 * the next visit goes on with that log; elsewhere a new one begins with what the store has, and
 * only then the old one goes.
 */
export class Visits {
  readonly #options: VisitsOptions;
  /** whose visit each of core's containers is, or was last while it is in core's pool */
  readonly #places = new Map<number, LiveKernel>();
  readonly #begins = new Map<LiveKernel, Begin>();
  readonly #ending = new Map<Member, Promise<void>>();
  /** cells that core runs at once in a container where their kernel has to be brought first */
  readonly #held = new Map<number, Execute>();
  /** strangers that were told to go */
  readonly #discarded = new Set<string>();
  /** containers by core's number of the execution in them */
  readonly #runs = new Map<number, number>();

  constructor(options: VisitsOptions) {
    this.#options = options;
    options.savedFirst.takeBack = (kernel, member) => options.replicas.wake(kernel, member, '');
    options.loop.observers.push((event) => {
      if (event.kind === 'execution-released' || event.kind === 'execution-failed')
        this.#served(event.execution);
    });
  }

  /** Of a member that is none of the kernel's: a gateway before this one had it begun there. */
  stranger(host: string, kernel: LiveKernel, member: number): void {
    const { hosts, replicas } = this.#options;
    if (!kernel.hasLog((id) => hosts.isUp(id)) || this.#discarded.has(`${kernel.id} ${member}`))
      return;
    this.#discarded.add(`${kernel.id} ${member}`);
    replicas.discard(host, kernel.id, member);
  }

  /** Core starts a container for a cell. */
  start(effect: StartContainer): void {
    const { container, session } = effect;
    const kernel = this.#options.kernelOf(session);
    if (kernel === undefined || kernel.closing) {
      this.#options.loop.post({ kind: 'container-failed', container });
      return;
    }
    // Effects are the books' own: copies outlive the step.
    this.#begin(kernel, { ...effect });
  }

  /** Core runs a cell: in a container that it had started, or that is warm in its books. */
  execute(effect: Execute): void {
    const { outcomes, pools, kernelOf } = this.#options;
    const { execution, container, host, session } = effect;
    this.#runs.set(execution, container);
    const kernel = kernelOf(session);
    const cell = kernel?.cells.get(effect.cell);
    if (kernel === undefined || cell?.state !== 'waiting' || kernel.closing) {
      outcomes.execute(effect);
      return;
    }
    // It may be on its way elsewhere, for a cell that was taken back since.
    const isHere = kernel.memberOfContainer(container)?.ready === true;
    if (isHere && !this.#begins.has(kernel)) {
      outcomes.execute(effect);
      return;
    }
    // It has been elsewhere since, or its process has died.
    outcomes.executions.bind(kernel, cell, effect);
    this.#held.set(container, { ...effect });
    const start = pools.has(container) ? 'prewarmed' : 'cold';
    const { attempt } = effect;
    const whose = { container, host, session, cell: effect.cell, attempt };
    this.#begin(kernel, { kind: 'start-container', start, ...whose });
  }

  /** A container that was there before core was. */
  adopted(container: number, kernel: LiveKernel): void {
    this.#places.set(container, kernel);
  }

  stop(effect: StopContainer): void {
    const { pools, replicas } = this.#options;
    const { container } = effect;
    const kernel = this.#places.get(container);
    const member = kernel?.memberOfContainer(container);
    this.#places.delete(container);
    this.#held.delete(container);
    if (kernel === undefined || pools.has(container)) pools.stop(effect);
    if (kernel === undefined || member === undefined) return;
    member.container = -1;
    if (kernel.closing) replicas.leave(kernel, member);
    else if (member.joined) this.rest(kernel, member);
  }

  /** Core's container is gone: its process did not start, or its host has no log of the kernel. */
  lost(kernel: LiveKernel, container: number): void {
    const { loop, outcomes } = this.#options;
    // Another kernel may have been given it meanwhile.
    if (this.#places.get(container) !== kernel) return;
    const held = this.#held.get(container);
    const cell = kernel.cells.get(held?.cell ?? -1);
    this.#held.delete(container);
    if (held === undefined || cell?.ticket !== held.ticket) {
      this.#places.delete(container);
      loop.post({ kind: 'container-lost', container });
    } else outcomes.executions.yield(kernel, cell);
  }

  /** What an agent says that came back: with the one before it the process has ended. */
  reported(kernel: LiveKernel, { member: number, process }: KernelReport): void {
    const member = kernel.members.get(number);
    if (member === undefined || member.container === -1 || process !== 'resting') return;
    const { container } = member;
    Object.assign(member, { container: -1, ready: false });
    this.lost(kernel, container);
  }

  /** Its process is usable. */
  ready(kernel: LiveKernel, { container }: Member): void {
    this.#options.proposals.wake(kernel);
    const held = this.#held.get(container);
    if (held === undefined) return;
    this.#held.delete(container);
    const cell = kernel.cells.get(held.cell);
    if (cell?.ticket === held.ticket && cell.state === 'waiting')
      this.#options.outcomes.execute(held);
  }

  /** Ends its process; the log rests. */
  rest(kernel: LiveKernel, member: Member): Promise<void> {
    member.ready = false;
    const { links, hosts, log, startMs } = this.#options;
    const known = this.#ending.get(member);
    if (known !== undefined || !hosts.isUp(member.host)) return known ?? Promise.resolve();
    const request = { t: 'rest-replica' as const, kernel: kernel.id, member: member.member };
    const ending = links
      .request(member.host, request, startMs)
      .then(
        () => undefined,
        (error) => log.warn({ err: error, kernel: kernel.id }, 'a process was not ended'),
      )
      .finally(() => this.#ending.delete(member));
    this.#ending.set(member, ending);
    return ending;
  }

  /** A process is there that no cell needs, and core knows nothing of. */
  unasked(kernel: LiveKernel, member: Member): void {
    const runs = kernel.running?.executor === member.member;
    if (!runs && member.joined) void this.rest(kernel, member);
  }

  /** Core knows that the host is lost. */
  hostLost(kernel: LiveKernel, member: Member): void {
    const { hosts, savedFirst, loop } = this.#options;
    const { host } = member;
    const error = new NbosError('link-lost', `host ${host} was lost`);
    Object.assign(member, { ready: false, container: -1 });
    if (!member.joined) kernel.members.delete(member.member);
    savedFirst.lost(member, error);
    const begin = this.#begins.get(kernel);
    if (begin?.host === host) begin.lost(error);
    kernel.restoring = !kernel.hasLog((id) => hosts.isUp(id));
    for (const container of this.#places.keys())
      if (!loop.core.state.containers.has(container)) this.#places.delete(container);
  }

  /** The kernel was shut down: what hosts and store have of it is removed. */
  closed(kernel: LiveKernel): void {
    const { hosts, replicas } = this.#options;
    const isThere = [...kernel.members.values()].some(({ host }) => hosts.isUp(host));
    const any = hosts.all().find(({ id }) => hosts.isUp(id))?.id;
    for (const member of [...kernel.members.values()]) replicas.leave(kernel, member);
    // The store has it all the same.
    if (!isThere && any !== undefined && kernel.created) replicas.discard(any, kernel.id, 0, true);
    for (const [container, whose] of this.#places)
      if (whose === kernel) this.#places.delete(container);
  }

  /** Resolves once its log takes entries again, should it be on its way to another host. */
  async settled(kernel: LiveKernel): Promise<void> {
    await this.#begins.get(kernel)?.over;
  }

  #begin(kernel: LiveKernel, effect: StartContainer): void {
    const { hosts, log } = this.#options;
    const { container } = effect;
    const former = this.#places.get(container);
    this.#places.set(container, kernel);
    const before = this.#begins.get(kernel)?.over;
    let lost: Begin['lost'] = () => undefined;
    const isLost = new Promise<never>((_, reject) => {
      lost = reject;
    });
    isLost.catch(() => undefined);
    const work = async (): Promise<void> => {
      await before;
      if (former !== undefined && former !== kernel) await this.#vacate(former, container);
      if (this.#isWanted(kernel, container)) await this.#bring(kernel, effect, isLost);
    };
    const over = work().catch((error) => {
      log.error({ err: error, kernel: kernel.id }, 'a kernel was not brought to its cell');
    });
    const begin = { host: hosts.byNumber(effect.host)?.id ?? '', over, lost };
    this.#begins.set(kernel, begin);
    void over.finally(() => {
      if (this.#begins.get(kernel) === begin) this.#begins.delete(kernel);
    });
  }

  /** Core still wants the kernel there. */
  #isWanted(kernel: LiveKernel, container: number): boolean {
    return !kernel.closing && this.#places.get(container) === kernel;
  }

  /** The container is another kernel's now: the one that was in it rests. */
  async #vacate(former: LiveKernel, container: number): Promise<void> {
    const member = former.memberOfContainer(container);
    if (member === undefined) return;
    member.container = -1;
    await this.rest(former, member);
  }

  async #bring(kernel: LiveKernel, effect: StartContainer, isLost: Promise<never>): Promise<void> {
    const { replicas, restorer, hosts, outcomes } = this.#options;
    const host = hosts.byNumber(effect.host)?.id ?? '';
    const current = [...kernel.members.values()].find((each) => each.joined && each.host === host);
    if (!kernel.created || (kernel.appliedIndex === 0 && restorer.isGone(kernel))) {
      kernel.beginsEmpty = false;
      if (kernel.created) outcomes.acceptAgain(kernel);
      replicas.start(kernel, [effect]);
    } else if (current === undefined || kernel.beginsEmpty)
      await this.#bringFromStore(kernel, host, effect, isLost);
    else await this.#wake(kernel, current, effect);
  }

  /** Its log is on this host already. */
  async #wake(kernel: LiveKernel, member: Member, effect: StartContainer): Promise<void> {
    const { replicas } = this.#options;
    // What its host says until then is of the process before.
    await this.#ending.get(member);
    if (!this.#isWanted(kernel, effect.container)) return;
    Object.assign(member, { container: effect.container, startedAt: performance.now() });
    member.ready = false;
    await replicas.wake(kernel, member, replicas.pooledOf(effect)).catch((error: NbosError) => {
      if (member.container === effect.container)
        replicas.failed(kernel, member, `${error.code}: ${error.message}`);
    });
  }

  async #bringFromStore(
    kernel: LiveKernel,
    host: string,
    effect: StartContainer,
    isLost: Promise<never>,
  ): Promise<void> {
    const { replicas, restorer, hosts, proposals, table } = this.#options;
    const old = [...kernel.members.values()];
    const member = kernel.addMember(host, effect.container, false);
    kernel.moving = true;
    const isUp = (id: string): boolean => hosts.isUp(id);
    const preparation = {
      before: () => this.#saveAll(kernel, old),
      begun: () => {
        for (const each of old) replicas.leave(kernel, each);
        Object.assign(member, { joined: true });
        kernel.moving = false;
      },
    };
    try {
      const begun = restorer.begin(kernel, member, replicas.pooledOf(effect), preparation);
      await Promise.race([begun, isLost]);
      // A gateway that ends leaves it to the next one.
      if (kernel.closing && table.wasRemoved(kernel.id)) replicas.leave(kernel, member);
      else if (kernel.closing) return;
      else if (!this.#isWanted(kernel, effect.container)) {
        member.container = -1;
        await this.rest(kernel, member);
      } else if (member.ready) {
        replicas.started(member);
        this.ready(kernel, member);
      }
    } catch (error) {
      const { code, message } = error as NbosError;
      kernel.moving = false;
      kernel.restoring = !kernel.hasLog(isUp);
      if (!this.#isWanted(kernel, effect.container)) member.container = -1;
      replicas.failed(kernel, member, `${code}: ${message}`);
    }
    proposals.wake(kernel);
  }

  /**
   * What only its last host has of it goes to the store before it is begun from there, and to its
   * clients.
   */
  async #saveAll(kernel: LiveKernel, members: readonly Member[]): Promise<void> {
    const { hosts, savedFirst } = this.#options;
    for (const member of members) {
      const isUp = (): boolean => member.joined && hosts.isUp(member.host) && !kernel.closing;
      if (isUp() && !kernel.beginsEmpty)
        await savedFirst.save(kernel, member).catch((error: NbosError) => {
          if (!NOTHING_THERE.has(error.code)) throw error;
        });
      // Replies of a gateway before this one, whose outputs are asked for again.
      while (isUp() && kernel.waitsFor(member.member)) await sleep(LOOK_MS);
    }
  }

  /** A cell has ended in a container: in core's pool it is to be warm for any kernel. */
  #served(execution: number): void {
    const { loop, pools } = this.#options;
    const container = this.#runs.get(execution) ?? -1;
    this.#runs.delete(execution);
    const known = loop.core.state.containers.get(container);
    if (known?.role === 'pool') pools.startSpare(known);
  }
}
