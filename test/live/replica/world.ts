import { GROUP_LIMITS } from '../../../live/agent/group-options.ts';
import { reopenReplica, startReplica } from '../../../live/agent/open-replica.ts';
import type { Replica } from '../../../live/agent/ports.ts';
import {
  REPLICA_LIMITS,
  type ReplicaDevices,
  type ReplicaLimits,
} from '../../../live/agent/replica-options.ts';
import type { Saver } from '../../../live/agent/saver.ts';
import type { KernelMeta, LogEntry, SubmitEntry } from '../../../live/log/entries.ts';
import type { MemberHistory } from '../../../live/log/history-check.ts';
import type { AgentNotice, MemberAddress } from '../../../live/wire/messages.ts';
import { FakeBlobs, FakeOutputs, FakePeers, FakeStore } from './fake-parts.ts';
import { FakePython, type PythonOf } from './fake-python.ts';

export const KERNEL = 'k1';
export const TICK_MS = 50;
const BEAT_MS = 250;

export interface WorldOptions {
  seed: number;
  hosts?: number;
  delayMs?: number;
  writeMs?: number;
  loss?: number;
  limits?: Partial<ReplicaLimits>;
}

interface Due {
  at: number;
  order: number;
  call: () => void;
}

/** Several hosts with a replica of one kernel each, in a time and a network of their own. */
export class World {
  now = 0;
  readonly hosts: Host[] = [];
  readonly witness: string[] = [];
  readonly committed = new Map<number, LogEntry>();
  readonly told: { host: string; notice: AgentNotice }[] = [];
  /** links that carry nothing, as "from>to" */
  readonly cut = new Set<string>();
  readonly options: Required<Omit<WorldOptions, 'limits'>>;
  readonly limits: ReplicaLimits;
  onTold: (host: Host, notice: AgentNotice) => void = () => undefined;
  warnings: string[] = [];
  #due: Due[] = [];
  #order = 0;
  #state: number;

  constructor(options: WorldOptions) {
    this.options = { hosts: 3, delayMs: 1, writeMs: 1, loss: 0, ...options };
    this.limits = { ...REPLICA_LIMITS, ...options.limits };
    this.#state = (options.seed * 2654435761) >>> 0 || 1;
    for (let at = 1; at <= this.options.hosts; at++) this.hosts.push(new Host(this, `h${at}`, at));
  }

  /** 0 ≤ x < 1 */
  random = (): number => {
    let s = this.#state;
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    this.#state = s >>> 0;
    return this.#state / 2 ** 32;
  };

  after(ms: number, call: () => void): void {
    this.#due.push({ at: this.now + ms, order: this.#order++, call });
  }

  host(name: string): Host {
    return this.hosts.find((host) => host.name === name)!;
  }

  /** Lets time pass until `until` holds, at most so many ms; false when it never did. */
  async run(ms: number, until: () => boolean = () => false): Promise<boolean> {
    const end = this.now + ms;
    for (;;) {
      for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
      if (until()) return true;
      let next: Due | undefined;
      for (const due of this.#due)
        if (!next || due.at < next.at || (due.at === next.at && due.order < next.order)) next = due;
      if (next === undefined || next.at > end) {
        this.now = end;
        return until();
      }
      this.now = next.at;
      const at = next.at;
      const calls = this.#due.filter((due) => due.at <= at).sort((a, b) => a.order - b.order);
      this.#due = this.#due.filter((due) => due.at > at);
      for (const { call } of calls) call();
    }
  }

  connected(from: string, to: string): boolean {
    return !this.cut.has(`${from}>${to}`) && this.host(from).up && this.host(to).up;
  }

  partition(host: string): void {
    for (const { name } of this.hosts) {
      if (name === host) continue;
      this.cut.add(`${name}>${host}`);
      this.cut.add(`${host}>${name}`);
    }
  }

  heal(): void {
    this.cut.clear();
  }

  members(): MemberAddress[] {
    return this.hosts.flatMap(({ name, member }) => (member === 0 ? [] : [{ member, host: name }]));
  }

  /** What disks hold now, and what was committed ever, also on disks that were emptied since. */
  histories(): MemberHistory[] {
    const entries = [...this.committed].map(([index, entry]) => ({ index, entry }));
    const all = { member: 0, entries };
    const each = this.hosts.flatMap((host) =>
      host.member === 0 ? [] : [host.store.history(host.member)],
    );
    return [all, ...each];
  }

  /** Everything that runs comes to an end, so that the test can. */
  async close(): Promise<void> {
    for (const host of this.hosts) host.kill();
    await this.run(10);
  }
}

export class Host {
  readonly name: string;
  readonly world: World;
  readonly store: FakeStore;
  readonly blobs = new Set<string>();
  member: number;
  up = true;
  replica: Replica | undefined;
  python: FakePython | undefined;
  pythonOf: PythonOf;
  meta: KernelMeta = META;
  saver: Saver | undefined;
  /** devices of this host that are held */
  readonly held = new Map<number, readonly number[]>();
  busy = false;
  devices: ReplicaDevices = {
    take: (cell, devices) => {
      if (devices.some((id) => id > 7)) return 'unknown-device';
      if (this.busy) return 'busy';
      this.held.set(cell, devices);
      return devices;
    },
    nameOf: (id) => id,
    release: (cell) => void this.held.delete(cell),
    bind: () => undefined,
    unbind: () => undefined,
    own: () => undefined,
    watch: () => undefined,
    forget: () => undefined,
  };
  makePython: (python: FakePython) => FakePython = (python) => python;
  readonly contact = new Map<string, number>();
  #life = 0;

  constructor(world: World, name: string, member: number) {
    this.world = world;
    this.name = name;
    this.member = member;
    this.store = new FakeStore(world);
    this.pythonOf = {
      after: (ms, call) => world.after(ms, call),
      witness: (id) => void world.witness.push(id),
      startMs: 100,
      applyMs: 2,
    };
  }

  async start(joins = false, members: readonly MemberAddress[] = this.#first()): Promise<void> {
    const options = this.#options();
    const { meta, member } = this;
    this.replica = await startReplica(options, { meta, member, members, joins });
    this.#live();
  }

  #first(): MemberAddress[] {
    return this.world.members();
  }

  /** The agent is killed: its process ends with it, its disk stays. */
  kill(): void {
    this.#life++;
    this.up = false;
    this.store.crash();
    this.python?.stop().catch(() => undefined);
    this.replica?.stop('leave').catch(() => undefined);
    this.replica = undefined;
    this.python = undefined;
  }

  /** Its replica was moved away, and everything of it is removed. */
  leave(): void {
    this.kill();
    this.up = true;
    this.member = 0;
    this.store.revive();
    this.store.groups.clear();
  }

  async restart(): Promise<void> {
    this.up = true;
    this.store.revive();
    this.replica = await reopenReplica(this.#options());
    this.#live();
  }

  #live(): void {
    const life = this.#life;
    const { world } = this;
    const every = (ms: number, call: () => void): void => {
      if (life !== this.#life) return;
      call();
      world.after(ms, () => every(ms, call));
    };
    every(TICK_MS, () => {
      this.replica?.tick();
      this.saver?.tick();
    });
    every(BEAT_MS, () => {
      for (const { name } of world.hosts)
        if (name !== this.name)
          world.after(world.options.delayMs, () => {
            if (world.connected(this.name, name))
              world.host(name).contact.set(this.name, world.now);
          });
    });
  }

  #options(): Parameters<typeof reopenReplica>[0] {
    const { world } = this;
    const life = ++this.#life;
    const alive = (): boolean => life === this.#life && this.up;
    return {
      kernel: KERNEL,
      store: this.store.forLife(),
      peers: new FakePeers(this, alive),
      blobs: new FakeBlobs(this),
      outputs: new FakeOutputs(),
      devices: this.devices,
      tell: (notice) => {
        if (!alive()) return;
        world.told.push({ host: this.name, notice });
        world.onTold(this, notice);
      },
      log: {
        warn: (fields, text) => world.warnings.push(`${this.name} ${text} ${say(fields)}`),
        error: (fields, text) => world.warnings.push(`${this.name} ERROR ${text} ${say(fields)}`),
      },
      makeRuntime: () => (this.python = this.makePython(new FakePython(this.pythonOf))),
      niced: false,
      random: world.random,
      now: () => world.now,
      limits: world.limits,
      saver: this.saver,
    };
  }
}

function say(fields: object): string {
  return String((fields as { err?: unknown }).err ?? '');
}

const NEED = { cpuMillis: 1000, memoryMb: 1024, gpuMillis: 0, vramMb: 0 };

export const META: KernelMeta = {
  kernel: KERNEL,
  spec: 'python3',
  language: 'python',
  argv: ['python3'],
  userId: 'ada',
  path: 'a.ipynb',
  name: 'a',
  sessionType: 'notebook',
  jupyterSession: '',
  env: {},
  cwd: '/',
  need: NEED,
  gpuType: '',
  replicas: 3,
  hashSeed: 1,
  stateKey: '00',
  createdAt: 0,
  session: 0,
};

export function submitOf(cell: number, code: string, msgId = `cell-${cell}`): SubmitEntry {
  return {
    v: 1,
    type: 'submit',
    cell,
    session: 's',
    msgId,
    userId: 'ada',
    submittedAt: 0,
    need: NEED,
    header: JSON.stringify({ msg_id: msgId, msg_type: 'execute_request' }),
    metadata: '{}',
    content: JSON.stringify({ code }),
    buffers: [],
  };
}

export function startOf(cell: number, attempt: number, epoch: number, executor: number): LogEntry {
  const count = cell + 1;
  return { v: 1, type: 'start', cell, attempt, epoch, executor, count, devices: [] };
}

export { GROUP_LIMITS };
