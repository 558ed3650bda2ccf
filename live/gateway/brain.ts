import type { Logger } from 'pino';
import type { Config } from '../../core/config/options.ts';
import type { Policy } from '../../core/policies/policy.ts';
import { Core } from '../../core/scheduler.ts';
import type { AgentHello, AgentNotice } from '../wire/messages.ts';
import { Cells } from './cells.ts';
import { CoreLoop } from './core-loop.ts';
import { Delivery } from './delivery.ts';
import { Driver } from './driver.ts';
import { Hosts } from './hosts.ts';
import type { LiveKernel } from './kernel.ts';
import type { KernelSpecs } from './kernel-service.ts';
import { KernelTable } from './kernel-table.ts';
import { Kernels } from './kernels.ts';
import type { GatewayLimits } from './limits.ts';
import type { Agents } from './links.ts';
import { Notices } from './notices.ts';
import { Outcomes } from './outcomes.ts';
import { Pools } from './pools.ts';
import { Proposals } from './proposals.ts';
import { Drains } from './provision/drains.ts';
import type { KnownHosts, Provisioner } from './provision/provisioner.ts';
import { Provisioning } from './provision/provisioning.ts';
import { Reconciler } from './reconcile.ts';
import { RecoverKernel } from './recover-kernel.ts';
import { Recovery } from './recovery.ts';
import { Replicas, type ReplicasOptions } from './replicas.ts';
import { Restorer } from './restore-kernel.ts';
import { Router } from './router.ts';
import { SavedFirst } from './saved-first.ts';
import { Visits } from './visits.ts';
import { WaitNotices } from './wait-notices.ts';
import { WithoutProcess } from './without-process.ts';

export interface BrainOptions {
  policy: Policy;
  config: Config;
  links: Agents;
  log: Logger;
  limits: GatewayLimits;
  /** how hosts come and go; undefined where they are as many as they are */
  provisioner?: ((hosts: KnownHosts) => Provisioner) | undefined;
  /** ids of the hosts that belong to the system, in order */
  hosts: readonly string[];
  specs: () => Promise<KernelSpecs>;
  workspace: string;
  defaultGpus: number;
  clock: () => number;
}

/**
 * Everything between the links to agents and the Jupyter API, without a socket or a file of its
 * own: the parts, joined. `start` begins; hellos and notices of agents come in through `hello` and
 * `notice`, clients through `kernels`.
 */
export class Brain {
  readonly loop: CoreLoop;
  readonly table = new KernelTable();
  readonly hosts: Hosts;
  readonly drains: Drains;
  readonly provisioning: Provisioning;
  readonly kernels: Kernels;
  readonly recovery: Recovery;
  readonly recover: RecoverKernel;
  readonly delivery: Delivery;
  readonly waiting: WaitNotices;
  readonly config: Config;
  /** a kernel has a number, or another name, from now on */
  onNamed: (kernel: LiveKernel) => void = () => undefined;
  draining = false;
  moveEveryCell = false;
  readonly #notices: Notices;
  readonly #visits: Visits | undefined;

  constructor(options: BrainOptions) {
    const { links, log, limits, config, specs } = options;
    const onNamed = (kernel: LiveKernel): void => this.onNamed(kernel);
    this.config = config;
    const { table } = this;
    const core = Core.create(config, options.policy);
    const loop = new CoreLoop({ core, clock: options.clock, log });
    this.loop = loop;
    const hosts = new Hosts({
      ...{ loop, links, log },
      expected: options.hosts,
      leaseMs: limits.hostLeaseMs,
      beatMs: limits.beatMs,
      monotone: () => performance.now(),
    });
    this.hosts = hosts;
    this.drains = new Drains(loop, hosts);
    this.provisioning = this.#forHosts(options);
    const pools = new Pools({ loop, hosts, links, specs, log, startMs: limits.startMs });
    const { cells, outcomes, router, delivery, waiting, proposals, savedFirst } =
      this.#forCells(options);
    this.delivery = delivery;
    this.waiting = waiting;
    const parts = { loop, links, log, table, hosts, pools, outcomes, delivery, router };
    const isUp = (host: string): boolean => hosts.isUp(host);
    const reconciler = new Reconciler({ ...parts, isUp });
    const { startMs, restoreMs } = limits;
    const restorer = new Restorer({ ...parts, reconciler, isUp, restoreMs });
    const { changeMs } = limits;
    const replicas = this.#forReplicas({ ...parts, restorer, startMs, changeMs }, pools, router);
    const kernelOf = (session: number): LiveKernel | undefined => table.bySession(session);
    const all = { ...parts, replicas, restorer, proposals, savedFirst, kernelOf, startMs };
    const visits = options.policy.container === 'session' ? undefined : new Visits(all);
    this.#visits = visits;
    const driver = new Driver({ ...all, visits, provisioning: this.provisioning });
    loop.perform = (effects) => driver.perform(effects);
    this.recover = new RecoverKernel({
      ...{ ...parts, replicas, reconciler, restorer, startMs, onNamed },
      isVisiting: visits !== undefined,
      recovery: () => this.recovery,
    });
    outcomes.look = (kernel) => reconciler.look(kernel);
    this.recovery = new Recovery({
      ...{ ...parts, replicas, driver, visits, reconciler, onNamed },
      expected: options.hosts,
      waitMs: limits.recoveryMs,
      majorityMs: limits.majorityMs,
    });
    this.kernels = new Kernels({
      ...{ ...parts, cells, proposals, visits, specs, isUp, onNamed },
      recovered: this.recovery.done,
      isDraining: () => this.draining,
      workspace: options.workspace,
      defaultGpus: options.defaultGpus,
      replicas: config.replicas,
      isPooled: config.prewarmPool !== 'none',
      startMs: limits.startMs,
      hostsMs: limits.hostsMs,
      kernelsPerUser: limits.kernelsPerUser,
    });
    this.#notices = new Notices({ ...parts, replicas, recovery: this.recovery });
    this.recovery.onNotice = (host, notice) => this.#notices.take(host, notice, []);
    this.#wire(outcomes, cells, replicas);
  }

  #forReplicas(
    parts: Omit<ReplicasOptions, 'pooledName' | `on${string}`>,
    pools: Pools,
    router: Router,
  ): Replicas {
    return new Replicas({
      ...parts,
      pooledName: (container) => pools.take(container),
      onReady: (kernel, member) => {
        router.ready(kernel, member);
        this.kernels.ready(kernel);
        this.#visits?.ready(kernel, member);
      },
      onFailed: (kernel) => this.kernels.failed(kernel),
      onVisitLost: (kernel, container) => this.#visits?.lost(kernel, container),
      onUnasked: (kernel, member) => this.#visits?.unasked(kernel, member),
    });
  }

  /** How hosts come and go. */
  #forHosts({ provisioner, log, limits }: BrainOptions): Provisioning {
    const { loop, hosts, table, drains } = this;
    const { recoveryMs, provisionMs, releaseMs, backoffMs } = limits;
    return new Provisioning({
      ...{ loop, hosts, table, drains, log, provisioner },
      most: this.config.hosts,
      recovered: () => this.recovery.done,
      // Agents need a moment to find the gateway, and others to be waited for after the first.
      ...{ recoveryMs: 2 * recoveryMs, provisionMs, releaseMs, backoffMs },
    });
  }

  /** What a cell goes through, from its request to its reply. */
  #forCells({ links, log, limits }: BrainOptions) {
    const { loop, hosts, table } = this;
    const isUp = (host: string): boolean => hosts.isUp(host);
    const proposals = new Proposals({ links, isUp, log, timeoutMs: limits.proposeMs });
    const delivery = new Delivery({ links, isUp, log, outputWaitMs: limits.outputWaitMs });
    const waiting = new WaitNotices(loop.core, delivery, limits.waitNoticeMs);
    const parts = { loop, links, proposals, delivery, log };
    const { saveMs, restoreMs: wholeMs } = limits;
    const savedFirst = new SavedFirst({ links, delivery, log, saveMs, wholeMs });
    const outcomes = new Outcomes({
      ...{ ...parts, isUp, savedFirst },
      notices: waiting,
      kernelOf: (session) => table.bySession(session),
    });
    const cells = new Cells({
      ...{ ...parts, outcomes, notices: waiting },
      queueLimit: limits.kernelQueue,
      isDraining: () => this.draining,
      moveEveryCell: () => this.moveEveryCell,
    });
    const router = new Router({
      ...{ ...parts, cells, withoutProcess: new WithoutProcess(delivery) },
      onShutdown: async (kernel, restart) => {
        if (restart) await this.kernels.restart(kernel.id);
        else await this.kernels.remove(kernel.id);
      },
      onInterrupt: (kernel) => cells.interruptWaiting(kernel),
    });
    return { cells, outcomes, router, delivery, waiting, proposals, savedFirst };
  }

  #wire(outcomes: Outcomes, cells: Cells, replicas: Replicas): void {
    outcomes.stopQueue = (kernel) => {
      const text = 'a cell before it failed';
      cells.withdraw(kernel, kernel.waiting(), () => 'stop-on-error', text);
    };
    outcomes.onReset = (kernel, index) => replicas.resetAt(kernel, index);
    this.hosts.events = {
      reported: (host, hello) => this.recovery.reported(host, hello),
      positions: (host, positions) => {
        for (const position of positions) {
          const kernel = this.table.get(position.kernel);
          const member = kernel?.members.get(position.member);
          if (kernel !== undefined && member?.host === host.id)
            replicas.position(kernel, member, position);
          else if (kernel?.visits === true && member === undefined)
            this.#visits?.stranger(host.id, kernel, position.member);
        }
      },
      idle: (host, hello) => {
        this.provisioning.idle(host);
        if (host.number === -1) this.recovery.idle(host, hello);
      },
      lost: (host) => {
        for (const kernel of this.table) {
          for (const member of [...kernel.members.values()]) {
            if (member.host !== host.id) continue;
            if (kernel.visits) this.#visits?.hostLost(kernel, member);
            else replicas.hostLost(kernel, member);
            this.delivery.hostLost(kernel, member.member);
          }
        }
      },
    };
  }

  start(): void {
    this.loop.post({ kind: 'cluster-started' });
    this.hosts.start();
  }

  hello(hello: AgentHello): void {
    this.hosts.hello(hello);
  }

  notice(host: string, notice: AgentNotice, frames: readonly Uint8Array[]): void {
    this.#notices.take(host, notice, frames);
  }

  gone(host: string): void {
    this.hosts.gone(host);
  }

  close(): void {
    this.hosts.close();
    this.drains.close();
    this.provisioning.close();
    this.recovery.close();
    this.delivery.close();
    this.waiting.close();
    this.loop.close();
    // What proposes or waits for agents in the background ends by itself.
    for (const kernel of this.table) kernel.closing = true;
    this.kernels.close();
  }
}
