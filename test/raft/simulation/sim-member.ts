import {
  type Entry,
  type HardState,
  type MemberId,
  type MemoryStorage,
  type Message,
  NO_HARD_STATE,
  RaftNode,
  type ReadGrant,
  type Ready,
} from '../../../core/raft/index.ts';
import type { Chance } from './chance.ts';
import type { Plan } from './plan.ts';
import type { Safety } from './safety.ts';

/** Whom a member tells what it did. */
export interface Listener {
  send(message: Message): void;
  applied(member: SimMember, entry: Entry, position: number): void;
  installed(member: SimMember): void;
  granted(member: SimMember, read: ReadGrant): void;
  lost(member: SimMember, read: number): void;
}

/** Mistakes that whoever runs a member could make; the checkers must find each of them. */
export type Sabotage = 'none' | 'send-before-write' | 'forget-vote' | 'forget-entries';

/** A member with its disk and its state machine, a list of the values that were appended. */
export class SimMember {
  readonly id: MemberId;
  readonly storage: MemoryStorage;
  readonly #plan: Plan;
  readonly #chance: Chance;
  readonly #safety: Safety;
  readonly #listener: Listener;
  readonly #sabotage: Sabotage;
  /** undefined while it is down */
  node: RaftNode | undefined;
  values: string[] = [];
  applied = 0;
  ticksPerInstant = 1;
  maxWriteInstants: number;
  #owedTicks = 0;
  #toApply: Entry[] = [];
  #writing: Ready | undefined;
  #writtenAt = 0;
  /** what surely is on disk: a write that need not be synced may be lost by a crash */
  #synced: HardState = NO_HARD_STATE;

  constructor(
    id: MemberId,
    storage: MemoryStorage,
    world: { plan: Plan; chance: Chance; safety: Safety; listener: Listener; sabotage: Sabotage },
  ) {
    this.id = id;
    this.storage = storage;
    this.#plan = world.plan;
    this.#chance = world.chance;
    this.#safety = world.safety;
    this.#listener = world.listener;
    this.#sabotage = world.sabotage;
    this.maxWriteInstants = world.plan.maxWriteInstants;
    this.start();
  }

  start(): void {
    const { id, storage } = this;
    const random = this.#chance.next;
    this.node = new RaftNode({ id, storage, random, ...this.#plan.limits });
    this.#install(String(storage.snapshot().data), storage.snapshot().index);
  }

  /** Loses everything that was not synced; a write that is under way happened or did not. */
  crash(): void {
    if (this.#sabotage === 'forget-vote') this.storage.setHardState({ ...this.#synced, vote: 0 });
    else if (this.#writing !== undefined && this.#chance.hits(0.5)) this.#write(this.#writing);
    else if (this.#chance.hits(0.5)) this.storage.setHardState(this.#synced);
    this.#writing = undefined;
    this.node = undefined;
  }

  #write(ready: Ready): void {
    if (this.#sabotage === 'forget-entries' && this.#chance.hits(0.2))
      this.storage.write({ ...ready, entries: ready.entries.slice(0, -1) });
    else this.storage.write(ready);
    if (ready.mustSync) this.#synced = this.storage.hardState();
  }

  tick(): void {
    this.#owedTicks += this.ticksPerInstant;
    for (; this.#owedTicks >= 1; this.#owedTicks--) this.node?.tick();
  }

  /** Does what the node wants done, as far as it comes at this instant. */
  work(now: number): void {
    for (let turn = 0; turn < 3 && this.node !== undefined; turn++) {
      if (this.#writing === undefined) {
        const ready = this.node.ready();
        if (ready === undefined) break;
        this.#begin(now, ready);
      }
      if (this.#writing === undefined || this.#writtenAt > now) break;
      this.#finish(this.node, this.#writing);
    }
    this.#apply();
    if (this.node !== undefined) this.#safety.observe(this.node);
  }

  #begin(now: number, ready: Ready): void {
    this.#writing = ready;
    const needsDisk = ready.mustSync || ready.hardState !== undefined;
    this.#writtenAt = now + (needsDisk ? this.#chance.between(0, this.maxWriteInstants) : 0);
    for (const entry of ready.entries)
      this.#safety.holds(entry, this.#prevTerm(ready, entry.index - 1));
    const early = this.#sabotage === 'send-before-write' ? ready.messages : [];
    for (const message of [...ready.early, ...early]) this.#listener.send(message);
  }

  #prevTerm({ snapshot, entries }: Ready, index: number): number {
    const first = entries[0]!.index;
    if (index >= first) return entries[index - first]!.term;
    return snapshot?.index === index ? snapshot.term : this.storage.term(index)!;
  }

  #finish(node: RaftNode, ready: Ready): void {
    this.#write(ready);
    const disk = {
      term: this.storage.hardState().term,
      last: this.storage.lastIndex(),
      termAt: (index: number) => this.storage.term(index),
    };
    for (const message of ready.messages) {
      this.#safety.promises(message, disk);
      this.#listener.send(message);
    }
    const { snapshot } = ready;
    if (snapshot !== undefined) {
      this.#install(String(snapshot.data), snapshot.index);
      this.#listener.installed(this);
    }
    for (const entry of ready.committed) this.#toApply.push(entry);
    for (const read of ready.reads) this.#listener.granted(this, read);
    for (const read of ready.lostReads) this.#listener.lost(this, read);
    this.#writing = undefined;
    node.advance();
  }

  #install(data: string, index: number): void {
    this.values = data === '' ? [] : data.split(' ');
    this.applied = index;
    this.#toApply = [];
  }

  #apply(): void {
    const entries = this.#toApply.splice(0, this.#plan.applyPerInstant);
    for (const entry of entries) {
      this.#safety.applies(this.id, entry);
      if (entry.kind === 'data') this.values.push(String(entry.data));
      this.applied = entry.index;
      this.#listener.applied(this, entry, this.values.length - 1);
    }
    const { snapshotEvery, keepEntries } = this.#plan;
    const since = this.applied - this.storage.snapshot().index;
    if (snapshotEvery === 0 || since < snapshotEvery || this.node === undefined) return;
    const snapshot = this.node.snapshotAt(this.applied, this.values.join(' '));
    if (snapshot === undefined) return;
    this.storage.keep(snapshot);
    this.storage.compact(this.applied - keepEntries);
  }
}
