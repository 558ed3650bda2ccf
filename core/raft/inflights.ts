import { assert } from '../errors.ts';

interface Sent {
  /** index of the last entry of the message */
  readonly index: number;
  readonly bytes: number;
}

/** Appends on their way to one member, oldest first, bounded in number and bytes. */
export class Inflights {
  readonly #maxCount: number;
  readonly #maxBytes: number;
  #sent: Sent[] = [];
  #bytes = 0;

  constructor(maxCount: number, maxBytes: number) {
    this.#maxCount = maxCount;
    this.#maxBytes = maxBytes;
  }

  get count(): number {
    return this.#sent.length;
  }

  get full(): boolean {
    return this.#sent.length >= this.#maxCount || this.#bytes >= this.#maxBytes;
  }

  add(index: number, bytes: number): void {
    assert(!this.full, 'an append is only sent into a window with room');
    this.#sent.push({ index, bytes });
    this.#bytes += bytes;
  }

  /** Forgets the messages that `index` acknowledges, with all before it. */
  freeTo(index: number): void {
    let freed = 0;
    while (freed < this.#sent.length && this.#sent[freed]!.index <= index)
      this.#bytes -= this.#sent[freed++]!.bytes;
    if (freed > 0) this.#sent.splice(0, freed);
  }

  /** Makes room in a full window whose answers may be lost. */
  freeFirst(): void {
    const first = this.#sent[0];
    if (first !== undefined) this.freeTo(first.index);
  }

  clear(): void {
    this.#sent = [];
    this.#bytes = 0;
  }
}
