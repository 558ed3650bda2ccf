import * as assert from 'uvu/assert';
import {
  type ConfigChange,
  type Configuration,
  configurationOf,
  isMember,
  isMessage,
  isVoter,
  type MemberId,
  MemoryStorage,
  membersOf,
} from '../../../core/raft/index.ts';
import { Chance } from './chance.ts';
import { Clients } from './clients.ts';
import { contradiction } from './linearizability.ts';
import { Network } from './network.ts';
import type { Plan } from './plan.ts';
import { Safety } from './safety.ts';
import { type Sabotage, SimMember } from './sim-member.ts';

const MOST_MEMBERS = 6;

/** How much a run exercised. */
export interface Exercise {
  readonly terms: number;
  readonly committed: number;
  readonly operations: number;
  readonly crashes: number;
  readonly changes: number;
  readonly snapshots: number;
}

/** A whole group in one process, in time of its own, with faults from a seed. */
export class Simulation {
  readonly #plan: Plan;
  readonly #sabotage: Sabotage;
  readonly #chance: Chance;
  readonly #network: Network;
  readonly #safety = new Safety();
  readonly #clients: Clients;
  readonly #members = new Map<MemberId, SimMember>();
  #now = 0;
  #nextId: MemberId;
  /** the newest committed configuration that was seen, and how far its member's log was committed */
  #config: Configuration;
  #configSeenAt = 0;
  readonly #everMember: Set<MemberId>;
  #hostNews: number[] = [];
  #crashes = 0;
  #changes = 0;
  #snapshots = 0;

  constructor(plan: Plan, sabotage: Sabotage = 'none') {
    this.#plan = plan;
    this.#sabotage = sabotage;
    this.#chance = new Chance(plan.seed, 2);
    this.#network = new Network(new Chance(plan.seed, 3), { ...plan });
    this.#clients = new Clients(plan, new Chance(plan.seed, 4));
    const voters = Array.from({ length: plan.voters }, (_, at) => at + 1);
    this.#config = configurationOf(voters);
    this.#everMember = new Set(voters);
    this.#nextId = plan.voters + 1;
    for (const id of voters) this.#add(id, this.#config);
  }

  /** Throws what a checker found. */
  run(): Exercise {
    for (; this.#now < this.#plan.chaosInstants; this.#now++) {
      this.#disturb();
      this.#clients.step(this.#now, this.#up());
      this.#instant();
    }
    this.#recover();
    const wrong = contradiction(this.#clients.history);
    assert.is(wrong, '', 'linearizability');
    return {
      terms: this.#safety.terms,
      committed: this.#safety.committed,
      operations: this.#clients.history.length,
      crashes: this.#crashes,
      changes: this.#changes,
      snapshots: this.#snapshots,
    };
  }

  #add(id: MemberId, config: Configuration): void {
    const clients = this.#clients;
    const member = new SimMember(id, MemoryStorage.forGroup(config), {
      plan: this.#plan,
      chance: new Chance(this.#plan.seed, 100 + id),
      safety: this.#safety,
      sabotage: this.#sabotage,
      listener: {
        send: (message) => this.#network.send(this.#now, message),
        applied: (from, entry, position) => clients.applied(from, entry, position),
        installed: (from) => {
          this.#snapshots++;
          clients.forget(from);
        },
        granted: (from, read) => clients.granted(from, read),
        lost: (_, read) => clients.lostRead(read),
      },
    });
    member.ticksPerInstant = 1 + (this.#chance.next() * 2 - 1) * this.#plan.clockSkew;
    this.#members.set(id, member);
  }

  #up(): SimMember[] {
    return [...this.#members.values()].filter(({ node }) => node !== undefined);
  }

  #instant(): void {
    for (const message of this.#network.arriving(this.#now)) {
      assert.ok(isMessage(message), `not a message: ${JSON.stringify(message)}`);
      this.#members.get(message.to)?.node?.step(message);
    }
    this.#hostNews = this.#hostNews.filter((at) => {
      if (at <= this.#now) for (const { node } of this.#members.values()) node?.wake();
      return at > this.#now;
    });
    for (const member of this.#members.values()) {
      member.tick();
      member.work(this.#now);
      this.#seeConfig(member);
    }
    this.#clients.answer();
  }

  #seeConfig({ node }: SimMember): void {
    if (node === undefined) return;
    const { configPending, committed, config } = node;
    // A new member knows none before the entry that brought it.
    if (configPending || committed <= this.#configSeenAt || config.voters.length === 0) return;
    this.#configSeenAt = committed;
    if (config !== this.#config) this.#changes++;
    this.#config = config;
    for (const id of membersOf(config)) this.#everMember.add(id);
  }

  #disturb(): void {
    const { crash, restart, partition, heal, transfer, memberChange } = this.#plan;
    for (const member of [...this.#members.values()]) {
      if (member.node === undefined) {
        if (this.#chance.hits(restart)) member.start();
      } else if (this.#chance.hits(crash)) {
        this.#crash(member);
      }
      // A member whose removal is committed goes on for a while, as servers do.
      if (this.#isRemoved(member.id) && this.#chance.hits(0.02)) this.#destroy(member);
    }
    if (this.#chance.hits(partition)) this.#cutSome();
    if (!this.#network.whole && this.#chance.hits(heal)) {
      this.#network.heal();
      this.#tellHosts();
    }
    if (this.#chance.hits(transfer)) this.#eachLeader((leader) => this.#transfer(leader));
    if (this.#chance.hits(memberChange)) this.#eachLeader((leader) => this.#changeMembers(leader));
  }

  #crash(member: SimMember): void {
    this.#crashes++;
    member.crash();
    this.#clients.crashed(member);
    this.#tellHosts();
  }

  #destroy(member: SimMember): void {
    if (member.node !== undefined) this.#crash(member);
    this.#members.delete(member.id);
  }

  #isRemoved(id: MemberId): boolean {
    return this.#everMember.has(id) && !isMember(this.#config, id);
  }

  #tellHosts(): void {
    this.#hostNews.push(this.#now + this.#plan.hostWatchInstants);
  }

  /** Cuts the members in two, or a leader off, some links only one way. */
  #cutSome(): void {
    this.#network.heal();
    const ids = [...this.#members.keys()];
    const leaders = this.#up().filter(({ node }) => node!.role === 'leader');
    const alone = leaders.length > 0 && this.#chance.hits(0.5) && this.#chance.pick(leaders).id;
    const left = new Set(ids.filter((id) => (alone ? id === alone : this.#chance.hits(0.5))));
    const oneWay = this.#chance.hits(this.#plan.oneWayShare);
    for (const a of left)
      for (const b of ids) {
        if (left.has(b)) continue;
        this.#network.cut(a, b);
        if (!oneWay) this.#network.cut(b, a);
      }
    this.#tellHosts();
  }

  #eachLeader(act: (leader: SimMember) => void): void {
    for (const member of this.#up()) if (member.node!.role === 'leader') act(member);
  }

  #transfer({ node }: SimMember): void {
    node!.transferTo(this.#chance.pick(node!.config.voters));
  }

  #changeMembers({ node }: SimMember): void {
    const { config } = node!;
    const members = membersOf(config);
    const member = this.#chance.pick(members);
    let change: ConfigChange;
    if (config.learners.length > 0 && this.#chance.hits(0.6))
      change = { type: 'promote', member: config.learners[0]! };
    else if (members.length < MOST_MEMBERS && this.#chance.hits(0.6))
      change = { type: 'add-learner', member: this.#nextId };
    else if (isVoter(config, member) && this.#chance.hits(0.3)) change = { type: 'demote', member };
    else change = { type: 'remove', member };
    if (node!.proposeChange(change).ok && change.type === 'add-learner')
      this.#add(this.#nextId++, configurationOf([]));
  }

  /** Without faults the group must elect, commit, serve reads and bring everyone up to date. */
  #recover(): void {
    this.#network.heal();
    this.#network.faults = { loss: 0, duplication: 0, maxDelayInstants: 1 };
    for (const member of this.#members.values()) {
      member.ticksPerInstant = 1;
      member.maxWriteInstants = 0;
      if (member.node === undefined) member.start();
      member.node!.wake();
    }
    const { electionTicks } = this.#plan.limits;
    // One entry at a time where the plan says so, and a snapshot that is given up meanwhile.
    const longest = Math.max(...this.#up().map(({ node }) => node!.last));
    const bound = 60 * electionTicks! + 8 * longest;
    this.#within(bound, 'no leader that appends', () => this.#appendSomewhere());
    this.#within(bound, 'members do not get up to date', () => this.#allUpToDate());
    let read: ReturnType<Clients['read']>;
    this.#within(bound, 'no leader that reads', () => {
      this.#eachLeader((leader) => {
        // A late message of the first phase may still depose a leader, and with it the read.
        if (read === undefined || read.lost) read = this.#clients.read(leader);
      });
      return read?.values !== undefined;
    });
  }

  #within(instants: number, complaint: string, done: () => boolean): void {
    const end = this.#now + instants;
    for (; !done(); this.#now++) {
      if (this.#now >= end) assert.unreachable(`${complaint}: ${this.#describe()}`);
      for (const member of [...this.#members.values()])
        if (this.#isRemoved(member.id)) this.#destroy(member);
      this.#instant();
    }
  }

  #appendSomewhere(): boolean {
    let done = false;
    this.#eachLeader((leader) => {
      done ||= this.#clients.append(leader, 1);
    });
    return done;
  }

  #allUpToDate(): boolean {
    const leaders = this.#up().filter(({ node }) => node!.role === 'leader');
    if (leaders.length !== 1) return false;
    const { last, config, configPending } = leaders[0]!.node!;
    if (configPending) return false;
    return membersOf(config).every((id) => this.#members.get(id)?.applied === last);
  }

  #describe(): string {
    return this.#up()
      .map((member) => JSON.stringify({ ...member.node!.status(), applied: member.applied }))
      .join('\n');
  }
}
