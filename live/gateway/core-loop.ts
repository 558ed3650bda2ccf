import type { Logger } from 'pino';
import type { Effect } from '../../core/effects.ts';
import { NbosError } from '../../core/errors.ts';
import type { Event, TimerKind } from '../../core/events.ts';
import type { Core } from '../../core/scheduler.ts';

type WithoutTime<E> = E extends Event ? Omit<E, 'at'> : never;
/** An event before it has its moment. */
export type Occurrence = WithoutTime<Event>;

/** Sees every event with its effects, before they are performed. */
export type Observer = (event: Event, effects: readonly Effect[]) => void;

export interface CoreLoopOptions {
  core: Core;
  /** ms on a clock that may jump; the loop makes it monotone */
  clock: () => number;
  log: Logger;
}

const MAX_TIMER_MS = 2 ** 31 - 1;
/** Events that one call may cause in a row; more is a ring of effects and outcomes. */
const MAX_CHAIN = 100_000;

/**
 * Gives core its events one after the other, each with the moment at which it is taken, and has the
 * effects performed in order. An event that comes while effects are performed waits its turn.
 */
export class CoreLoop {
  readonly core: Core;
  /** ms since the epoch at which `at` is 0 */
  readonly epochMs: number;
  perform: (effects: readonly Effect[], at: number) => void = () => undefined;
  readonly observers: Observer[] = [];
  readonly #clock: () => number;
  readonly #log: Logger;
  readonly #inbox: Occurrence[] = [];
  readonly #timers = new Set<NodeJS.Timeout>();
  #running = false;
  #closed = false;
  #at = 0;

  constructor({ core, clock, log }: CoreLoopOptions) {
    this.core = core;
    this.#clock = clock;
    this.#log = log;
    this.epochMs = clock();
  }

  /** The moment on core's clock, ms. */
  now(): number {
    this.#at = Math.max(this.#at, Math.floor(this.#clock() - this.epochMs));
    return this.#at;
  }

  post(occurrence: Occurrence): void {
    if (this.#closed) return;
    this.#inbox.push(occurrence);
    if (this.#running) return;
    this.#running = true;
    try {
      this.#drain();
    } finally {
      this.#running = false;
      this.#inbox.length = 0;
    }
  }

  #drain(): void {
    let chain = 0;
    for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) {
      if (++chain > MAX_CHAIN) {
        throw new NbosError(
          'invariant-violated',
          `events of ${next.kind} cause each other for ever`,
        );
      }
      this.#step({ ...next, at: this.now() } as Event);
    }
  }

  #step(event: Event): void {
    let effects: readonly Effect[];
    try {
      effects = this.core.step(event);
    } catch (error) {
      // One wrong event must not stop the others; the books refuse before they change anything.
      this.#log.error({ err: error, event }, 'the scheduler refused an event');
      return;
    }
    for (const observe of this.observers) observe(event, effects);
    this.perform(effects, event.at);
  }

  setTimer(timer: TimerKind, key: number, at: number): void {
    const wait = Math.min(MAX_TIMER_MS, Math.max(0, at - this.now()));
    const handle = setTimeout(() => {
      this.#timers.delete(handle);
      // Never early: core compares moments.
      if (this.now() < at) this.setTimer(timer, key, at);
      else this.post({ kind: 'timer', timer, key });
    }, wait);
    handle.unref();
    this.#timers.add(handle);
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }
}
