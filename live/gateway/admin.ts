import { NbosError } from '../../core/errors.ts';
import { whyNotMoved } from '../../core/moves.ts';
import type { JournalLine } from '../../core/record/journal.ts';
import type {
  CellRecord,
  FaultRequest,
  HostSight,
  HostStatus,
  KernelStatus,
  MigrateAnswer,
  MigrateRequest,
  RecoverAnswer,
  RecoverRequest,
  ReplicaStatus,
  SystemStatus,
} from '../admin-types.ts';
import type { AgentFault, WorkspaceSight } from '../wire/messages.ts';
import type { AdminService, DrainAnswer, Health } from './admin-service.ts';
import type { Brain } from './brain.ts';
import { isFailure, sourceOf } from './cell-request.ts';
import { hostStatus } from './host-status.ts';
import type { LiveHost } from './hosts.ts';
import type { Cell, LiveKernel, Member } from './kernel.ts';
import type { User } from './kernel-service.ts';
import type { Agents } from './links.ts';
import { storeOf } from './store-standing.ts';

export interface AdminOptions {
  brain: Brain;
  links: Agents;
  policyName: string;
  version: string;
  url: () => string;
  drainMs: number;
  journal: () => AsyncIterable<JournalLine>;
}

const MOVE_MS = 120_000;
const LOOK_MS = 50;
const SIGHT_MS = 10_000;
const SHORT_ID = 8;

/** What operators see and do. */
export class Admin implements AdminService {
  readonly #options: AdminOptions;
  readonly #startedAt = new Date().toISOString();

  constructor(options: AdminOptions) {
    this.#options = options;
  }

  health(): Health {
    const { recovery, draining } = this.#options.brain;
    const ready = recovery.isDone;
    if (draining) return { ready, draining, reason: 'the gateway is shutting down' };
    return { ready, draining, reason: ready ? '' : 'kernels are still being reported by hosts' };
  }

  status(user: User): SystemStatus {
    const { brain, policyName, version, url } = this.#options;
    const kernels = [...brain.table].filter(({ meta }) => user.admin || meta.userId === user.id);
    return {
      gateway: {
        pid: process.pid,
        url: url(),
        version,
        policy: policyName,
        startedAt: this.#startedAt,
      },
      hosts: brain.hosts.all().map((host) => hostStatus(brain, host)),
      kernels: kernels.map((kernel) => this.#kernel(kernel)),
    };
  }

  #kernel(kernel: LiveKernel): KernelStatus {
    const { meta, state, unreplicated, pinned, stateBytes, savedMs } = kernel;
    const executor = kernel.members.get(kernel.executor);
    return {
      id: kernel.id,
      user: meta.userId,
      spec: meta.spec,
      path: meta.path,
      state: kernel.lostQuorum ? 'lost-quorum' : state,
      executor: executor === undefined ? '' : replicaId(kernel, executor),
      replicas: [...kernel.members.values()].map((member) => this.#replica(kernel, member)),
      unreplicated: [...unreplicated],
      pinned: [...pinned],
      stateBytes,
      savedMs,
      ...storeOf(kernel),
      queue: [...kernel.cells.values()].map((cell, at) => this.#queued(kernel, cell, at)),
    };
  }

  #replica(kernel: LiveKernel, member: Member): ReplicaStatus {
    const { position, ready, host } = member;
    const up = this.#options.brain.hosts.isUp(host);
    const known = position?.process ?? 'starting';
    // Usable is what the agent has told; its process is named with the next beat.
    const process = ready && position !== undefined && position.pid > 0 ? 'ready' : known;
    return {
      id: replicaId(kernel, member),
      host,
      pid: up ? (position?.pid ?? 0) : 0,
      role: up ? (position?.role ?? 'follower') : 'gone',
      applied: position?.applied ?? 0,
      process: up ? process : 'dead',
    };
  }

  #queued(kernel: LiveKernel, cell: Cell, at: number): KernelStatus['queue'][number] {
    const sinceMs = Math.round(performance.now() - cell.arrivedAt);
    const running = cell.state !== 'waiting';
    let reason = '';
    if (!running) {
      const isFirst = at === 0 && kernel.running === undefined;
      reason = isFirst ? this.#options.brain.waiting.reasonOf(kernel) : 'behind another cell';
    }
    return { cell: cell.cell, state: running ? 'running' : 'waiting', reason, sinceMs };
  }

  #known(id: string): LiveKernel {
    const kernel = this.#options.brain.table.get(id);
    if (kernel !== undefined) return kernel;
    throw new NbosError(
      'request-invalid',
      `no kernel is called ${id}`,
      '`nbos kernels` lists them.',
    );
  }

  #member(kernel: LiveKernel, id: string): Member {
    const number = Number(id.slice(id.lastIndexOf('/') + 1));
    const member = kernel.members.get(number);
    if (member !== undefined) return member;
    const known = [...kernel.members.values()].map((each) => replicaId(kernel, each)).join(', ');
    throw new NbosError('request-invalid', `the kernel has no replica ${id}`, `It has ${known}.`);
  }

  async migrate(id: string, { replica, to }: MigrateRequest): Promise<MigrateAnswer> {
    const { brain } = this.#options;
    const kernel = this.#known(id);
    const { state } = brain.loop.core;
    const session = state.sessions[kernel.session]!;
    const target = to === undefined ? -1 : this.#hostNumber(to);
    const chosen = replica === undefined ? undefined : this.#member(kernel, replica).container;
    const indexes = session.replicas.flatMap(({ container }, index) =>
      chosen === undefined || chosen === container ? [index] : [],
    );
    // The executor moves only when no other does, or when it was named.
    indexes.sort((a, b) => Number(a === session.lastReplica) - Number(b === session.lastReplica));
    const reasons = indexes.map((index) => whyNotMoved(state, session, index, target));
    const at = reasons.indexOf('');
    if (at === -1) {
      const why = reasons[0] ?? 'core does not count on this replica';
      throw new NbosError('migrate-refused', `kernel ${id}: ${why}`);
    }
    const index = indexes[at]!;
    const from = kernel.memberOfContainer(session.replicas[index]!.container)!;
    const move = { session: kernel.session, replica: index, host: target };
    brain.loop.post({ kind: 'move-requested', ...move });
    return this.#moved(kernel, from, index);
  }

  #knownHost(id: string): LiveHost {
    const host = this.#options.brain.hosts.get(id);
    if (host !== undefined) return host;
    throw new NbosError('request-invalid', `no host is called ${id}`, '`nbos hosts` lists them.');
  }

  drainHost(id: string): HostStatus {
    const { brain } = this.#options;
    const host = this.#knownHost(id);
    brain.drains.begin(host);
    return hostStatus(brain, host);
  }

  enableHost(id: string): HostStatus {
    const { brain } = this.#options;
    const host = this.#knownHost(id);
    brain.drains.end(host);
    brain.provisioning.enable(host);
    return hostStatus(brain, host);
  }

  #hostNumber(id: string): number {
    const host = this.#knownHost(id);
    if (host.number !== -1) return host.number;
    throw new NbosError('migrate-refused', `host ${id} is not up: ${host.note}`);
  }

  async #moved(kernel: LiveKernel, from: Member, index: number): Promise<MigrateAnswer> {
    const session = this.#options.brain.loop.core.state.sessions[kernel.session]!;
    const until = performance.now() + MOVE_MS;
    while (session.migrations.some(({ replica }) => replica === index)) {
      if (performance.now() > until || kernel.closing)
        throw new NbosError('migrate-refused', `the move did not end within ${MOVE_MS / 1000} s`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    const now = kernel.memberOfContainer(session.replicas[index]?.container ?? -1);
    if (now === undefined || now === from)
      throw new NbosError('migrate-refused', `the replica could not start: ${kernel.lastFailure}`);
    const replica = replicaId(kernel, now);
    return { kernel: kernel.id, replica, from: from.host, to: now.host };
  }

  async recover(id: string, { from }: RecoverRequest): Promise<RecoverAnswer> {
    const { brain } = this.#options;
    const known = brain.table.get(id);
    if (from === FROM_STORE && known === undefined) {
      const { kernel, member } = await brain.recover.unknown(id);
      return recovered(kernel, member);
    }
    const kernel = known ?? this.#known(id);
    const member =
      from === FROM_STORE
        ? await brain.recover.fromStore(kernel)
        : await brain.recover.from(kernel, this.#member(kernel, from));
    return recovered(kernel, member);
  }

  async fault(request: FaultRequest): Promise<void> {
    const { brain } = this.#options;
    switch (request.fault) {
      case 'move-every-cell':
        brain.moveEveryCell = request.on;
        return;
      case 'fail-next':
      case 'kill-replica': {
        const kernel = this.#known(request.kernel);
        const named = request.fault === 'kill-replica' ? request.replica : undefined;
        const member = named === undefined ? kernel.front() : this.#member(kernel, named);
        if (member === undefined)
          throw new NbosError('request-invalid', `no replica of ${kernel.id} runs`);
        const { id } = kernel;
        const fault: AgentFault =
          request.fault === 'fail-next'
            ? { kind: 'fail-next', kernel: id }
            : { kind: 'kill-replica', kernel: id, member: member.member };
        await this.#ask(member.host, fault);
        return;
      }
      case 'yield-next': {
        const kernel = this.#known(request.kernel);
        const { times = 1 } = request;
        const hosts = new Set([...kernel.members.values()].map(({ host }) => host));
        for (const host of hosts)
          if (brain.hosts.isUp(host))
            await this.#ask(host, { kind: 'yield-next', kernel: kernel.id, times });
        return;
      }
      case 'disconnect-host':
        await this.#ask(request.host, { kind: 'disconnect', forMs: request.forMs ?? FAULT_MS });
        return;
      case 'slow-host': {
        const { delayMs, forMs = FAULT_MS } = request;
        await this.#ask(request.host, { kind: 'slow', delayMs, forMs });
        return;
      }
      case 'disk-full':
        await this.#ask(request.host, { kind: 'disk-full', forMs: request.forMs ?? FAULT_MS });
    }
  }

  async #ask(host: string, fault: AgentFault): Promise<void> {
    this.#knownHost(host);
    await this.#options.links.request(host, { t: 'fault', fault });
  }

  cellsOf(id: string): readonly CellRecord[] {
    const kernel = this.#known(id);
    const decided = [...kernel.decided.values()].map(({ cell, entry }) => {
      const failed = entry.type === 'end' && isFailure(entry.reply.content);
      return record(cell, entry.type === 'abort' ? 'aborted' : failed ? 'error' : 'ok');
    });
    const open = [...kernel.cells.values()].map((cell) =>
      record(cell, cell.state === 'waiting' ? 'waiting' : 'running'),
    );
    return [...decided, ...open].sort((a, b) => a.cell - b.cell);
  }

  async drain(): Promise<DrainAnswer> {
    const { brain, drainMs } = this.#options;
    brain.draining = true;
    const until = performance.now() + drainMs;
    const running = (): number =>
      [...brain.table].filter((kernel) => kernel.running !== undefined).length;
    while (running() > 0 && performance.now() < until)
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    return { running: running() };
  }

  workspaceSights(mark: string): Promise<HostSight[]> {
    const { brain, links } = this.#options;
    const up = brain.hosts.all().filter(({ id }) => brain.hosts.isUp(id));
    const looks = up.map(async ({ id: host }): Promise<HostSight> => {
      try {
        const answer = await links.request(host, { t: 'see-workspace', mark }, SIGHT_MS);
        return { host, sees: (answer as WorkspaceSight).sees };
      } catch {
        return { host, sees: 'unknown' };
      }
    });
    return Promise.all(looks);
  }

  journal(): AsyncIterable<JournalLine> {
    return this.#options.journal();
  }
}

const FAULT_MS = 10_000;
const FROM_STORE = 'store';

/** Without a member: its next cell is what brings it back. */
function recovered(kernel: LiveKernel, member: Member | undefined): RecoverAnswer {
  if (member === undefined) return { kernel: kernel.id, replica: '', host: '' };
  return { kernel: kernel.id, replica: replicaId(kernel, member), host: member.host };
}

export function replicaId(kernel: LiveKernel, { member }: Member): string {
  return `${kernel.id.slice(0, SHORT_ID)}/${member}`;
}

function record(cell: Cell, state: CellRecord['state']): CellRecord {
  const { submit, count } = cell;
  return { cell: cell.cell, msgId: submit.msgId, count, state, ...sourceOf(submit) };
}
