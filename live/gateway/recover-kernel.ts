import { NbosError } from '../../core/errors.ts';
import type { KernelReport } from '../wire/messages.ts';
import type { CoreLoop } from './core-loop.ts';
import type { Hosts } from './hosts.ts';
import type { LiveKernel, Member } from './kernel.ts';
import type { Agents } from './links.ts';
import type { Reconciler } from './reconcile.ts';
import type { Replicas } from './replicas.ts';

export interface RecoverKernelOptions {
  loop: CoreLoop;
  links: Agents;
  hosts: Hosts;
  replicas: Replicas;
  reconciler: Reconciler;
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
    this.#refuseUnfit(kernel, member);
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

  #refuseUnfit(kernel: LiveKernel, { host }: Member): void {
    const { hosts } = this.#options;
    if (!hosts.isUp(host))
      throw new NbosError(
        'change-refused',
        `host ${host} is not up: ${hosts.get(host)?.note ?? 'it is not known'}`,
        'Name a replica on a host that is up.',
      );
    const voters = [...kernel.members.values()].filter(({ joined }) => joined);
    const up = voters.filter((each) => hosts.isUp(each.host));
    if (up.length * 2 <= voters.length) return;
    throw new NbosError(
      'change-refused',
      `kernel ${kernel.id} has ${up.length} of its ${voters.length} replicas: nothing is lost`,
      'Recover a kernel only when most of its hosts are gone for good.',
    );
  }

  /** The others are out of the group; one that comes back has nothing to say. */
  #takePlace(kernel: LiveKernel, member: Member, as: number, report: KernelReport): Member {
    const { loop } = this.#options;
    kernel.members.clear();
    const fresh: Member = { ...member, member: as, ready: false, joined: true, readyFrom: 0 };
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
