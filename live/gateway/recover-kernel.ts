import { NbosError } from '../../core/errors.ts';
import type { KernelReport, StoredKernel } from '../wire/messages.ts';
import type { CoreLoop } from './core-loop.ts';
import type { Hosts } from './hosts.ts';
import type { LiveKernel, Member } from './kernel.ts';
import type { KernelTable } from './kernel-table.ts';
import type { Agents } from './links.ts';
import type { Reconciler } from './reconcile.ts';
import type { Recovery } from './recovery.ts';
import type { Replicas } from './replicas.ts';
import { kernelOf } from './reports.ts';
import { notBegun, type Restorer } from './restore-kernel.ts';

export interface RecoverKernelOptions {
  loop: CoreLoop;
  links: Agents;
  hosts: Hosts;
  replicas: Replicas;
  reconciler: Reconciler;
  restorer: Restorer;
  table: KernelTable;
  recovery: () => Recovery;
  onNamed: (kernel: LiveKernel) => void;
  /** kernels have a process for their cells only */
  isVisiting: boolean;
  /** ms that the replica may take */
  startMs: number;
}

/**
 * A kernel that has lost the majority of its log goes on from the one replica that an operator
 * names. What only the others knew is lost: this is never done by itself.
 */
export class RecoverKernel {
  readonly #options: RecoverKernelOptions;

  constructor(options: RecoverKernelOptions) {
    this.#options = options;
  }

  /** The member that there is from now on. Rejects `change-refused`, or what the host says. */
  async from(kernel: LiveKernel, member: Member): Promise<Member> {
    const { links, loop, replicas, startMs } = this.#options;
    this.#refuseDown(member);
    this.#refuseWhole(kernel, (each) => this.#options.hosts.isUp(each.host));
    const { host } = member;
    const as = kernel.nextMember++;
    const named = { kernel: kernel.id, member: member.member, as };
    const others = [...kernel.members.values()].filter((each) => each !== member);
    const containers = others.map(({ container }) => container);
    // Nobody asks for them in the group from now on: not even the new one.
    for (const other of others) other.container = -1;
    // Should its host report before we are done, it must not be taken for a stranger.
    kernel.members.set(as, { ...member, member: as, container: -1, ready: false, joined: false });
    try {
      await links.request(host, { t: 'recover-replica', ...named }, startMs);
    } catch (error) {
      others.forEach((other, at) => {
        other.container = containers[at]!;
      });
      throw error;
    }
    for (const other of others) replicas.leave(kernel, other);
    const reports = (await links.request(host, { t: 'report' }, startMs)) as KernelReport[];
    const report = reports.find((each) => each.kernel === kernel.id && each.member === as);
    if (report === undefined)
      throw new NbosError('kernel-failed', `host ${host} has lost kernel ${kernel.id} again`);
    const fresh = this.#takePlace(kernel, member, as, report);
    for (const container of containers)
      if (container !== -1) loop.post({ kind: 'container-lost', container });
    replicas.startHeld(kernel);
    this.#options.reconciler.take(kernel, report);
    return fresh;
  }

  /**
   * The kernel goes on with what the store has of it, on a host where it was to be, else where core
   * places it next. What other members have is given up once that is done. Resolves with the member
   * that there is from now on, or nothing when its next cell is what brings it back.
   */
  async fromStore(kernel: LiveKernel): Promise<Member | undefined> {
    const { loop, replicas, restorer, hosts } = this.#options;
    this.#refuseWhole(kernel, await this.#reportedOf(kernel));
    const others = [...kernel.members.values()];
    const place = others.find(({ container, host }) => container !== -1 && hosts.isUp(host));
    if (place === undefined) {
      await this.#storedOf(kernel.id);
      kernel.restoring = true;
      for (const other of others) replicas.leave(kernel, other);
      const isPlaced = loop.core.state.sessions[kernel.session]?.kernel === 'placed';
      return isPlaced ? this.#next(kernel) : undefined;
    }
    const containers = others.map(({ container }) => container);
    for (const other of others) other.container = -1;
    const member = kernel.addMember(place.host, containers[others.indexOf(place)]!, false);
    try {
      await restorer.begin(kernel, member, '');
    } catch (error) {
      kernel.restoring = false;
      kernel.members.delete(member.member);
      others.forEach((other, at) => {
        other.container = containers[at]!;
      });
      throw error;
    }
    for (const other of others) replicas.leave(kernel, other);
    member.joined = true;
    replicas.recovering(kernel, member);
    for (const container of containers)
      if (container !== -1 && container !== member.container)
        loop.post({ kind: 'container-lost', container });
    replicas.startHeld(kernel);
    return member;
  }

  /** As `fromStore`, of a kernel that no host has told this gateway of. */
  async unknown(id: string): Promise<{ kernel: LiveKernel; member: Member | undefined }> {
    const { table, loop, recovery, onNamed } = this.#options;
    await recovery().done;
    if (recovery().isAwaited(id))
      throw new NbosError(
        'change-refused',
        `a host has a log of kernel ${id}, and others are waited for`,
        'Try again in a few seconds.',
      );
    const stored = await this.#storedOf(id);
    if (table.wasRemoved(id) || table.get(id) !== undefined)
      throw new NbosError('change-refused', `kernel ${id} was shut down, or is known by now`);
    // No host has anything of it: it is of the kind that there is here from now on.
    const { visits: _, ...meta } = stored.meta;
    const own = this.#options.isVisiting ? { replicas: 1, visits: true as const } : {};
    const session = table.newSession();
    const kernel = kernelOf({ ...stored, meta: { ...meta, ...own, session } });
    kernel.restoring = true;
    table.add(kernel);
    onNamed(kernel);
    const { need, gpuType, replicas } = kernel.meta;
    kernel.everReady = kernel.visits;
    loop.post({ kind: 'session-opened', session, need, gpuType, replicas });
    return { kernel, member: kernel.visits ? undefined : await this.#next(kernel) };
  }

  /** Rejects `change-refused` when the store has nothing, or what the store says. */
  async #storedOf(id: string): Promise<StoredKernel> {
    const { hosts, links, startMs } = this.#options;
    const host = hosts.all().find((each) => hosts.isUp(each.id));
    if (host === undefined)
      throw new NbosError('change-refused', 'no host is up that could ask the store', 'Start one.');
    const asked = links.request(host.id, { t: 'stored-kernel', kernel: id }, startMs);
    const stored = (await asked) as StoredKernel | undefined;
    if (stored !== undefined) return stored;
    throw new NbosError(
      'change-refused',
      `there is nothing of kernel ${id} in a store`,
      'See that agents run with the --store that they had before.',
    );
  }

  async #next(kernel: LiveKernel): Promise<Member> {
    let late: NodeJS.Timeout | undefined;
    const limit = new Promise<never>((_, reject) => {
      late = setTimeout(() => reject(notBegun(kernel)), this.#options.startMs);
    });
    return Promise.race([this.#options.restorer.next(kernel), limit]).finally(() =>
      clearTimeout(late),
    );
  }

  #refuseDown({ host }: Member): void {
    const { hosts } = this.#options;
    if (hosts.isUp(host)) return;
    throw new NbosError(
      'change-refused',
      `host ${host} is not up: ${hosts.get(host)?.note ?? 'it is not known'}`,
      'Name a replica on a host that is up.',
    );
  }

  #refuseWhole(kernel: LiveKernel, isThere: (member: Member) => boolean): void {
    const voters = [...kernel.members.values()].filter(({ joined }) => joined);
    const there = voters.filter(isThere);
    if (there.length * 2 <= voters.length) return;
    throw new NbosError(
      'change-refused',
      `kernel ${kernel.id} has ${there.length} of its ${voters.length} replicas: nothing is lost`,
      'Recover a kernel only when most of its hosts are gone for good.',
    );
  }

  /** Members that hosts have a log of: one may have come back without its disk. */
  async #reportedOf(kernel: LiveKernel): Promise<(member: Member) => boolean> {
    const { hosts, links, startMs } = this.#options;
    const found = new Set<number>();
    const asked = [...kernel.members.values()].filter(({ host }) => hosts.isUp(host));
    await Promise.all(
      asked.map(async ({ host }) => {
        const reports = (await links.request(host, { t: 'report' }, startMs)) as KernelReport[];
        for (const { kernel: id, member } of reports) if (id === kernel.id) found.add(member);
      }),
    );
    return ({ member }) => found.has(member);
  }

  /** The others are out of the group; one that comes back has nothing to say. */
  #takePlace(kernel: LiveKernel, member: Member, as: number, report: KernelReport): Member {
    const { loop } = this.#options;
    kernel.members.clear();
    const anew = { ready: false, joined: true, leaving: false, readyFrom: 0 };
    const fresh: Member = { ...member, member: as, ...anew };
    fresh.position = { ...report };
    kernel.members.set(as, fresh);
    kernel.executor = report.executor;
    kernel.count = report.count;
    kernel.nextCell = Math.max(kernel.nextCell, report.nextCell);
    kernel.appliedIndex = Math.max(kernel.appliedIndex, report.applied);
    kernel.heardIndex = Math.max(kernel.heardIndex, report.applied);
    kernel.lostQuorum = false;
    kernel.minority = undefined;
    if (fresh.container !== -1)
      loop.post({ kind: 'replica-recovering', container: fresh.container });
    return fresh;
  }
}
