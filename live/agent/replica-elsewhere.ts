import type { AbortEntry } from '../log/entries.ts';
import type { MemberAddress } from '../wire/messages.ts';
import type { Peers } from './ports.ts';

/** One a tick: time enough for an election. */
const MOST_ROUNDS = 200;

/** Decides a cell through the other members when the log on this host takes nothing any more. */
export class AbortElsewhere {
  readonly #kernel: string;
  readonly #peers: Peers;
  #resume: (() => void)[] = [];
  #stopped = false;

  constructor(kernel: string, peers: Peers) {
    this.#kernel = kernel;
    this.#peers = peers;
  }

  /** Asks each member in turn, until one took it. Never rejects: the gateway was told as well. */
  async ask(entry: AbortEntry, members: readonly MemberAddress[]): Promise<void> {
    for (let round = 0; round < MOST_ROUNDS && !this.#stopped; round++) {
      for (const { host } of members) {
        if (host === this.#peers.host) continue;
        try {
          if ((await this.#peers.forward(host, this.#kernel, [entry])).ok) return;
        } catch {
          // The next one may be reached.
        }
      }
      await new Promise<void>((resume) => this.#resume.push(resume));
    }
  }

  tick(): void {
    const resume = this.#resume;
    this.#resume = [];
    for (const each of resume) each();
  }

  stop(): void {
    this.#stopped = true;
    this.tick();
  }
}
