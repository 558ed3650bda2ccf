import type { HttpLimits } from '../http/limits.ts';
import type { HttpMetrics } from '../http/metrics.ts';
import type { Connection } from './connection.ts';

const SWEEP_MS = 1_000;
/** pings without an answer after which a client is gone */
const SILENT_PINGS = 3;

/** All open WebSockets; one timer pings them, ends silent ones, and bounds their backlogs. */
export class Connections {
  readonly #open = new Set<Connection>();
  /** by kernel and session id */
  readonly #bySession = new Map<string, Connection>();
  readonly #limits: HttpLimits;
  readonly #metrics: HttpMetrics;
  readonly #timer: NodeJS.Timeout;

  constructor(limits: HttpLimits, metrics: HttpMetrics) {
    this.#limits = limits;
    this.#metrics = metrics;
    const every = Math.min(SWEEP_MS, limits.pingMs);
    this.#timer = setInterval(() => this.#sweep(performance.now()), every);
    this.#timer.unref();
  }

  get size(): number {
    return this.#open.size;
  }

  /** A connection of the same session to the same kernel ends: its client has come back. */
  add(connection: Connection): void {
    this.#open.add(connection);
    this.#metrics.webSockets.set(this.#open.size);
    if (connection.session === '') return;
    const key = keyOf(connection);
    const before = this.#bySession.get(key);
    this.#bySession.set(key, connection);
    // 1001, so that two windows of one session do not drive each other out for ever.
    before?.close(1001, 'the same session has connected again');
  }

  delete(connection: Connection): void {
    this.#open.delete(connection);
    this.#metrics.webSockets.set(this.#open.size);
    const key = keyOf(connection);
    if (this.#bySession.get(key) === connection) this.#bySession.delete(key);
  }

  /** Ends the connections of a user who has lost access. */
  dropUser(user: string): void {
    for (const connection of this.#open)
      if (connection.user.id === user) connection.drop('user', 'the token is no longer valid');
  }

  /** 1012: the service restarts, come again. */
  async closeAll(withinMs: number): Promise<void> {
    clearInterval(this.#timer);
    for (const connection of this.#open) connection.close(1012, 'the gateway restarts');
    const until = performance.now() + withinMs;
    while (this.#open.size > 0 && performance.now() < until)
      await new Promise((resolve) => setTimeout(resolve, 10));
    for (const connection of this.#open) connection.terminate();
  }

  #sweep(now: number): void {
    const { pingMs, totalBacklogBytes } = this.#limits;
    let total = 0;
    for (const connection of this.#open) {
      total += connection.backlog;
      if (now - connection.heardAt > SILENT_PINGS * pingMs) {
        connection.drop('silent', 'no answer to pings');
        connection.terminate();
      } else if (now - connection.pingedAt >= pingMs) connection.ping(now);
    }
    if (total > totalBacklogBytes) this.#dropSlowest(total - totalBacklogBytes);
  }

  #dropSlowest(excess: number): void {
    let left = excess;
    for (const connection of [...this.#open].sort((a, b) => b.backlog - a.backlog)) {
      if (left <= 0) return;
      left -= connection.backlog;
      connection.drop('slow', 'this client does not read fast enough: connect again');
      // Its memory is needed now.
      connection.terminate();
    }
  }
}

function keyOf({ kernel, session }: Connection): string {
  return `${kernel} ${session}`;
}
