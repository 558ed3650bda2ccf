import { hash4 } from '../../../core/hash.ts';

/** Draws from a seed; the same seed gives the same draws on any machine. */
export class Chance {
  readonly #seed: number;
  readonly #stream: number;
  #count = 0;

  constructor(seed: number, stream: number) {
    this.#seed = seed;
    this.#stream = stream;
  }

  /** 0 ≤ x < 1 */
  readonly next = (): number => hash4(this.#seed, this.#stream, this.#count++, 0) / 2 ** 32;

  /** An integer, least ≤ x ≤ most. */
  between(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  hits(probability: number): boolean {
    return probability > 0 && this.next() < probability;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.next() * items.length)]!;
  }
}
