import type {
  Content,
  ObjectInfo,
  ObjectStore,
  PutMode,
  Reading,
} from '../../../live/stores/store.ts';
import type { ShakyStore } from '../stores/shaky-store.ts';

const LONGEST_MS = 20_000;
/** of the loop, between two operations of one host at most */
const QUIET_TURNS = 8;

/** One host's way to a store: each operation, each key of a removal, waits until it is let. */
export class SteppedStore implements ObjectStore {
  readonly name: string;
  readonly #raw: ShakyStore;
  readonly #waiting: (() => void)[] = [];
  #busy = 0;
  #free = false;
  #quiet = 0;
  /** what this host was to do is done, but for what follows behind its back */
  done = false;
  steps = 0;

  constructor(name: string, raw: ShakyStore) {
    this.name = name;
    this.#raw = raw;
  }

  get isOver(): boolean {
    this.#quiet = this.#busy > 0 ? 0 : this.#quiet + 1;
    return this.done && this.#quiet > QUIET_TURNS;
  }

  /** Lets it do one operation; false when there is none any more. */
  async step(): Promise<boolean> {
    const ready = (): boolean => this.#waiting.length > 0 || this.isOver;
    await until(ready, `${this.name} to do something`);
    const next = this.#waiting.shift();
    if (next === undefined) return false;
    next();
    await until(() => this.#busy === this.#waiting.length, `an operation of ${this.name}`);
    return true;
  }

  /** From now on nothing waits. */
  free(): void {
    this.#free = true;
    for (const each of this.#waiting.splice(0)) each();
  }

  /** Lets it do all, and waits until that is done. */
  async finish(): Promise<void> {
    this.free();
    await until(() => this.isOver, `${this.name} to end`);
  }

  /** From now on each operation waits again. */
  hold(): void {
    this.#free = false;
    this.done = false;
  }

  async put(key: string, content: Content, mode: PutMode, signal: AbortSignal): Promise<boolean> {
    return this.#let(() => this.#raw.put(key, content, mode, signal));
  }

  async get(key: string, from: number, signal: AbortSignal): Promise<Reading | undefined> {
    return this.#let(() => this.#raw.get(key, from, signal));
  }

  async head(key: string, signal: AbortSignal): Promise<ObjectInfo | undefined> {
    return this.#let(() => this.#raw.head(key, signal));
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<ObjectInfo> {
    const found: ObjectInfo[] = [];
    await this.#let(async () => {
      for await (const info of this.#raw.list(prefix, signal)) found.push(info);
    });
    yield* found;
  }

  async remove(keys: readonly string[], signal: AbortSignal): Promise<void> {
    for (const key of keys) await this.#let(() => this.#raw.remove([key], signal));
  }

  async close(): Promise<void> {}

  async #let<T>(work: () => Promise<T>): Promise<T> {
    this.#busy++;
    try {
      if (!this.#free) await new Promise<void>((resolve) => this.#waiting.push(resolve));
      this.steps++;
      return await work();
    } finally {
      this.#busy--;
    }
  }
}

async function until(holds: () => boolean, what: string): Promise<void> {
  for (const end = performance.now() + LONGEST_MS; !holds(); ) {
    if (performance.now() > end) throw new Error(`waited too long for ${what}`);
    await new Promise(setImmediate);
  }
}
