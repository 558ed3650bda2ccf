import type { LiveKernel } from './kernel.ts';

/** All kernels by their two names. */
export class KernelTable {
  readonly #byId = new Map<string, LiveKernel>();
  readonly #bySession = new Map<number, LiveKernel>();
  #nextSession = 0;

  add(kernel: LiveKernel): void {
    this.#byId.set(kernel.id, kernel);
    this.#bySession.set(kernel.session, kernel);
    this.#nextSession = Math.max(this.#nextSession, kernel.session + 1);
  }

  delete(kernel: LiveKernel): void {
    this.#byId.delete(kernel.id);
    this.#bySession.delete(kernel.session);
  }

  get(id: string): LiveKernel | undefined {
    return this.#byId.get(id);
  }

  bySession(session: number): LiveKernel | undefined {
    return this.#bySession.get(session);
  }

  /** A number that no kernel of this gateway had. */
  newSession(): number {
    return this.#nextSession++;
  }

  get size(): number {
    return this.#byId.size;
  }

  [Symbol.iterator](): IterableIterator<LiveKernel> {
    return this.#byId.values();
  }
}
