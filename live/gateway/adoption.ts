import { submittedAtOf } from './cell-steps.ts';
import type { CoreLoop } from './core-loop.ts';
import type { Driver } from './driver.ts';
import type { Hosts } from './hosts.ts';
import type { Cell, LiveKernel, Member } from './kernel.ts';
import type { Visits } from './visits.ts';

export interface AdoptionOptions {
  loop: CoreLoop;
  hosts: Hosts;
  driver: Driver;
  visits: Visits | undefined;
}

export interface Adopted {
  member: Member;
  /** core's number */
  host: number;
}

/** Tells core of kernels and running cells that were there before it was. */
export class Adoption {
  readonly #options: AdoptionOptions;

  constructor(options: AdoptionOptions) {
    this.#options = options;
  }

  /** The members that core counts on from now on. */
  session(kernel: LiveKernel): Adopted[] {
    return kernel.visits ? this.#openVisiting(kernel) : this.#adoptReplicas(kernel);
  }

  /** Core has nothing of it between its cells: not even of one that runs, until it is told. */
  #openVisiting(kernel: LiveKernel): Adopted[] {
    const { need, gpuType, replicas } = kernel.meta;
    kernel.everReady = true;
    for (const member of kernel.members.values()) member.ready = false;
    const { session } = kernel;
    this.#options.loop.post({ kind: 'session-opened', session, need, gpuType, replicas });
    return [];
  }

  #adoptReplicas(kernel: LiveKernel): Adopted[] {
    const adopted = this.#containers(kernel);
    const lastReplica = adopted.findIndex(({ member }) => member.member === kernel.executor);
    for (const { member } of adopted) this.#options.driver.adopted(member.container, kernel);
    this.#options.loop.post({
      kind: 'session-adopted',
      session: kernel.session,
      need: kernel.meta.need,
      gpuType: kernel.meta.gpuType,
      replicas: adopted.map(({ member, host }) => ({
        container: member.container,
        host,
        state: member.ready ? ('ready' as const) : ('recovering' as const),
      })),
      replicaCount: kernel.meta.replicas,
      lastReplica,
      executed: kernel.executed,
    });
    return adopted;
  }

  /** Numbers for the containers of members whose hosts are up; those on other hosts have none. */
  #containers(kernel: LiveKernel): Adopted[] {
    const { hosts, loop } = this.#options;
    let next = loop.core.state.nextContainer;
    const up = [...kernel.members.values()].filter(({ host }) => hosts.isUp(host));
    // The executor is among them whatever the limit is now.
    up.sort((a, b) => Number(b.member === kernel.executor) - Number(a.member === kernel.executor));
    return up
      .slice(0, kernel.meta.replicas)
      .sort((a, b) => a.member - b.member)
      .map((member) => {
        member.container = next++;
        return { member, host: hosts.get(member.host)!.number };
      });
  }

  /** A cell that runs. False when no host that is up runs it. */
  run(kernel: LiveKernel, cell: Cell, adopted: readonly Adopted[]): boolean {
    const { loop } = this.#options;
    const { executor, devices, submit } = cell;
    const place = kernel.visits
      ? this.#visitOf(kernel, executor)
      : { replica: adopted.findIndex(({ member }) => member.member === executor) };
    if (place === undefined || place.replica === -1) return false;
    let bits = 0;
    for (const device of devices) bits |= 1 << device;
    loop.post({
      kind: 'execution-adopted',
      ...{ session: kernel.session, cell: cell.cell, ...place, attempt: 1, devices: bits },
      submittedAt: submittedAtOf(loop, submit),
      need: submit.need,
    });
    // Core's books have no room for it: it ends, and then so does its process.
    const member = kernel.members.get(executor);
    if (kernel.visits && member !== undefined && cell.ticket === 0) member.container = -1;
    return true;
  }

  /** The container that a running cell has for itself. */
  #visitOf(kernel: LiveKernel, executor: number) {
    const { hosts, loop, visits } = this.#options;
    const member = kernel.members.get(executor);
    const host = hosts.get(member?.host ?? '')?.number ?? -1;
    if (member === undefined || host === -1) return undefined;
    const container = loop.core.state.nextContainer;
    member.container = container;
    visits?.adopted(container, kernel);
    return { replica: 0, container, host };
  }
}
