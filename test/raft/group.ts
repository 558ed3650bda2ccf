import * as assert from 'uvu/assert';
import {
  type Configuration,
  configurationOf,
  type Entry,
  LOG_FORMAT,
  type MemberId,
  MemoryStorage,
  type Message,
  type MessageOf,
  type MessageType,
  NOBODY,
  type RaftLimits,
  RaftNode,
  type Ready,
} from '../../core/raft/index.ts';
import { entryWord, messageLine } from './words.ts';

export interface Machine {
  readonly id: MemberId;
  readonly storage: MemoryStorage;
  readonly node: RaftNode;
  /** what the state machine took, in order */
  readonly applied: string[];
  appliedIndex: number;
}

/**
 * Members of a group in one place, whose messages move only when told to. Member n draws
 * (n - 1) / 10 for its election timeout, so that a lower id is more impatient.
 */
export class Group {
  readonly limits: Partial<RaftLimits>;
  readonly members = new Map<MemberId, Machine>();
  readonly #stopped = new Map<MemberId, MemoryStorage>();
  readonly #cut = new Set<string>();
  /** messages on their way, oldest first */
  inFlight: Message[] = [];
  /** what happened since it was last taken, in words */
  told: string[] = [];

  constructor(limits: Partial<RaftLimits> = {}) {
    this.limits = limits;
  }

  static of(voters: number, limits: Partial<RaftLimits> = {}): Group {
    const group = new Group(limits);
    const config = configurationOf(Array.from({ length: voters }, (_, at) => at + 1));
    for (const id of config.voters) group.start(id, MemoryStorage.forGroup(config));
    return group;
  }

  /** Members whose logs hold one entry of each of these terms. */
  static withLogs(logs: readonly (readonly number[])[], limits: Partial<RaftLimits> = {}): Group {
    const group = new Group(limits);
    const config = configurationOf(logs.map((_, at) => at + 1));
    for (const [at, terms] of logs.entries())
      group.start(at + 1, storageWith(config, terms, terms.at(-1) ?? 0));
    return group;
  }

  start(id: MemberId, storage: MemoryStorage): Machine {
    const random = (): number => ((id - 1) % 10) / 10;
    const node = new RaftNode({ id, storage, random, ...this.limits });
    const { index, data } = storage.snapshot();
    const applied = data === '' ? [] : String(data).split(' ');
    const machine = { id, storage, node, applied, appliedIndex: index };
    this.members.set(id, machine);
    return machine;
  }

  /** A member that knows nothing yet. */
  startEmpty(id: MemberId): Machine {
    return this.start(id, MemoryStorage.forGroup(configurationOf([])));
  }

  /** Ends a member; what it wrote stays. */
  stop(id: MemberId): void {
    this.#stopped.set(id, this.at(id).storage);
    this.members.delete(id);
  }

  restart(id: MemberId): Machine {
    const storage = this.#stopped.get(id);
    assert.ok(storage !== undefined, `${id} was stopped`);
    this.#stopped.delete(id);
    return this.start(id, storage!);
  }

  at(id: MemberId): Machine {
    const machine = this.members.get(id);
    assert.ok(machine !== undefined, `member ${id} is there`);
    return machine!;
  }

  node(id: MemberId): RaftNode {
    return this.at(id).node;
  }

  tick(id: MemberId, ticks = 1): void {
    for (let tick = 0; tick < ticks; tick++) this.node(id).tick();
  }

  /** Cuts every link between the two sides; one side against all others when `right` is left out. */
  cut(left: readonly MemberId[], right?: readonly MemberId[]): void {
    const others = right ?? [...this.members.keys()].filter((id) => !left.includes(id));
    for (const a of left) for (const b of others) this.#cut.add(`${a}>${b}`).add(`${b}>${a}`);
  }

  heal(): void {
    this.#cut.clear();
  }

  /** Does what a member wants done, until it wants nothing; its messages are on their way then. */
  work(id: MemberId): void {
    const machine = this.members.get(id);
    if (machine === undefined) return;
    for (let ready = machine.node.ready(); ready !== undefined; ready = machine.node.ready()) {
      this.#send(ready.early);
      machine.storage.write(ready);
      this.#tell(id, ready);
      this.#send(ready.messages);
      this.#install(machine, ready);
      for (const entry of ready.committed) {
        if (entry.kind === 'data') machine.applied.push(String(entry.data));
        machine.appliedIndex = entry.index;
      }
      machine.node.advance();
    }
  }

  #install(machine: Machine, { snapshot }: Ready): void {
    if (snapshot === undefined) return;
    const values = snapshot.data === '' ? [] : String(snapshot.data).split(' ');
    machine.applied.splice(0, machine.applied.length, ...values);
    machine.appliedIndex = snapshot.index;
  }

  #send(messages: readonly Message[]): void {
    for (const message of messages) {
      const lost = this.#cut.has(`${message.from}>${message.to}`);
      this.told.push(`  ${messageLine(message)}${lost ? '  lost' : ''}`);
      if (!lost) this.inFlight.push(message);
    }
  }

  #tell(id: MemberId, ready: Ready): void {
    const { status, hardState, snapshot, entries, committed, reads, lostReads } = ready;
    if (status !== undefined) {
      const leader = status.leader === NOBODY ? '' : ` of ${status.leader}`;
      const whose = status.role === 'leader' ? '' : leader;
      this.told.push(`${id} is ${status.role}${whose} in term ${status.term}`);
    }
    if (hardState !== undefined) {
      const { term, vote, commit } = hardState;
      this.told.push(`${id} writes term ${term} vote ${vote} commit ${commit}`);
    }
    if (snapshot !== undefined)
      this.told.push(`${id} installs snapshot ${snapshot.index}/${snapshot.term}`);
    if (entries.length > 0) this.told.push(`${id} writes ${entries.map(entryWord).join(' ')}`);
    if (committed.length > 0) this.told.push(`${id} applies ${committed.map(entryWord).join(' ')}`);
    for (const { id: read, index } of reads)
      this.told.push(`${id} may read for ${read} at ${index}`);
    for (const read of lostReads) this.told.push(`${id} lost read ${read}`);
  }

  /** Delivers what is on its way and accepted by `which`; the rest stays. */
  deliver(which: (message: Message) => boolean = () => true): void {
    const arriving = this.inFlight.filter(which);
    this.inFlight = this.inFlight.filter((message) => !which(message));
    for (const message of arriving) {
      const outcome = this.members.get(message.to)?.node.step(message) ?? 'no such member';
      if (outcome !== 'taken') this.told.push(`  ${messageLine(message)}  ${outcome}`);
    }
  }

  workAll(): void {
    for (const id of [...this.members.keys()]) this.work(id);
  }

  /** Lets everything run its course, without time. */
  settle(): void {
    for (let turn = 0; turn < 1_000; turn++) {
      this.workAll();
      if (this.inFlight.length === 0) return;
      this.deliver();
    }
    assert.unreachable('the group comes to rest');
  }

  /** Makes `id` the leader as a timeout would, and lets that settle. */
  elect(id: MemberId): void {
    this.node(id).campaign();
    this.settle();
    assert.is(this.node(id).role, 'leader', `${id} becomes leader`);
  }

  propose(id: MemberId, ...values: string[]): void {
    const answer = this.node(id).propose(values);
    assert.ok(answer.ok, `a proposal at ${id} is accepted`);
  }

  /** The terms of a member's entries, from its first that is there. */
  terms(id: MemberId): (number | undefined)[] {
    const { node } = this.at(id);
    return node.entriesAt(node.first, node.last).map(({ term }) => term);
  }

  /** Messages of one type that are on their way. */
  sent<Type extends MessageType>(type: Type): MessageOf<Type>[] {
    return this.inFlight.filter((message) => message.type === type) as MessageOf<Type>[];
  }

  leaders(): MemberId[] {
    return [...this.members.values()].filter(({ node }) => node.role === 'leader').map((m) => m.id);
  }

  /** Keeps a snapshot of what a member applied, and drops all but `keep` of the entries in it. */
  compact(id: MemberId, keep = 0): void {
    const { node, storage, applied, appliedIndex } = this.at(id);
    const snapshot = node.snapshotAt(appliedIndex, applied.join(' '));
    assert.ok(snapshot !== undefined, 'there is something to keep');
    storage.keep(snapshot!);
    storage.compact(appliedIndex - keep);
  }
}

/** A storage with one entry of each of these terms. */
export function storageWith(
  config: Configuration,
  terms: readonly number[],
  term: number,
  commit = 0,
): MemoryStorage {
  const storage = MemoryStorage.forGroup(config);
  storage.append(
    terms.map(
      (of, at): Entry => ({
        v: LOG_FORMAT,
        term: of,
        index: at + 1,
        kind: 'data',
        data: `${at + 1}of${of}`,
      }),
    ),
  );
  storage.setHardState({ term, vote: NOBODY, commit });
  return storage;
}
