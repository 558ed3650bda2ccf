type NumberArray = Float64Array | Uint32Array | Uint16Array | Uint8Array;
type ArrayMaker<A extends NumberArray> = new (length: number) => A;

/**
 * A typed array that grows. `data` may be longer than `length`; pages that were never written cost
 * no memory, so doubling is cheap.
 */
export class Growable<A extends NumberArray> {
  data: A;
  length = 0;
  readonly #make: ArrayMaker<A>;

  constructor(make: ArrayMaker<A>, capacity = 1024) {
    this.#make = make;
    this.data = new make(capacity);
  }

  push(value: number): void {
    if (this.length === this.data.length) this.reserve(this.length + 1);
    this.data[this.length++] = value;
  }

  /** Makes room for `length` values. */
  reserve(length: number): void {
    if (length <= this.data.length) return;
    const grown = new this.#make(Math.max(length, this.data.length * 2));
    grown.set(this.data.subarray(0, this.length) as never);
    this.data = grown;
  }

  /** The values in the order of `order` (all of them, as they are, without one); empties itself. */
  take(order?: Uint32Array): A {
    let out: A;
    if (order === undefined) {
      out = this.data.slice(0, this.length) as A;
    } else {
      out = new this.#make(order.length);
      for (let i = 0; i < order.length; i++) out[i] = this.data[order[i]!]!;
    }
    this.data = new this.#make(0);
    this.length = 0;
    return out;
  }
}

export function floats(): Growable<Float64Array> {
  return new Growable(Float64Array);
}
export function words(): Growable<Uint32Array> {
  return new Growable(Uint32Array);
}
export function shorts(): Growable<Uint16Array> {
  return new Growable(Uint16Array);
}
export function bytes(): Growable<Uint8Array> {
  return new Growable(Uint8Array);
}
