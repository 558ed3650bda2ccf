import type { NbosError } from '../../core/errors.ts';
import {
  type Entry,
  type MemoryStorage,
  type Message,
  membersOf,
  NOBODY,
  RaftNode,
  type Ready,
  type Snapshot,
} from '../../core/raft/index.ts';
import type { LogEntry } from '../log/entries.ts';
import { parseEntry } from '../log/entry-codec.ts';
import type { MemberAddress } from '../wire/messages.ts';
import {
  addressOf,
  encodeIdentity,
  encodeSnapshot,
  freshGroup,
  type GroupIdentity,
  parseIdentity,
  parseSnapshot,
} from './group-identity.ts';
import { isAlone, MemberChange } from './group-members.ts';
import type { GroupMachine, GroupOptions } from './group-options.ts';
import { Proposals, type ProposalsOf } from './group-proposals.ts';
import { memoryOf, stoppedError, updateOf } from './group-storage.ts';
import type { ForwardAnswer, StoredGroup, StoredUpdate } from './ports.ts';

/** The lowest first member stands at once; its peers may be there a little later. */
const FRESH_TICKS = 40;
const FRESH_EVERY_TICKS = 2;
/** Work on one group's entries that may be done in one turn of the agent's loop. */
const TURN_MS = 4;

/**
 * One kernel's Raft member on this host: drives its node, keeps its log durable, carries its
 * messages and applies what is committed. When anything fails for good it stops alone.
 */
export class Group {
  readonly kernel: string;
  readonly node: RaftNode;
  readonly #options: GroupOptions;
  readonly #identity: GroupIdentity;
  readonly #storage: MemoryStorage;
  readonly #machine: GroupMachine;
  readonly #proposals: Proposals;
  readonly #of: ProposalsOf;
  readonly #addresses = new Map<number, string>();
  /** last index of the log when this host opened it: what it applied before may be run already */
  readonly lastAtOpen: number;
  #applied: number;
  #entriesSinceSnapshot = 0;
  #bytesSinceSnapshot = 0;
  #lastSnapshotBytes = 0;
  #pumping = false;
  #stopped = false;
  #commitTicks = 0;
  #freshTicks: number;
  #toldLostQuorum = false;
  #write: Promise<void> = Promise.resolve();

  constructor(
    options: GroupOptions,
    machine: GroupMachine,
    identity: GroupIdentity,
    stored: StoredGroup,
  ) {
    const { kernel, limits, random } = options;
    this.kernel = kernel;
    this.#options = options;
    this.#machine = machine;
    this.#identity = identity;
    this.#storage = memoryOf(kernel, stored);
    this.node = new RaftNode({
      ...limits.raft,
      id: identity.member,
      storage: this.#storage,
      random,
    });
    this.#applied = this.#storage.snapshot().index;
    this.lastAtOpen = this.node.last;
    for (const { member, host } of identity.members) this.#addresses.set(member, host);
    const first = this.lastAtOpen === 0 && membersOf(this.node.config)[0] === identity.member;
    this.#freshTicks = first ? FRESH_TICKS : 0;
    this.#of = {
      kernel,
      node: this.node,
      peers: options.peers,
      now: options.now,
      limits,
      hostOf: (member) => this.#addresses.get(member),
      pump: () => this.#pump(),
    };
    this.#proposals = new Proposals(this.#of);
    for (const entry of stored.entries) this.#learn(entry);
  }

  /** Begins: brings the machine to the snapshot; stands for election where none can be before. */
  start(): void {
    this.#restore(this.#storage.snapshot());
    if (this.#freshTicks > 0 || isAlone(this.node, this.member)) this.node.campaign();
    this.#pump();
  }

  get member(): number {
    return this.#identity.member;
  }

  get applied(): number {
    return this.#applied;
  }

  /** Members of the latest configuration that have a known host. */
  get members(): MemberAddress[] {
    return membersOf(this.node.config).flatMap((member) => {
      const host = this.#addresses.get(member);
      return host === undefined ? [] : [{ member, host }];
    });
  }

  get hosts(): string[] {
    return this.members.map(({ host }) => host);
  }

  /** Hosts of the voters: what a quorum is counted over. */
  get voterHosts(): string[] {
    return this.node.config.voters.map((member) => this.#addresses.get(member) ?? '');
  }

  /** A member that came while this one was away is first heard of by its messages. */
  step(messages: readonly Message[], from: string): void {
    this.#guard(() => {
      for (const message of messages) {
        if (!this.#addresses.has(message.from)) this.#addresses.set(message.from, from);
        this.node.step(message);
      }
    });
  }

  tick(): void {
    if (this.#stopped) return;
    if (!this.node.resting || this.#freshTicks > 0) {
      this.#guard(() => {
        this.node.tick();
        this.#standAfresh();
      });
    }
    this.#proposals.tick();
    this.#noticeLostQuorum();
    if (this.#commitTicks > 0 && --this.#commitTicks === 0) this.#writeCommit();
  }

  #standAfresh(): void {
    if (this.#freshTicks === 0) return;
    this.#freshTicks = this.node.leader === NOBODY ? this.#freshTicks - 1 : 0;
    if (this.#freshTicks % FRESH_EVERY_TICKS === 1 && this.node.role !== 'candidate')
      this.node.campaign();
  }

  #noticeLostQuorum(): void {
    const starving = this.#proposals.starvingMs >= this.#options.limits.lostQuorumMs;
    if (starving && !this.#toldLostQuorum) this.#machine.onLostQuorum();
    this.#toldLostQuorum = starving;
  }

  /** `host` is known gone: no lease of a leader there holds, and one member stands at once. */
  hostGone(host: string): void {
    this.#guard(() => {
      const { node } = this;
      node.wake();
      if (node.leader === NOBODY || this.#addresses.get(node.leader) !== host) return;
      node.forgetLeader();
      const next = node.config.voters.find((member) => this.#addresses.get(member) !== host);
      if (next === this.member) node.campaign();
    });
  }

  /** See Proposals.propose. */
  propose(entries: readonly LogEntry[]): Promise<void> {
    return this.#proposals.propose(entries, this.#options.limits.proposeMs);
  }

  proposeHere(entries: readonly LogEntry[]): Promise<ForwardAnswer> {
    return this.#proposals.proposeHere(entries, this.#options.limits.forwardedMs);
  }

  async changeMembers(add: MemberAddress | undefined, remove: number | undefined): Promise<void> {
    if (add !== undefined) this.#addresses.set(add.member, add.host);
    await new MemberChange(this.#of, this.#proposals).run(add, remove);
  }

  /** Hands the leadership over if this member has it; the target may refuse by staying silent. */
  transferTo(member: number): void {
    if (this.node.role !== 'leader' || member === this.member) return;
    this.#guard(() => {
      // It has something to do: it must hear of it before the next heartbeat.
      this.node.announceCommit();
      this.node.transferTo(member);
    });
  }

  /** Ends all work; the log stays. Resolves when no write is on its way any more. */
  async stop(): Promise<void> {
    if (!this.#stopped && !this.#pumping && this.#commitTicks > 0) this.#writeCommit();
    this.#end(stoppedError(this.kernel, 'it was stopped'));
    await this.#write.catch(() => undefined);
  }

  #end(error: NbosError): void {
    this.#stopped = true;
    this.#proposals.stop(error);
  }

  #guard(work: () => void): void {
    if (this.#stopped) return;
    try {
      work();
    } catch (error) {
      this.#fail(error);
    }
    this.#pump();
  }

  #fail(error: unknown): void {
    if (this.#stopped) return;
    this.#options.log.error({ kernel: this.kernel, err: error }, 'a replica stopped');
    this.#end(stoppedError(this.kernel, error instanceof Error ? error.message : String(error)));
    this.#machine.onFailed(error);
  }

  #pump(): void {
    if (this.#pumping || this.#stopped) return;
    this.#pumping = true;
    void this.#loop();
  }

  /** Runs in the caller's turn up to the first write. Never rejects. */
  async #loop(): Promise<void> {
    const { now } = this.#options;
    let turn = now();
    try {
      while (!this.#stopped) {
        const ready = this.node.ready();
        if (ready === undefined) break;
        const waited = await this.#handle(ready);
        if (waited) turn = now();
        else if (now() - turn > TURN_MS) {
          await new Promise(setImmediate);
          turn = now();
        }
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#pumping = false;
    }
  }

  /** True when it has waited for the disk. */
  async #handle(ready: Ready): Promise<boolean> {
    this.#send(ready.early);
    for (const entry of ready.entries) this.#learn(entry);
    if (ready.mustSync) {
      await this.#toDisk(updateOf(ready, ready.hardState ?? this.#storage.hardState()));
      if (this.#stopped) return true;
      this.#commitTicks = 0;
    } else if (ready.hardState !== undefined && this.#commitTicks === 0)
      this.#commitTicks = this.#options.limits.commitTicks;
    this.#storage.write(ready);
    this.#send(ready.messages);
    if (ready.snapshot !== undefined) this.#restore(ready.snapshot);
    for (const entry of ready.committed) this.#apply(entry);
    if (this.#stopped) return true;
    this.node.advance();
    if (ready.status !== undefined) {
      this.#proposals.onRole();
      this.#machine.onRole(ready.status);
    }
    return (await this.#compact()) || ready.mustSync;
  }

  #toDisk(update: StoredUpdate): Promise<void> {
    this.#write = this.#options.store.write(this.kernel, update);
    return this.#write;
  }

  /** The commit index alone: losing it costs a moment after a restart, so it is not synced. */
  #writeCommit(): void {
    if (this.#pumping) {
      this.#commitTicks = 1;
      return;
    }
    this.#pumping = true;
    this.#commitTicks = 0;
    this.#toDisk({ hardState: this.#storage.hardState(), mustSync: false })
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#pumping = false;
        this.#pump();
      });
  }

  #send(messages: readonly Message[]): void {
    if (messages.length === 0) return;
    const { peers } = this.#options;
    const byHost = new Map<string, Message[]>();
    for (const message of messages) {
      const host = this.#addresses.get(message.to);
      if (host === undefined) continue;
      const sent = byHost.get(host);
      if (sent === undefined) byHost.set(host, [message]);
      else sent.push(message);
    }
    for (const [host, sent] of byHost) peers.sendRaft(host, this.kernel, sent);
  }

  /** A change of members holds from its place in the log on, so its address is needed from there. */
  #learn({ kind, data }: Entry): void {
    if (kind !== 'config') return;
    const add = addressOf(data);
    if (add !== undefined) this.#addresses.set(add.member, add.host);
  }

  #apply(entry: Entry): void {
    if (this.#stopped) return;
    this.#applied = entry.index;
    this.#entriesSinceSnapshot++;
    this.#bytesSinceSnapshot += entry.data.length;
    if (entry.kind === 'data') this.#machine.apply(entry.index, parseEntry(entry.data));
    this.#proposals.onApplied(entry.index, entry.term);
  }

  #restore(snapshot: Snapshot): void {
    const data = parseSnapshot(this.kernel, snapshot.data);
    for (const { member, host } of data?.members ?? []) this.#addresses.set(member, host);
    this.#applied = snapshot.index;
    this.#entriesSinceSnapshot = 0;
    this.#bytesSinceSnapshot = 0;
    this.#lastSnapshotBytes = snapshot.data.length;
    this.#machine.restore(data?.state);
    this.#proposals.onRestored(snapshot.index);
  }

  /** A large state is written again only after a good part of it came as entries since. */
  get #snapshotIsDue(): boolean {
    const { snapshotEntries, snapshotBytes } = this.#options.limits;
    const entries = this.#entriesSinceSnapshot;
    const bytes = this.#bytesSinceSnapshot;
    if (bytes >= Math.max(snapshotBytes, this.#lastSnapshotBytes)) return true;
    const worthIt = bytes * 4 >= this.#lastSnapshotBytes || entries >= snapshotEntries * 16;
    return entries >= snapshotEntries && worthIt;
  }

  async #compact(): Promise<boolean> {
    if (!this.#snapshotIsDue) return false;
    this.#entriesSinceSnapshot = 0;
    this.#bytesSinceSnapshot = 0;
    const { members } = this;
    const data = encodeSnapshot({ members, state: this.#machine.snapshot() });
    this.#lastSnapshotBytes = data.length;
    const snapshot = this.node.snapshotAt(this.#applied, data);
    if (snapshot === undefined) return false;
    const compactTo = snapshot.index - this.#options.limits.keptEntries;
    const identity = encodeIdentity({ ...this.#identity, members });
    const compacts = compactTo >= this.#storage.firstIndex();
    await this.#toDisk({
      identity,
      snapshot,
      ...(compacts ? { compactTo } : {}),
      mustSync: false,
    });
    this.#storage.keep(snapshot);
    if (compacts) this.#storage.compact(compactTo);
    return true;
  }
}

/** A new member's group, durable once it resolves. */
export async function createGroup(
  options: GroupOptions,
  machine: GroupMachine,
  identity: GroupIdentity,
  joins: boolean,
): Promise<Group> {
  const stored = freshGroup(identity, joins);
  await options.store.create(options.kernel, stored);
  return new Group(options, machine, identity, stored);
}

/** A group that this host has. Undefined when it has none; throws `log-corrupt`. */
export async function loadGroup(
  options: GroupOptions,
  machine: GroupMachine,
): Promise<{ group: Group; identity: GroupIdentity } | undefined> {
  const stored = await options.store.load(options.kernel);
  if (stored === undefined) return undefined;
  const identity = parseIdentity(options.kernel, stored.identity);
  return { group: new Group(options, machine, identity, stored), identity };
}
