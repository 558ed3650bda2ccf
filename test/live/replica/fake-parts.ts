import { NbosError } from '../../../core/errors.ts';
import type { Entry } from '../../../core/raft/index.ts';
import type {
  Blobs,
  ForwardAnswer,
  LogStore,
  Peers,
  Replica,
  StoredGroup,
  StoredUpdate,
} from '../../../live/agent/ports.ts';
import type { Numbered, ReplicaOutputs } from '../../../live/agent/replica-options.ts';
import type { JupyterMessage } from '../../../live/jupyter/message.ts';
import type { LogEntry } from '../../../live/log/entries.ts';
import { parseEntry } from '../../../live/log/entry-codec.ts';
import type { MemberHistory } from '../../../live/log/history-check.ts';
import type { Host, World } from './world.ts';

const FORWARD_MS = 2_000;

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
      create: (kernel, group) =>
        write(() => {
          this.groups.set(kernel, structuredClone(group));
          this.#ever.clear();
          this.#commit = 0;
        }),
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
    while (this.#commit < group.hardState.commit) {
      const entry = this.#ever.get(++this.#commit);
      if (entry?.kind === 'data') this.#world.committed.set(entry.index, parseEntry(entry.data));
    }
  }

  /** Committed entries that this disk ever held, compacted away or not. */
  history(member: number): MemberHistory {
    const entries = [...this.#ever.values()]
      .filter(({ index, kind }) => kind === 'data' && index <= this.#commit)
      .map(({ index, data }) => ({ index, entry: parseEntry(data) }));
    return { member, entries };
  }
}

export class FakePeers implements Peers {
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
    this.#deliver(to, (host) => host.replica?.step(copy, this.host));
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

export class FakeBlobs implements Blobs {
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

export class FakeOutputs implements ReplicaOutputs {
  next = 0;
  first = 0;
  seen = -1;
  readonly kept: Numbered[] = [];

  advanceTo(next: number): void {
    this.next = Math.max(this.next, next);
  }

  add(cell: number, attempt: number, message: JupyterMessage): Numbered {
    const after = this.kept.at(-1)?.seq ?? -1;
    const output = { seq: this.next++, after, cell, attempt, message };
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
