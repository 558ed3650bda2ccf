import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { NbosError } from '../../../core/errors.ts';
import type { Message } from '../../../core/raft/index.ts';
import { startAgent } from '../../../live/agent/agent.ts';
import type {
  Agent,
  AgentLimits,
  AgentOptions,
  FreshReplica,
  ReplicaParts,
} from '../../../live/agent/agent-options.ts';
import type { KernelRuntime, RuntimeFactory } from '../../../live/agent/kernel/runtime.ts';
import type { Replica } from '../../../live/agent/ports.ts';
import type { KernelMeta, LogEntry } from '../../../live/log/entries.ts';
import { AgentLinks } from '../../../live/wire/agent-links.ts';
import { AllowList, allow, keyPair } from '../../../live/wire/keys.ts';
import type {
  AgentFault,
  AgentHello,
  AgentNotice,
  KernelReport,
} from '../../../live/wire/messages.ts';

const log = pino({ level: process.env['NBOS_LOG'] ?? 'silent' });

export function metaOf(kernel: string): KernelMeta {
  return {
    kernel,
    spec: 'python3',
    language: 'python',
    argv: ['python3'],
    userId: 'u',
    path: '',
    name: '',
    sessionType: 'notebook',
    jupyterSession: '',
    env: {},
    cwd: '/',
    need: { cpuMillis: 0, memoryMb: 0, gpuMillis: 0, vramMb: 0 },
    gpuType: '',
    replicas: 1,
    hashSeed: 0,
    stateKey: '',
    createdAt: 0,
    session: 0,
  };
}

/** A replica that writes down what it is told, and keeps its member in the store. */
export class PaperReplica implements Replica {
  readonly kernel: string;
  readonly member: number;
  readonly parts: ReplicaParts;
  readonly said: string[] = [];
  readonly runtime: KernelRuntime;
  ticks = 0;

  constructor(parts: ReplicaParts, member: number, meta: KernelMeta) {
    this.parts = parts;
    this.kernel = parts.kernel;
    this.member = member;
    this.runtime = parts.makeRuntime(meta, parts.niced, true);
  }

  static async open(parts: ReplicaParts, fresh: FreshReplica | undefined): Promise<PaperReplica> {
    if (fresh === undefined) {
      const { identity } = (await parts.store.load(parts.kernel))!;
      const { member, meta } = JSON.parse(identity);
      return new PaperReplica(parts, member, meta);
    }
    const { member, meta } = fresh;
    await parts.store.create(parts.kernel, {
      identity: JSON.stringify({ member, meta }),
      hardState: { term: 0, vote: 0, commit: 0 },
      snapshot: undefined,
      entries: [],
    });
    return new PaperReplica(parts, member, meta);
  }

  step(messages: readonly Message[]): void {
    for (const { type } of messages) this.said.push(`step ${type}`);
  }
  tick(): void {
    this.ticks++;
  }
  hostGone(host: string): void {
    this.said.push(`gone ${host}`);
  }
  async propose(entries: readonly LogEntry[]): Promise<void> {
    this.said.push(`propose ${entries.map(({ type }) => type).join()}`);
    if (entries[0]?.type === 'reset')
      await this.parts.store.write(this.kernel, {
        hardState: { term: 2, vote: 1, commit: 0 },
        mustSync: true,
      });
    if (entries.length === 0)
      throw new NbosError('replica-stopped', 'nothing to propose', 'Say something.');
  }
  async proposeHere(): Promise<{ ok: boolean; code: string; leader: string }> {
    return { ok: true, code: '', leader: '' };
  }
  async changeMembers(add: { member: number } | undefined, remove?: number): Promise<void> {
    this.said.push(`change +${add?.member} -${remove}`);
  }
  toKernel(channel: string, message: { content: Uint8Array }): void {
    this.said.push(`${channel} ${Buffer.from(message.content)}`);
  }
  async interrupt(): Promise<void> {
    this.said.push('interrupt');
  }
  resendOutputs(from: number): void {
    this.said.push(`resend ${from}`);
  }
  outputsSeen(upTo: number): void {
    this.said.push(`seen ${upTo}`);
  }
  wake(): void {
    this.said.push('wake');
  }
  async rest(): Promise<void> {
    this.said.push('rest');
  }
  async save(): Promise<void> {
    this.said.push('save');
  }
  report(): KernelReport {
    const outputs = { first: 0, next: 0, seen: -1 };
    return { ...this.position(), meta: metaOf(this.kernel), outputs } as never;
  }
  position() {
    const { kernel, member } = this;
    return { kernel, member, role: 'leader', applied: 1, process: 'ready', pid: 7 } as const;
  }
  fault(fault: AgentFault): void {
    this.said.push(fault.kind);
  }
  async stop(how: 'leave' | 'purge'): Promise<void> {
    this.said.push(how);
  }
}

/** Processes that are not there. */
export class PaperRuntimes implements RuntimeFactory {
  readonly made: string[] = [];
  /** asked for ahead of a kernel */
  readonly ahead: string[] = [];
  leftovers: number[] = [];
  #held = Promise.resolve();

  make(options: { directory: string }, pooled?: { pooled: string }): KernelRuntime {
    this.made.push(`${options.directory.split('/').slice(-2).join('/')} ${pooled?.pooled ?? ''}`);
    return {} as KernelRuntime;
  }
  /** Nothing is started ahead until what it returns is called. */
  holdPooled(): () => void {
    let go = (): void => undefined;
    this.#held = new Promise((resolve) => {
      go = resolve;
    });
    return go;
  }

  async startPooled({ pooled, argv }: { pooled: string; argv: readonly string[] }) {
    this.ahead.push(pooled);
    await this.#held;
    if (argv.length === 0) throw new NbosError('kernel-failed', 'no command');
    return { pooled, pid: 1, onDeath: () => undefined, stop: () => Promise.resolve() };
  }
  async endLeftovers(): Promise<readonly number[]> {
    return this.leftovers;
  }
}

export interface PaperHost {
  agent: Agent;
  replicas: Map<string, PaperReplica>;
  runtimes: PaperRuntimes;
}

/** A gateway that writes down what it hears, and agents of paper replicas in one folder. */
export class PaperSystem {
  readonly folder: string;
  readonly hellos: AgentHello[] = [];
  readonly notices: { host: string; notice: AgentNotice; frames: readonly Buffer[] }[] = [];
  /** lines of the agents' logs */
  readonly said: string[] = [];
  links: AgentLinks | undefined;
  endpoint = 'tcp://127.0.0.1:0';
  readonly #agents = new Set<Agent>();

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async make(): Promise<PaperSystem> {
    const system = new PaperSystem(await mkdtemp(join(tmpdir(), 'nbos-agent-')));
    await system.startGateway();
    return system;
  }

  async startGateway(): Promise<void> {
    this.links = await AgentLinks.listen({
      endpoint: this.endpoint,
      keys: await keyPair(this.folder, 'gateway'),
      allowed: new AllowList(this.folder),
      log,
      onHello: (_, hello) => {
        this.hellos.push(hello);
        const { host, peer, key } = hello;
        this.hosts.set(host, { host, peer, key });
        queueMicrotask(() => {
          for (const each of this.hosts.keys())
            this.links?.tell(each, { t: 'hosts', hosts: [...this.hosts.values()] });
        });
      },
      onNotice: (host, notice, frames) => this.notices.push({ host, notice, frames }),
      onLost: () => undefined,
    });
    this.endpoint = this.links.endpoint;
  }

  readonly hosts = new Map<string, { host: string; peer: string; key: string }>();

  /** `parts`: real ones in place of paper */
  async startHost(
    host: string,
    limits: Partial<AgentLimits> = {},
    parts: Partial<AgentOptions> = {},
  ): Promise<PaperHost> {
    const keys = await keyPair(this.folder, host);
    await allow(this.folder, host, keys.publicKey);
    const replicas = new Map<string, PaperReplica>();
    const runtimes = new PaperRuntimes();
    const agent = await startAgent({
      host,
      folder: join(this.folder, host),
      runtimeDir: join(this.folder, 'run'),
      gateway: { endpoint: this.endpoint, key: (await keyPair(this.folder, 'gateway')).publicKey },
      keys,
      allowed: new AllowList(this.folder),
      capacity: { gpus: 2, cpuMillis: 1000, memoryMb: 100, vramMb: 10 },
      runtimes,
      openReplica: async (parts, fresh) => {
        const replica = await PaperReplica.open(parts, fresh);
        replicas.set(parts.kernel, replica);
        return replica;
      },
      log: pino({ level: 'info' }, { write: (line: string) => void this.said.push(line) }),
      limits: { beatMs: 50, hostGoneMs: 600, ...limits },
      ...parts,
    });
    this.#agents.add(agent);
    return { agent, replicas, runtimes };
  }

  async close(): Promise<void> {
    for (const agent of this.#agents) await agent.close();
    this.links?.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}
