import type { Entry, ReadGrant } from '../../../core/raft/index.ts';
import type { Chance } from './chance.ts';
import type { Operation } from './linearizability.ts';
import type { Plan } from './plan.ts';
import type { SimMember } from './sim-member.ts';

const PATIENCE_INSTANTS = 25;

interface Pending {
  readonly operation: Operation;
  readonly member: SimMember;
  /** where an append stands in the log, if it comes to that */
  readonly index: number;
  readonly term: number;
}

interface Client {
  open: number;
  since: number;
}

/** Clients that append and read, one request at a time each, and write down what they saw. */
export class Clients {
  readonly history: Operation[] = [];
  readonly #plan: Plan;
  readonly #chance: Chance;
  readonly #clients: Client[];
  readonly #owners = new Map<Operation, Client>();
  #appends: Pending[] = [];
  readonly #reads = new Map<number, Pending>();
  #granted: { read: ReadGrant; member: SimMember }[] = [];
  #moment = 0;
  #nextValue = 1;
  #nextRead = 1;

  constructor(plan: Plan, chance: Chance) {
    this.#plan = plan;
    this.#chance = chance;
    this.#clients = Array.from({ length: plan.clients }, () => ({ open: 0, since: 0 }));
  }

  /** Lets clients without a request make one of some member that is up. */
  step(now: number, members: readonly SimMember[]): void {
    for (const client of this.#clients) {
      if (client.open > 0 && now - client.since > PATIENCE_INSTANTS) client.open = 0;
      if (client.open > 0 || members.length === 0 || !this.#chance.hits(0.3)) continue;
      client.since = now;
      const leaders = members.filter(({ node }) => node!.role === 'leader');
      const known = leaders.length > 0 && this.#chance.hits(0.8);
      const member = this.#chance.pick(known ? leaders : members);
      if (this.#chance.hits(this.#plan.readShare)) this.read(member, client);
      else this.append(member, this.#chance.between(1, this.#plan.batch), client);
    }
  }

  append(member: SimMember, count: number, client: Client = { open: 0, since: 0 }): boolean {
    const values = Array.from({ length: count }, () => `v${this.#nextValue++}`);
    const invoked = this.#moment++;
    const answer = member.node!.propose(values);
    if (!answer.ok) return false;
    for (const [at, value] of values.entries()) {
      const operation: Operation = { kind: 'append', value, invoked };
      this.#open(operation, client);
      const index = answer.first + at;
      this.#appends.push({ operation, member, index, term: answer.term });
    }
    return true;
  }

  read(member: SimMember, client: Client = { open: 0, since: 0 }): Operation | undefined {
    const invoked = this.#moment++;
    const id = this.#nextRead++;
    if (member.node!.read(id) !== undefined) return undefined;
    const operation: Operation = { kind: 'read', invoked };
    this.#open(operation, client);
    this.#reads.set(id, { operation, member, index: 0, term: 0 });
    return operation;
  }

  #open(operation: Operation, client: Client): void {
    this.history.push(operation);
    this.#owners.set(operation, client);
    client.open++;
  }

  #close(operation: Operation): void {
    const client = this.#owners.get(operation)!;
    if (client.open > 0) client.open--;
  }

  applied(member: SimMember, entry: Entry, position: number): void {
    const mine = this.#appends.filter(
      (each) => each.member === member && each.index === entry.index,
    );
    for (const { operation, term } of mine) {
      if (term === entry.term) {
        operation.position = position;
        operation.returned = this.#moment++;
      } else {
        operation.lost = true;
      }
      this.#close(operation);
    }
    if (mine.length > 0) this.#appends = this.#appends.filter((each) => !mine.includes(each));
  }

  granted(member: SimMember, read: ReadGrant): void {
    this.#granted.push({ read, member });
  }

  /** Answers the reads whose index is applied. */
  answer(): void {
    this.#granted = this.#granted.filter(({ read, member }) => {
      if (member.applied < read.index) return true;
      const pending = this.#reads.get(read.id);
      if (pending === undefined) return false;
      pending.operation.values = [...member.values];
      pending.operation.returned = this.#moment++;
      this.#close(pending.operation);
      this.#reads.delete(read.id);
      return false;
    });
  }

  lostRead(read: number): void {
    const pending = this.#reads.get(read);
    if (pending === undefined) return;
    pending.operation.lost = true;
    this.#close(pending.operation);
    this.#reads.delete(read);
  }

  /** A member's memory is gone or was jumped over: what it would have answered stays unknown. */
  forget(member: SimMember): void {
    for (const { operation } of this.#appends.filter((each) => each.member === member))
      this.#close(operation);
    this.#appends = this.#appends.filter((each) => each.member !== member);
  }

  crashed(member: SimMember): void {
    this.forget(member);
    this.#granted = this.#granted.filter((each) => each.member !== member);
    for (const [id, pending] of this.#reads) {
      if (pending.member !== member) continue;
      this.#close(pending.operation);
      this.#reads.delete(id);
    }
  }
}
