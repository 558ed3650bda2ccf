import { assert } from '../core/errors.ts';

/** Priorities are 0 … 127: with 2^46 pushes, priority and sequence share one exact double. */
export const MAX_PRIORITY = 127;
const SEQUENCES = 2 ** 46;
const FIRST_CAPACITY = 64;

/**
 * Pending events in the total order (time, priority, push order): of two events at the same time the
 * lower priority comes first, and equal ones leave in the order in which they came.
 *
 * A flat 4-ary heap of typed arrays. The heap moves three numbers an event: its time, its rank
 * (priority and sequence folded into one double, compared only when times tie) and the slot of its
 * payload, which stays where it is. A pop leaves the root open, and the next push fills it from the
 * top: the usual step of a simulation, an event that schedules another, costs one descent, not two.
 */
export class EventHeap {
  /** Time of the last popped event, ms. */
  atMs = 0;
  /** Payload of the last popped event. */
  kind = 0;
  a = 0;
  b = 0;

  /** Positions in use, the open root included. */
  #used = 0;
  /** Whether the root was popped and not yet filled. */
  #open = false;
  #sequence = 0;
  #times = new Float64Array(FIRST_CAPACITY);
  #ranks = new Float64Array(FIRST_CAPACITY);
  /** Slot of the event at each position; positions from `#used` on hold the free slots. */
  #slots = Int32Array.from({ length: FIRST_CAPACITY }, (_, i) => i);
  /** (kind, a, b) of slot s at 3s, 3s + 1, 3s + 2. */
  #payloads = new Int32Array(3 * FIRST_CAPACITY);

  get size(): number {
    return this.#open ? this.#used - 1 : this.#used;
  }

  /** Time of the least event, ms; Infinity when there is none. */
  peekAtMs(): number {
    if (!this.#open) return this.#used > 0 ? this.#times[0]! : Infinity;
    const end = Math.min(5, this.#used);
    let least = Infinity;
    for (let i = 1; i < end; i++) least = Math.min(least, this.#times[i]!);
    return least;
  }

  /**
   * Adds an event.
   * @param atMs time, ms: not negative, need not be whole; Infinity sorts last
   * @param priority integer, 0 … MAX_PRIORITY
   * @param kind integer of 32 bits, like `a` and `b`
   */
  push(atMs: number, priority: number, kind: number, a: number, b: number): void {
    if (!(atMs >= 0)) assert(false, `an event at ${atMs} ms`);
    const rank = priority * SEQUENCES + this.#sequence++;
    const slot = this.#open ? this.#slots[0]! : this.#freeSlot();
    const payloads = this.#payloads;
    payloads[3 * slot] = kind;
    payloads[3 * slot + 1] = a;
    payloads[3 * slot + 2] = b;
    if (this.#open) {
      this.#open = false;
      this.#sink(atMs, rank, slot);
    } else {
      this.#rise(this.#used++, atMs, rank, slot);
    }
  }

  /** Moves the least event into `atMs`, `kind`, `a`, `b`; false, and nothing moved, when empty. */
  pop(): boolean {
    if (this.#open) this.#fillRoot();
    if (this.#used === 0) return false;
    const slot = this.#slots[0]!;
    const payloads = this.#payloads;
    this.atMs = this.#times[0]!;
    this.kind = payloads[3 * slot]!;
    this.a = payloads[3 * slot + 1]!;
    this.b = payloads[3 * slot + 2]!;
    this.#open = true;
    return true;
  }

  #freeSlot(): number {
    if (this.#used === this.#slots.length) this.#grow();
    return this.#slots[this.#used]!;
  }

  /** Closes the open root with the last event. */
  #fillRoot(): void {
    this.#open = false;
    const last = --this.#used;
    const free = this.#slots[0]!;
    const slot = this.#slots[last]!;
    this.#slots[last] = free;
    if (last > 0) this.#sink(this.#times[last]!, this.#ranks[last]!, slot);
  }

  /** Puts an event where it belongs on the way from the root down. */
  #sink(atMs: number, rank: number, slot: number): void {
    const times = this.#times;
    const ranks = this.#ranks;
    const slots = this.#slots;
    const used = this.#used;
    let at = 0;
    for (let child = 1; child < used; child = 4 * at + 1) {
      let least = child;
      let leastMs = times[child]!;
      const end = child + 4 < used ? child + 4 : used;
      for (let i = child + 1; i < end; i++) {
        const ms = times[i]!;
        if (ms < leastMs || (ms === leastMs && ranks[i]! < ranks[least]!)) {
          least = i;
          leastMs = ms;
        }
      }
      if (atMs < leastMs || (atMs === leastMs && rank < ranks[least]!)) break;
      times[at] = leastMs;
      ranks[at] = ranks[least]!;
      slots[at] = slots[least]!;
      at = least;
    }
    times[at] = atMs;
    ranks[at] = rank;
    slots[at] = slot;
  }

  /** Puts an event where it belongs on the way from position `at` up. */
  #rise(at: number, atMs: number, rank: number, slot: number): void {
    const times = this.#times;
    const ranks = this.#ranks;
    const slots = this.#slots;
    while (at > 0) {
      const parent = (at - 1) >> 2;
      const ms = times[parent]!;
      if (ms < atMs || (ms === atMs && ranks[parent]! < rank)) break;
      times[at] = ms;
      ranks[at] = ranks[parent]!;
      slots[at] = slots[parent]!;
      at = parent;
    }
    times[at] = atMs;
    ranks[at] = rank;
    slots[at] = slot;
  }

  #grow(): void {
    const capacity = this.#slots.length;
    const times = new Float64Array(2 * capacity);
    const ranks = new Float64Array(2 * capacity);
    const slots = Int32Array.from({ length: 2 * capacity }, (_, i) => i);
    const payloads = new Int32Array(6 * capacity);
    times.set(this.#times);
    ranks.set(this.#ranks);
    slots.set(this.#slots);
    payloads.set(this.#payloads);
    this.#times = times;
    this.#ranks = ranks;
    this.#slots = slots;
    this.#payloads = payloads;
  }
}
