import { NbosError } from '../core/errors.ts';
import { hash4 } from '../core/hash.ts';
import type { ResourceVector } from '../core/resources.ts';

/** Numbers each distinct name; 0 is '' (not given). */
export class NameList {
  readonly names: string[] = [''];
  readonly #numbers = new Map<string, number>([['', 0]]);
  readonly #what: string;
  readonly #most: number;

  /** @param what is counted, for the message; @param most names that the column can number */
  constructor(what: string, most: number) {
    this.#what = what;
    this.#most = most;
  }

  /** @throws NbosError trace-bad-value when there are too many distinct names */
  numberOf(name: string): number {
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    if (this.names.length >= this.#most)
      throw new NbosError(
        'trace-bad-value',
        `more than ${this.#most - 1} different ${this.#what}`,
        'Group them into fewer names.',
      );
    this.#numbers.set(name, this.names.length);
    this.names.push(name);
    return this.names.length - 1;
  }
}

/** Numbers each distinct resource vector, from 0. */
export class ShapeList {
  readonly shapes: Readonly<ResourceVector>[] = [];
  readonly #byHash = new Map<number, number[]>();
  #last = -1;

  numberOf(v: Readonly<ResourceVector>): number {
    // Neighbouring rows mostly ask for the same.
    if (this.#last >= 0 && sameShape(this.shapes[this.#last]!, v)) return this.#last;
    const hash = hash4(v.cpuMillis, v.memoryMb, v.gpuMillis, v.vramMb);
    let numbers = this.#byHash.get(hash);
    if (numbers === undefined) this.#byHash.set(hash, (numbers = []));
    for (const number of numbers) {
      if (sameShape(this.shapes[number]!, v)) return (this.#last = number);
    }
    const number = this.shapes.length;
    const { cpuMillis, memoryMb, gpuMillis, vramMb } = v;
    this.shapes.push(Object.freeze({ cpuMillis, memoryMb, gpuMillis, vramMb }));
    numbers.push(number);
    return (this.#last = number);
  }
}

function sameShape(a: Readonly<ResourceVector>, b: Readonly<ResourceVector>): boolean {
  return (
    a.gpuMillis === b.gpuMillis &&
    a.cpuMillis === b.cpuMillis &&
    a.memoryMb === b.memoryMb &&
    a.vramMb === b.vramMb
  );
}

/** Renumbers used numbers in order of first use; `fixed` numbers from 0 keep theirs. */
export class Renumbering {
  readonly used: number[] = [];
  readonly #to: Int32Array;

  constructor(size: number, fixed = 0) {
    this.#to = new Int32Array(size).fill(-1);
    for (let i = 0; i < fixed; i++) this.#number(i);
  }

  apply(column: Uint32Array | Uint16Array): void {
    for (let i = 0; i < column.length; i++) {
      const old = column[i]!;
      const known = this.#to[old]!;
      column[i] = known >= 0 ? known : this.#number(old);
    }
  }

  #number(old: number): number {
    this.used.push(old);
    return (this.#to[old] = this.used.length - 1);
  }
}
