import type { Logger } from 'pino';
import { jupyterOf } from '../wire/codec.ts';
import type { AgentNotice } from '../wire/messages.ts';
import type { CoreLoop } from './core-loop.ts';
import type { Delivery } from './delivery.ts';
import type { Hosts } from './hosts.ts';
import type { LiveKernel } from './kernel.ts';
import type { KernelTable } from './kernel-table.ts';
import type { Outcomes } from './outcomes.ts';
import type { Pools } from './pools.ts';
import type { Recovery } from './recovery.ts';
import type { Replicas } from './replicas.ts';
import type { Router } from './router.ts';

export interface NoticesOptions {
  loop: CoreLoop;
  table: KernelTable;
  hosts: Hosts;
  replicas: Replicas;
  outcomes: Outcomes;
  delivery: Delivery;
  router: Router;
  log: Logger;
  pools: Pools;
  recovery: Recovery;
}

type Of<T extends AgentNotice['t']> = Extract<AgentNotice, { t: T }>;

/** Gives each word of an agent to the part that it concerns. */
export class Notices {
  readonly #options: NoticesOptions;

  constructor(options: NoticesOptions) {
    this.#options = options;
  }

  take(host: string, notice: AgentNotice, frames: readonly Uint8Array[]): void {
    const { hosts, pools, outcomes } = this.#options;
    switch (notice.t) {
      case 'hello':
        return; // taken by the link
      case 'agent-beat':
        hosts.beat(host, notice.positions);
        return;
      case 'pooled-ready':
        pools.ready(host, notice.pooled);
        return;
      case 'pooled-failed':
        pools.failed(notice.pooled);
        return;
      default: {
        const kernel = this.#options.table.get(notice.kernel);
        if (kernel === undefined) {
          this.#options.recovery.keep(host, notice);
          return;
        }
        // Logs of such a kernel that are not its own any more tell of nothing that is so.
        if (kernel.visits && 'member' in notice && !kernel.members.has(notice.member)) return;
        if (notice.t === 'applied') outcomes.applied(kernel, notice);
        else if (notice.t === 'yielded') {
          outcomes.yielded(kernel, notice.cell, notice.attempt);
        } else if (notice.t === 'output' || notice.t === 'from-kernel')
          this.#message(kernel, notice, frames);
        else this.#replica(kernel, notice);
      }
    }
  }

  #message(
    kernel: LiveKernel,
    notice: Of<'output' | 'from-kernel'>,
    frames: readonly Uint8Array[],
  ): void {
    const message = jupyterOf(frames);
    if (message === undefined) return;
    const { delivery, router } = this.#options;
    if (notice.t === 'output') delivery.output(kernel, notice, message);
    else router.fromKernel(kernel, notice.member, notice.channel, message);
  }

  #replica(
    kernel: LiveKernel,
    notice: Of<
      'replica-ready' | 'replica-failed' | 'process-died' | 'lost-quorum' | 'kernel-state'
    >,
  ): void {
    const { loop, replicas, log } = this.#options;
    if (notice.t === 'kernel-state') {
      const pinned = notice.pinned.length > 0;
      if (pinned !== kernel.pinned.length > 0)
        loop.post({ kind: 'session-pinned', session: kernel.session, pinned });
      const { unreplicated, stateBytes, savedMs } = notice;
      Object.assign(kernel, { unreplicated, pinned: notice.pinned, stateBytes, savedMs });
      return;
    }
    const member = kernel.members.get(notice.member);
    if (member === undefined) return;
    switch (notice.t) {
      case 'replica-ready':
        if (member.position !== undefined) member.position.pid = notice.pid;
        replicas.ready(kernel, member, notice.startMs);
        break;
      case 'replica-failed':
        log.warn({ ...notice }, 'a replica did not start');
        replicas.failed(kernel, member, notice.message);
        break;
      case 'process-died':
        log.warn({ ...notice }, 'a kernel process died');
        replicas.died(kernel, member);
        break;
      default:
        kernel.lostQuorum = true;
    }
  }
}
