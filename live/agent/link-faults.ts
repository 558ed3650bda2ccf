/**
 * Faults on everything that an agent says or hears: nothing passes, or all of it late. What passes
 * keeps its order.
 */
export class LinkFaults {
  #cutUntil = 0;
  #slowUntil = 0;
  #delayMs = 0;
  /** deliveries that are late */
  #late: (() => void)[] = [];
  #closed = false;
  readonly #onError: (error: unknown) => void;

  /** `onError` is told what a late delivery threw; one in time throws at its caller. */
  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  cut(forMs: number): void {
    this.#cutUntil = performance.now() + forMs;
  }

  slow(delayMs: number, forMs: number): void {
    this.#delayMs = delayMs;
    this.#slowUntil = performance.now() + forMs;
  }

  /** Whether the agent is cut off at this moment. */
  get isCut(): boolean {
    return performance.now() < this.#cutUntil;
  }

  /** Whether messages pass as usual; if not, hand them to `pass`. The common case costs nothing. */
  get none(): boolean {
    return this.#cutUntil === 0 && this.#slowUntil === 0;
  }

  /** Delivers now, later, or never. */
  pass(deliver: () => void): void {
    const now = performance.now();
    if (now < this.#cutUntil) return;
    const slow = now < this.#slowUntil;
    if (!slow && this.#late.length === 0) {
      if (now >= this.#cutUntil) this.#cutUntil = 0;
      this.#slowUntil = 0;
      deliver();
      return;
    }
    this.#late.push(deliver);
    setTimeout(() => this.#deliverNext(), slow ? this.#delayMs : 0);
  }

  close(): void {
    this.#closed = true;
    this.#late = [];
  }

  #deliverNext(): void {
    const deliver = this.#late.shift();
    if (this.#closed || this.isCut) return;
    try {
      deliver?.();
    } catch (error) {
      this.#onError(error);
    }
  }
}
