import type { Peers } from './ports.ts';
import type { CellRunner } from './replica-cell.ts';
import type { ReplicaProcess } from './replica-process.ts';

/**
 * A lease by contact: a replica that runs a cell may go on only while it hears of a majority of the
 * hosts, since the others may start the cell's successor without it.
 */
export class Fence {
  readonly #leaseMs: number;
  readonly #contactMs: number;
  #lostAt: number | undefined;
  #backAt: number | undefined;

  constructor(leaseMs: number, contactMs: number) {
    this.#leaseMs = leaseMs;
    this.#contactMs = contactMs;
  }

  get paused(): boolean {
    return this.#lostAt !== undefined;
  }

  /** `lost`: how long ago a majority was last heard of, 0 for a group of one. */
  check(now: number, lostMs: number): 'pause' | 'resume' | 'end' | undefined {
    if (lostMs > this.#leaseMs) {
      this.#backAt = undefined;
      if (this.#lostAt === undefined) {
        this.#lostAt = now;
        return 'pause';
      }
      return now - this.#lostAt > this.#leaseMs ? 'end' : undefined;
    }
    if (this.#lostAt === undefined) return undefined;
    // What was decided meanwhile arrives first.
    this.#backAt ??= now;
    if (now - this.#backAt < this.#contactMs) return undefined;
    this.reset();
    return 'resume';
  }

  reset(): void {
    this.#lostAt = undefined;
    this.#backAt = undefined;
  }
}

/** ms at `now` since a majority of `hosts` was last heard of; this host is always heard. */
export function quorumSilence(hosts: readonly string[], peers: Peers, now: number): number {
  const silences = hosts
    .map((host) => (host === peers.host ? 0 : Math.max(0, now - peers.lastContact(host))))
    .sort((a, b) => a - b);
  return silences[Math.floor(silences.length / 2)] ?? 0;
}

export interface LeaseOf {
  readonly runner: CellRunner;
  readonly process: ReplicaProcess;
  readonly peers: Peers;
  voterHosts(): readonly string[];
  survivors(): string;
  /** The process was ended. */
  onEnded(): void;
}

/** Pauses and ends the running cell's process by its fence; looked at in each tick. */
export class RunningLease {
  readonly #of: LeaseOf;
  readonly #fence: Fence;

  constructor(of: LeaseOf, leaseMs: number, contactMs: number) {
    this.#of = of;
    this.#fence = new Fence(leaseMs, contactMs);
  }

  /** Its cell is decided: what it had paused may run again. */
  reset(): void {
    if (this.#fence.paused) this.#of.process.resume();
    this.#fence.reset();
  }

  tick(now: number): void {
    const { runner, process, peers, voterHosts, survivors, onEnded } = this.#of;
    const { current } = runner;
    // A cell can end while its pause is on the way; nothing of it is left to be fenced then.
    if (current?.phase !== 'running') this.reset();
    if (current?.phase !== 'running' || current.givenUp) return;
    switch (this.#fence.check(now, quorumSilence(voterHosts(), peers, now))) {
      case 'pause':
        process.pause();
        break;
      case 'resume':
        process.resume();
        break;
      case 'end':
        this.#fence.reset();
        runner.giveUp(current, 'fenced', `Its host was cut off from the others. ${survivors()}`);
        onEnded();
        break;
      default:
    }
  }
}
