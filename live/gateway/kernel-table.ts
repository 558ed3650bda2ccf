import type { LiveKernel } from './kernel.ts';

const REMOVED_KEPT = 100_000;

/** All kernels by their two names. */
export class KernelTable {
  readonly #byId = new Map<string, LiveKernel>();
  readonly #bySession = new Map<number, LiveKernel>();
  #nextSession = 0;
  /** ids of kernels that were shut down, the latest ones */
  readonly #removed = new Set<string>();
  onRemoved: (id: string) => void = () => undefined;

  add(kernel: LiveKernel): void {
    this.#byId.set(kernel.id, kernel);
    this.#bySession.set(kernel.session, kernel);
    this.#nextSession = Math.max(this.#nextSession, kernel.session + 1);
  }

  delete(kernel: LiveKernel): void {
    this.#byId.delete(kernel.id);
    this.#bySession.delete(kernel.session);
    this.markRemoved(kernel.id);
    this.onRemoved(kernel.id);
  }

  /** Also of a gateway before this one. */
  markRemoved(id: string): void {
    this.#removed.add(id);
    if (this.#removed.size > REMOVED_KEPT)
      this.#removed.delete(this.#removed.values().next().value!);
  }

  /** Shut down here: what a host still has of it is of no use. */
  wasRemoved(id: string): boolean {
    return this.#removed.has(id);
  }

  get(id: string): LiveKernel | undefined {
    return this.#byId.get(id);
  }

  bySession(session: number): LiveKernel | undefined {
    return this.#bySession.get(session);
  }

  /** A kernel that is not shown has this number. */
  leaveOut(session: number): void {
    this.#nextSession = Math.max(this.#nextSession, session + 1);
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
