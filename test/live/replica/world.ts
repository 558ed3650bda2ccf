import { NbosError } from '../../../core/errors.ts';
import type { Entry } from '../../../core/raft/index.ts';
import { GROUP_LIMITS } from '../../../live/agent/group-options.ts';
import type {
  Blobs,
  ForwardAnswer,
  LogStore,
  Peers,
  Replica,
  StoredGroup,
  StoredUpdate,
} from '../../../live/agent/ports.ts';
import { reopenReplica, startReplica } from '../../../live/agent/replica.ts';
import {
  type Numbered,
  REPLICA_LIMITS,
  type ReplicaDevices,
  type ReplicaLimits,
  type ReplicaOutputs,
} from '../../../live/agent/replica-options.ts';
import type { JupyterMessage } from '../../../live/jupyter/message.ts';
import type { KernelMeta, LogEntry, SubmitEntry } from '../../../live/log/entries.ts';
import { parseEntry } from '../../../live/log/entry-codec.ts';
import type { MemberHistory } from '../../../live/log/history-check.ts';
import type { AgentNotice, MemberAddress } from '../../../live/wire/messages.ts';
import { FakePython, type PythonOf } from './fake-python.ts';

export const KERNEL = 'k1';
const TICK_MS = 50;
const BEAT_MS = 250;
const FORWARD_MS = 2_000;

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

  histories(): MemberHistory[] {
    return this.hosts.flatMap((host) =>
      host.member === 0 ? [] : [host.store.history(host.member)],
    );
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
  /** devices of this host that are held */
  readonly held = new Map<number, readonly number[]>();
  busy = false;
  readonly devices: ReplicaDevices = {
    take: (cell, devices) => {
      if (devices.some((id) => id > 7)) return 'unknown-device';
      if (this.busy) return 'busy';
      this.held.set(cell, devices);
      return 'taken';
    },
    release: (cell) => void this.held.delete(cell),
    unbind: () => undefined,
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
    this.replica = await startReplica(options, { meta: META, member: this.member, members, joins });
    this.#live();
  }

  #first(): MemberAddress[] {
    return this.world.hosts.map(({ name, member }) => ({ member, host: name }));
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
    every(TICK_MS, () => this.replica?.tick());
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
    };
  }
}

function say(fields: object): string {
  return String((fields as { err?: unknown }).err ?? '');
}

/** A disk: what was written is there after a crash; a write may be in flight then. */
export class FakeStore {
  readonly #world: World;
  readonly groups = new Map<string, StoredGroup>();
  readonly #ever = new Map<number, Entry>();
  /** state of the newest snapshot taken over from another member */
  #commit = 0;
  #life = 0;
  failing = false;
  writes = 0;

  constructor(world: World) {
    this.#world = world;
  }

  crash(): void {
    this.#life++;
  }

  revive(): void {
    this.#life++;
  }

  forLife(): LogStore {
    const life = this.#life;
    const write = (change: () => void): Promise<void> =>
      new Promise((resolve, reject) => {
        this.writes++;
        this.#world.after(this.#world.options.writeMs, () => {
          if (life !== this.#life) return;
          if (this.failing) reject(new NbosError('disk-full', 'the disk takes no more'));
          else {
            change();
            resolve();
          }
        });
      });
    return {
      kernels: async () => [...this.groups.keys()],
      load: async (kernel) => structuredClone(this.groups.get(kernel)),
      create: (kernel, group) => write(() => void this.groups.set(kernel, structuredClone(group))),
      write: (kernel, update) => write(() => this.#update(kernel, update)),
      remove: (kernel) => write(() => void this.groups.delete(kernel)),
      close: async () => undefined,
    };
  }

  #update(kernel: string, update: StoredUpdate): void {
    const group = this.groups.get(kernel)!;
    if (update.identity !== undefined) group.identity = update.identity;
    if (update.restored)
      for (const index of this.#ever.keys()) if (index > this.#commit) this.#ever.delete(index);
    if (update.hardState !== undefined) group.hardState = update.hardState;
    if (update.snapshot !== undefined) group.snapshot = update.snapshot;
    if (update.restored) group.entries = [];
    const [first] = update.entries ?? [];
    if (first !== undefined) {
      group.entries = [
        ...group.entries.filter(({ index }) => index < first.index),
        ...update.entries!,
      ];
      for (const index of this.#ever.keys()) if (index >= first.index) this.#ever.delete(index);
      for (const entry of update.entries!) this.#ever.set(entry.index, entry);
    }
    if (update.compactTo !== undefined)
      group.entries = group.entries.filter(({ index }) => index > update.compactTo!);
    this.#commit = Math.max(this.#commit, group.hardState.commit);
  }

  /** Committed entries that this disk ever held, compacted away or not. */
  history(member: number): MemberHistory {
    const entries = [...this.#ever.values()]
      .filter(({ index, kind }) => kind === 'data' && index <= this.#commit)
      .map(({ index, data }) => ({ index, entry: parseEntry(data) }));
    return { member, entries };
  }
}

class FakePeers implements Peers {
  readonly host: string;
  readonly #of: Host;
  readonly #alive: () => boolean;

  constructor(of: Host, alive: () => boolean) {
    this.host = of.name;
    this.#of = of;
    this.#alive = alive;
  }

  #deliver(to: string, call: (host: Host) => void): void {
    const { world } = this.#of;
    const { delayMs, loss } = world.options;
    if (!this.#alive() || world.random() < loss) return;
    world.after(delayMs * (1 + Math.floor(world.random() * 3)), () => {
      if (world.connected(this.host, to)) call(world.host(to));
    });
  }

  sendRaft(to: string, _kernel: string, messages: Parameters<Replica['step']>[0]): void {
    const copy = structuredClone(messages);
    this.#deliver(to, (host) => host.replica?.step(copy));
  }

  forward(to: string, _kernel: string, entries: readonly LogEntry[]): Promise<ForwardAnswer> {
    const { world } = this.#of;
    return new Promise((resolve, reject) => {
      world.after(FORWARD_MS, () => reject(new NbosError('peer-unreachable', 'no answer')));
      this.#deliver(to, (host) => {
        if (host.replica === undefined) return;
        host.replica.proposeHere(entries).then((answer) => {
          world.after(1, () => {
            if (world.connected(to, this.host)) resolve(answer);
          });
        }, reject);
      });
    });
  }

  lastContact(host: string): number {
    return this.#of.contact.get(host) ?? Number.NEGATIVE_INFINITY;
  }
}

class FakeBlobs implements Blobs {
  readonly #of: Host;

  constructor(of: Host) {
    this.#of = of;
  }

  directory(): string {
    return '/nowhere';
  }

  async replicate(
    _kernel: string,
    blobs: Parameters<Blobs['replicate']>[1],
    hosts: readonly string[],
    quorum: number,
  ): Promise<void> {
    const { world, name } = this.#of;
    await new Promise<void>((resolve) => world.after(5, resolve));
    const reached = hosts.filter((host) => host === name || world.connected(name, host));
    if (reached.length < quorum) throw new NbosError('peer-unreachable', 'too few hosts');
    for (const host of reached) for (const { hash } of blobs) world.host(host).blobs.add(hash);
  }

  async ensure(_kernel: string, blobs: Parameters<Blobs['ensure']>[1]): Promise<void> {
    const { world, name } = this.#of;
    for (const { hash } of blobs) {
      const found = world.hosts.some(
        (host) => host.blobs.has(hash) && (host.name === name || world.connected(host.name, name)),
      );
      if (!found) throw new NbosError('blob-lost', `no host has ${hash}`);
      this.#of.blobs.add(hash);
    }
  }

  async collect(_kernel: string, keep: ReadonlySet<string>): Promise<void> {
    for (const hash of this.#of.blobs) if (!keep.has(hash)) this.#of.blobs.delete(hash);
  }

  async remove(): Promise<void> {
    this.#of.blobs.clear();
  }
}

class FakeOutputs implements ReplicaOutputs {
  next = 0;
  first = 0;
  seen = -1;
  readonly kept: Numbered[] = [];

  advanceTo(next: number): void {
    this.next = Math.max(this.next, next);
  }

  add(cell: number, attempt: number, message: JupyterMessage): Numbered {
    const output = { seq: this.next++, cell, attempt, message };
    this.kept.push(output);
    return output;
  }

  outputsSeen(seq: number): void {
    this.seen = seq;
  }

  decided(): void {}

  async resend(from: number, send: (output: Numbered) => void): Promise<void> {
    for (const output of this.kept) if (output.seq >= from) send(output);
  }

  async close(): Promise<void> {}
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
