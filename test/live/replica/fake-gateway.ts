import type { LogEntry } from '../../../live/log/entries.ts';
import type { AgentNotice } from '../../../live/wire/messages.ts';
import { type Host, startOf, submitOf, type World } from './world.ts';

interface Asked {
  cell: number;
  code: string;
  state: 'waiting' | 'asked' | 'running' | 'decided';
  attempt: number;
  epoch: number;
  executor: number;
  askedAt: number;
  /** index of its SUBMIT, once told */
  acceptedAt: number;
}

const LOOK_MS = 100;
const ASK_AGAIN_MS = 1_000;
const HOST_LEASE_MS = 1_500;

/** Runs cells one after the other on hosts of its choice, through whatever happens to them. */
export class FakeGateway {
  readonly cells: Asked[] = [];
  readonly #world: World;
  #attempt = 0;
  #epoch = 0;
  resets = 0;
  /** epoch of a RESET that is not told as applied yet, 0 for none */
  #resetting = 0;
  #resetAt = 0;
  readonly #goneSince = new Map<string, number>();

  constructor(world: World) {
    this.#world = world;
    world.onTold = (host, notice) => this.#hear(host, notice);
    this.#look();
  }

  submit(code: string): void {
    const cell = this.cells.length;
    const nothing = { attempt: 0, epoch: 0, executor: 0, askedAt: 0, acceptedAt: Infinity };
    this.cells.push({ cell, code, state: 'waiting', ...nothing });
  }

  get decided(): number {
    return this.cells.filter(({ state }) => state === 'decided').length;
  }

  #reaches(host: Host): boolean {
    return host.replica !== undefined && !this.#world.cut.has(`gateway>${host.name}`);
  }

  #hear(host: Host, notice: AgentNotice): void {
    if (!this.#reaches(host)) return;
    if (notice.t === 'yielded') {
      const asked = this.cells[notice.cell];
      if (asked?.attempt === notice.attempt && asked.state === 'running') asked.state = 'waiting';
      return;
    }
    if (notice.t !== 'applied') return;
    const { entry } = notice;
    if (entry.type === 'start' && entry.won) {
      const asked = this.cells[entry.cell]!;
      if (asked.state === 'decided' || entry.attempt < asked.attempt) return;
      Object.assign(asked, { state: 'running', attempt: entry.attempt, executor: entry.executor });
      asked.epoch = entry.epoch;
    } else if (entry.type === 'submit' && !entry.duplicate) {
      const asked = this.cells[entry.cell]!;
      asked.acceptedAt = Math.min(asked.acceptedAt, notice.index);
      this.#decideReset();
    } else if (entry.type === 'reset') {
      if (entry.epoch === this.#resetting) this.#resetting = 0;
      this.#resetAt = Math.max(this.#resetAt, notice.index);
      this.#decideReset();
    } else if (entry.type === 'end' && entry.won) this.cells[entry.cell]!.state = 'decided';
    else if (entry.type === 'abort' && entry.won) this.cells[entry.entry.cell]!.state = 'decided';
  }

  /** The user's restart: what was accepted before it ends by it. */
  restart(): void {
    if (this.#resetting !== 0) return;
    this.resets++;
    this.#resetting = ++this.#epoch;
    this.#reset(this.#resetting);
  }

  #reset(epoch: number): void {
    if (this.#resetting !== epoch) return;
    const { hosts, random } = this.#world;
    const reached = hosts.filter((host) => this.#reaches(host) && host.member !== 0);
    const one = reached[Math.floor(random() * reached.length)];
    if (one !== undefined) this.#propose(one, [{ v: 1, type: 'reset', epoch }]);
    this.#world.after(ASK_AGAIN_MS, () => this.#reset(epoch));
  }

  #decideReset(): void {
    for (const asked of this.cells) if (asked.acceptedAt < this.#resetAt) asked.state = 'decided';
  }

  #look(): void {
    const { now, hosts, random } = this.#world;
    this.#world.after(LOOK_MS, () => this.#look());
    for (const host of hosts) {
      if (this.#reaches(host)) this.#goneSince.delete(host.name);
      else if (!this.#goneSince.has(host.name)) this.#goneSince.set(host.name, now);
      else if (now - this.#goneSince.get(host.name)! > HOST_LEASE_MS && random() < 0.2)
        for (const other of hosts) if (this.#reaches(other)) other.replica?.hostGone(host.name);
    }
    const asked = this.cells.find(({ state }) => state !== 'decided');
    if (asked !== undefined) this.#drive(asked, now);
  }

  #drive(asked: Asked, now: number): void {
    const { hosts, random } = this.#world;
    const reached = hosts.filter((host) => this.#reaches(host) && host.member !== 0);
    if (reached.length === 0 || now - asked.askedAt < ASK_AGAIN_MS) return;
    const one = reached[Math.floor(random() * reached.length)]!;
    const { cell, code, attempt, epoch } = asked;
    if (asked.state === 'running') {
      const host = hosts.find(({ member }) => member === asked.executor);
      const gone = host === undefined ? 0 : this.#goneSince.get(host.name);
      if (gone === undefined || now - gone < HOST_LEASE_MS) return;
      asked.askedAt = now;
      const message = 'its host was lost';
      const abort = { v: 1, type: 'abort', cell, attempt, epoch, message } as const;
      this.#propose(one, [{ ...abort, reason: 'host-lost' }]);
      return;
    }
    asked.askedAt = now;
    // What it was not told of it finds in a report, as after a lost link.
    const known = one.replica!.report().open.find(({ submit }) => submit.cell === cell);
    if (known !== undefined && known.attempt > 0) {
      const { attempt: runs, executor } = known;
      const { epoch: since } = one.replica!.report();
      Object.assign(asked, { state: 'running', attempt: runs, executor, epoch: since });
      return;
    }
    asked.state = 'asked';
    asked.attempt = ++this.#attempt;
    asked.executor = one.member;
    asked.epoch = ++this.#epoch;
    const submit = submitOf(cell, code);
    const start = startOf(cell, asked.attempt, asked.epoch, one.member);
    this.#propose(one, [submit, start]);
    const another = reached[Math.floor(random() * reached.length)]!;
    if (random() < 0.2) this.#propose(another, [submit, start]);
    // Asked of a host that hears it when all is over.
    if (random() < 0.2)
      this.#world.after(2_000 + random() * 10_000, () => {
        if (this.#reaches(another)) this.#propose(another, [submit, start]);
      });
  }

  #propose(host: Host, entries: readonly LogEntry[]): void {
    host.replica?.propose(entries).catch(() => undefined);
  }
}
