import type { MemberId, Message } from '../../../core/raft/index.ts';
import type { Chance } from './chance.ts';

export interface NetworkFaults {
  loss: number;
  duplication: number;
  maxDelayInstants: number;
}

/** Messages on their way: lost, doubled, delayed and so reordered, cut off by partitions. */
export class Network {
  readonly #chance: Chance;
  readonly #due = new Map<number, Message[]>();
  readonly #cut = new Set<string>();
  faults: NetworkFaults;

  constructor(chance: Chance, faults: NetworkFaults) {
    this.#chance = chance;
    this.faults = faults;
  }

  send(now: number, message: Message): void {
    const { loss, duplication, maxDelayInstants } = this.faults;
    if (this.#chance.hits(loss)) return;
    const copies = this.#chance.hits(duplication) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const at = now + this.#chance.between(1, maxDelayInstants);
      const others = this.#due.get(at);
      if (others === undefined) this.#due.set(at, [message]);
      else others.push(message);
    }
  }

  /** What arrives at `now`; a link that is cut meanwhile loses what was on it. */
  arriving(now: number): readonly Message[] {
    const messages = this.#due.get(now) ?? [];
    this.#due.delete(now);
    return messages.filter(({ from, to }) => !this.#cut.has(`${from}>${to}`));
  }

  cut(from: MemberId, to: MemberId): void {
    this.#cut.add(`${from}>${to}`);
  }

  heal(): void {
    this.#cut.clear();
  }

  get whole(): boolean {
    return this.#cut.size === 0;
  }
}
