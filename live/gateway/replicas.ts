import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { JoinReplica, StartContainer, StopContainer } from '../../core/effects.ts';
import type { NbosError } from '../../core/errors.ts';
import type { KernelPosition, KernelReport, MemberAddress } from '../wire/messages.ts';
import type { CoreLoop } from './core-loop.ts';
import type { Hosts } from './hosts.ts';
import type { LiveKernel, Member } from './kernel.ts';
import type { Agents } from './links.ts';
import { MemberChanges } from './member-changes.ts';
import { addresses, isAwaited, isUnwanted, surplusOf } from './members.ts';
import type { Restorer } from './restore-kernel.ts';

export interface ReplicasOptions {
  loop: CoreLoop;
  links: Agents;
  hosts: Hosts;
  restorer: Restorer;
  log: Logger;
  /** ms that the start of a replica's member may take */
  startMs: number;
  /** ms that a change of members may take before it is asked for again */
  changeMs: number;
  /** name of a pooled process in core's container */
  pooledName: (container: number) => string;
  /** a replica's process is usable from now on */
  onReady: (kernel: LiveKernel, member: Member, startMs: number) => void;
  /** a replica's process did not start */
  onFailed: (kernel: LiveKernel) => void;
  /** core's container of a kernel without a process of its own is gone */
  onVisitLost: (kernel: LiveKernel, container: number) => void;
  /** such a kernel has a process that it should not have now */
  onUnasked: (kernel: LiveKernel, member: Member) => void;
}

const WITHOUT_PROCESS: ReadonlySet<string> = new Set(['dead', 'starting', 'resting']);
const NO_PROCESS = { process: 'starting', pid: 0 } as const;

/**
 * Replicas as core places them: members of Raft groups with processes on hosts. A member's number
 * is never used again. A member that core has forgotten stays in its group until another takes its
 * place, so that a host which comes back can go on where it was.
 */
export class Replicas {
  readonly #options: ReplicasOptions;
  readonly #changes: MemberChanges;

  constructor(options: ReplicasOptions) {
    this.#options = options;
    this.#changes = new MemberChanges(options);
  }

  /** All containers of one kernel that core starts in one step. */
  start(kernel: LiveKernel, effects: readonly StartContainer[]): void {
    if (kernel.minority !== undefined) {
      // A host may hold a member that is not known here, which a start there would remove.
      kernel.heldStarts.push(...effects);
      return;
    }
    const [first, ...others] = effects;
    const isGone = this.#options.restorer.isGone(kernel);
    if (!kernel.created || (isGone && kernel.appliedIndex === 0)) this.#startGroup(kernel, effects);
    else if (first !== undefined && isGone) {
      this.#beginAnew(kernel, first);
      for (const effect of others) this.#startOne(kernel, effect);
    } else for (const effect of effects) this.#startOne(kernel, effect);
  }

  #beginAnew(kernel: LiveKernel, effect: StartContainer): void {
    for (const member of [...kernel.members.values()]) this.#purge(kernel, member);
    const member = this.#add(kernel, effect, true);
    this.#options.restorer.begin(kernel, member, this.pooledOf(effect)).then(
      () => this.recovering(kernel, member),
      (error) => {
        member.joined = false;
        this.#notStarted(kernel, member, error);
      },
    );
  }

  /** What waited until it was known who the members are. */
  startHeld(kernel: LiveKernel): void {
    const { containers } = this.#options.loop.core.state;
    const held = kernel.heldStarts.splice(0).filter(({ container }) => containers.has(container));
    if (held.length > 0) this.start(kernel, held);
  }

  #startGroup(kernel: LiveKernel, effects: readonly StartContainer[]): void {
    kernel.created = true;
    for (const member of [...kernel.members.values()]) this.#purge(kernel, member);
    const added = effects.map((effect) => this.#add(kernel, effect, true));
    const members = added.map(({ member, host }) => ({ member, host }));
    effects.forEach((effect, index) => {
      const member = added[index]!;
      const pooled = this.pooledOf(effect);
      this.#request(kernel, member, pooled, members, { joins: false, niced: index > 0 }).then(
        () => this.recovering(kernel, member),
        (error) => {
          // No log of it is anywhere, as far as can be told.
          if (kernel.visits) member.joined = false;
          this.#notStarted(kernel, member, error);
        },
      );
    });
  }

  #startOne(kernel: LiveKernel, effect: StartContainer): void {
    const host = this.#options.hosts.byNumber(effect.host);
    const old = [...kernel.members.values()].find(
      (member) => member.container === -1 && member.host === host?.id,
    );
    if (old?.joined === true && !old.leaving) {
      // The host is back with its log, or its process may yet start: nothing has to be copied.
      old.container = effect.container;
      if (old.ready) this.started(old);
      else this.recovering(kernel, old);
      return;
    }
    this.#join(kernel, effect, old).catch((error) => {
      this.#options.log.error({ err: error, kernel: kernel.id }, 'a replica could not join');
    });
  }

  async #join(kernel: LiveKernel, effect: StartContainer, old: Member | undefined): Promise<void> {
    const member = this.#add(kernel, effect, false);
    try {
      if (old !== undefined) await this.#stopReplica(kernel, old);
      if (isUnwanted(kernel, member)) return await this.#leftOut(kernel, member);
      const members = addresses(kernel).concat({ member: member.member, host: member.host });
      const pooled = this.pooledOf(effect);
      await this.#request(kernel, member, pooled, members, { joins: true, niced: true });
      if (kernel.closing) this.discard(member.host, kernel.id, member.member);
      if (isUnwanted(kernel, member)) return await this.#leftOut(kernel, member);
    } catch (error) {
      this.#notStarted(kernel, member, error as NbosError);
      return;
    }
    if (this.#isMove(kernel, member)) {
      // `join-replica` follows, and the old one serves until then.
      this.started(member);
      return;
    }
    await this.#admit(kernel, member);
    if (isUnwanted(kernel, member)) await this.#leftOut(kernel, member);
    else if (member.ready) this.started(member);
    else this.recovering(kernel, member);
  }

  async #leftOut(kernel: LiveKernel, { container }: Member): Promise<void> {
    const { containers } = this.#options.loop.core.state;
    if (await isAwaited(kernel, () => containers.has(container))) this.#lost(kernel, container);
  }

  #isMove(kernel: LiveKernel, { container }: Member): boolean {
    const session = this.#options.loop.core.state.sessions[kernel.session];
    return session?.migrations.some((migration) => migration.container === container) === true;
  }

  /** A moved replica joins its group; the answer is given once it has caught up and runs. */
  join(kernel: LiveKernel, { container }: JoinReplica): void {
    const member = kernel.memberOfContainer(container);
    if (member === undefined) return;
    const since = this.#options.loop.now();
    const joined = async (): Promise<void> => {
      if (!member.joined) await this.#admit(kernel, member);
      // The one that goes has the only copy of its files: they must be here before.
      if (kernel.meta.replicas === 1)
        Object.assign(member, { readyFrom: kernel.heardIndex, ready: false });
      while (!member.ready && member.container === container) await pause(20);
      if (member.container !== container) return;
      const migrationMs = this.#options.loop.now() - since;
      this.#options.loop.post({ kind: 'replica-joined', container, migrationMs, stateReadMs: 0 });
      this.removeSurplus(kernel);
    };
    joined().catch((error) => {
      this.#options.log.error({ err: error, kernel: kernel.id }, 'a moved replica did not join');
    });
  }

  #add(kernel: LiveKernel, { host, container }: StartContainer, joined: boolean): Member {
    const id = this.#options.hosts.byNumber(host)?.id ?? '';
    return kernel.addMember(id, container, joined);
  }

  /** Has a member that is on its host go on, with a process. */
  wake(kernel: LiveKernel, member: Member, pooled: string): Promise<unknown> {
    const how = { joins: false, niced: false };
    return this.#request(kernel, member, pooled, addresses(kernel), how);
  }

  #request(
    kernel: LiveKernel,
    member: Member,
    pooled: string,
    members: readonly MemberAddress[],
    how: { joins: boolean; niced: boolean },
  ): Promise<unknown> {
    const { links, startMs } = this.#options;
    const about = { meta: kernel.meta, member: member.member, members, ...how, pooled };
    return links.request(member.host, { t: 'start-replica', ...about }, startMs);
  }

  pooledOf({ start, container }: StartContainer): string {
    return start === 'prewarmed' ? this.#options.pooledName(container) : '';
  }

  #notStarted(kernel: LiveKernel, member: Member, error: NbosError): void {
    this.#options.log.warn({ err: error, kernel: kernel.id, host: member.host }, 'no replica');
    this.failed(kernel, member, `${error.code}: ${error.message}`);
  }

  /** In the log, without a process yet. */
  recovering({ visits }: LiveKernel, { container, ready }: Member): void {
    if (container !== -1 && !ready && !visits)
      this.#options.loop.post({ kind: 'replica-recovering', container });
  }

  started({ container }: Member): void {
    if (container !== -1) this.#options.loop.post({ kind: 'container-started', container });
  }

  /** Its process is usable. */
  ready(kernel: LiveKernel, member: Member, startMs: number): void {
    if (member.ready || kernel.closing || (kernel.visits && member.container === -1)) return;
    member.ready = true;
    this.#options.onReady(kernel, member, startMs);
    if (member.joined) this.started(member);
  }

  /** Its process did not start, or will not. */
  failed(kernel: LiveKernel, member: Member, message: string): void {
    const { container } = member;
    kernel.lastFailure = message;
    member.ready = false;
    member.container = -1;
    if (member.position !== undefined) member.position.process = 'dead';
    if (kernel.closing) return;
    this.#options.onFailed(kernel);
    const isOnly = kernel.meta.replicas === 1 && !kernel.visits;
    const neverWas = isOnly && member.position === undefined;
    if (!member.joined || neverWas) this.#purge(kernel, member);
    this.#lost(kernel, container);
  }

  #lost(kernel: LiveKernel, container: number): void {
    if (container === -1) return;
    if (kernel.visits) this.#options.onVisitLost(kernel, container);
    else this.#options.loop.post({ kind: 'container-lost', container });
  }

  /** Its process is gone and its agent starts another. */
  died(kernel: LiveKernel, member: Member): void {
    member.ready = false;
    if (member.position !== undefined) member.position = { ...member.position, ...NO_PROCESS };
    this.recovering(kernel, member);
  }

  /** From this index of the log on its state is another: it is ready when it says so anew. */
  resetAt(kernel: LiveKernel, index: number): void {
    kernel.resetAt = index;
    for (const member of kernel.members.values()) {
      member.readyFrom = index;
      this.died(kernel, member);
    }
  }

  position(kernel: LiveKernel, member: Member, position: KernelPosition): void {
    member.position = { ...position };
    const { process, applied } = position;
    const isUnasked = kernel.visits && member.container === -1;
    if (isUnasked && process !== 'resting' && process !== 'dead') {
      this.#options.onUnasked(kernel, member);
      return;
    }
    if (process === 'ready' && !member.ready && applied >= member.readyFrom) {
      this.ready(kernel, member, performance.now() - member.startedAt);
    } else if (WITHOUT_PROCESS.has(process) && member.ready) this.died(kernel, member);
  }

  /** What an agent that came back says of a kernel that is known here. */
  reported(kernel: LiveKernel, host: string, report: KernelReport): void {
    const member = kernel.members.get(report.member);
    if (member === undefined || member.host !== host || kernel.closing) {
      this.discard(host, report.kernel, report.member);
      return;
    }
    if (kernel.visits && kernel.beginsEmpty) {
      this.#purge(kernel, member);
      return;
    }
    // Its log is there again.
    if (kernel.visits && member.joined && !kernel.moving) kernel.restoring = false;
    if (report.process !== 'ready') member.ready = false;
    this.position(kernel, member, report);
    if (!member.ready) this.recovering(kernel, member);
    this.removeSurplus(kernel);
  }

  /** A replica that its host does not report is gone with its log, or is to be started yet. */
  missing(kernel: LiveKernel, member: Member): void {
    const { container } = member;
    const isNew = member.position === undefined && !member.ready;
    if (isNew && performance.now() - member.startedAt < this.#options.startMs) return;
    member.ready = false;
    member.container = -1;
    member.joined = false;
    this.#lost(kernel, container);
    if (!kernel.visits) return;
    kernel.members.delete(member.member);
    kernel.restoring = !kernel.moving;
  }

  /** Core knows that the host is lost. */
  hostLost(kernel: LiveKernel, member: Member): void {
    member.ready = false;
    member.container = -1;
    if (member.position !== undefined) Object.assign(member.position, NO_PROCESS);
    if (member.joined) return;
    // It never became a voter: its group need not know it any longer.
    this.#changes.inTurn(kernel, () => this.#remove(kernel, member)).catch(() => undefined);
  }

  /** Core has no more use for it. */
  stop(kernel: LiveKernel, { container }: StopContainer): void {
    const member = kernel.memberOfContainer(container);
    if (member === undefined) return;
    member.container = -1;
    if (kernel.closing) {
      this.#purge(kernel, member);
      return;
    }
    // Core has given the whole kernel up for now: what its members hold is all there is of it.
    const { sessions } = this.#options.loop.core.state;
    if (sessions[kernel.session]?.kernel !== 'placed') return;
    this.#removeLeftOver(kernel, member);
  }

  /** What a move that nobody brings to its end has left in the group. */
  removeSurplus(kernel: LiveKernel): void {
    for (const surplus of surplusOf(kernel)) this.#removeLeftOver(kernel, surplus);
  }

  #removeLeftOver(kernel: LiveKernel, member: Member): void {
    this.#changes
      .inTurn(kernel, () => this.#remove(kernel, member))
      .catch((error) => {
        this.#options.log.error({ err: error, kernel: kernel.id }, 'a replica was not removed');
      });
  }

  async #remove(kernel: LiveKernel, member: Member): Promise<void> {
    const isLeftOver = (): boolean => member.container === -1 && kernel.members.has(member.member);
    if (await this.#changes.make(kernel, { remove: member.member }, isLeftOver))
      this.#purge(kernel, member);
  }

  /** Makes it a member of its group, in the place of one that core has forgotten. */
  async #admit(kernel: LiveKernel, member: Member): Promise<void> {
    await this.#changes.inTurn(kernel, async () => {
      const wanted = (): boolean => !isUnwanted(kernel, member) && !member.joined;
      if (!wanted()) return;
      const old = this.#isMove(kernel, member)
        ? undefined
        : [...kernel.members.values()].find((each) => each.container === -1 && each !== member);
      const change = { add: { member: member.member, host: member.host } };
      const both = old === undefined ? change : { ...change, remove: old.member };
      if (!(await this.#changes.make(kernel, both, wanted))) return;
      member.joined = true;
      if (old !== undefined) this.#purge(kernel, old);
    });
  }

  /** Ends process and member and removes its files. */
  #purge(kernel: LiveKernel, member: Member): void {
    kernel.members.delete(member.member);
    kernel.streams.forget(member.member);
    if (this.#options.hosts.isUp(member.host))
      this.discard(member.host, kernel.id, member.member, kernel.closing);
  }

  /** Out of its group without a change of members. */
  leave(kernel: LiveKernel, member: Member): void {
    this.#purge(kernel, member);
  }

  #stopReplica(kernel: LiveKernel, { host, member }: Member): Promise<unknown> {
    const request = { t: 'stop-replica' as const, kernel: kernel.id, member };
    return this.#options.links.request(host, request, this.#options.startMs);
  }

  /** A replica that nobody knows any more. */
  discard(host: string, kernel: string, member: number, closed = false): void {
    const whole = closed ? { closed } : {};
    this.#options.links
      .request(host, { t: 'stop-replica', kernel, member, ...whole }, this.#options.startMs)
      .catch((error) => this.#options.log.warn({ err: error, kernel, host }, 'not removed'));
  }
}
