import { NbosError } from '../../core/errors.ts';
import { DEATH_LOGGED } from '../doctor/exit-diagnosis.ts';
import type { JupyterMessage } from '../jupyter/message.ts';
import type { Delta, Unit } from '../log/entries.ts';
import type { ProcessState } from '../wire/messages.ts';
import type { KernelRuntime } from './kernel/runtime.ts';
import type { ClientChannel, ProcessOf } from './replica-process-of.ts';
import { type FailedUnit, ProcessUnits } from './replica-units.ts';

/** How long a standby lets changes gather: each take-over costs the cells beside it time. */
const STANDBY_MS = 200;

/**
 * The kernel's process on this host: kept running, and kept in step with the table of state, of
 * which it is a cache. Changed units are taken over in the agent's ticks, the newest versions only,
 * or at once when a cell is about to run here.
 */
export class ReplicaProcess {
  readonly #of: ProcessOf;
  #runtime: KernelRuntime | undefined;
  /** counts processes: what concerns an earlier one is ignored */
  #generation = 0;
  #startedAt = 0;
  #restartAt: number | undefined;
  #ending: Promise<void> = Promise.resolve();
  #failures = 0;
  #up = false;
  #told = false;
  #stopped = false;
  /** there is to be no process until `start`, or until a cell needs one */
  #resting = false;
  readonly #units = new ProcessUnits();
  #oneByOne = false;
  #lane: Promise<unknown> = Promise.resolve();
  readonly #users = new Set<(error: NbosError) => void>();
  #syncing: Promise<void> | undefined;
  #applyUntil = Number.POSITIVE_INFINITY;
  #syncAt = 0;
  /** units that the process is loading */
  #loading: readonly Unit[] = [];
  #waiting: { resolve(): void; reject(error: NbosError): void }[] = [];
  #queued: [ClientChannel, JupyterMessage][] = [];

  constructor(of: ProcessOf) {
    this.#of = of;
  }

  get generation(): number {
    return this.#generation;
  }

  get pid(): number {
    return this.#runtime?.pid ?? 0;
  }

  get state(): ProcessState {
    if (this.#resting) return 'resting';
    if (this.#runtime === undefined) return 'dead';
    if (!this.#up) return 'starting';
    return this.#isBehind ? 'behind' : 'ready';
  }

  /** Units that this process could not load. */
  get failed(): Iterable<FailedUnit> {
    return this.#units.failed;
  }

  get #isBehind(): boolean {
    return this.#units.isBehind(this.#of.table(), this.#of.revision());
  }

  /** With a process that was started ahead for it, where there is one. */
  start(): void {
    this.#resting = false;
    this.#failures = 0;
    this.#begin(true);
  }

  #begin(first: boolean): void {
    if (this.#stopped) return;
    this.#resting = false;
    this.#restartAt = undefined;
    const generation = ++this.#generation;
    this.#units.clear();
    this.#up = false;
    this.#told = false;
    this.#startedAt = this.#of.now();
    this.#loading = [];
    this.#lane = Promise.resolve();
    this.#syncing = undefined;
    this.#applyUntil = Number.POSITIVE_INFINITY;
    const runtime = this.#of.make(first);
    this.#runtime = runtime;
    const mine = (): boolean => generation === this.#generation;
    runtime.onMessage = (channel, message) => {
      if (mine()) this.#of.onMessage(channel, message);
    };
    runtime.onSaved = (delta) => {
      if (mine()) this.#of.onSaved(delta);
    };
    runtime.onDeath = (exit) => {
      if (mine()) this.#died(exit);
    };
    runtime.start().then(
      () => mine() && this.#started(),
      (error: unknown) => mine() && this.#startFailed(error),
    );
  }

  #started(): void {
    this.#up = true;
    const queued = this.#queued;
    this.#queued = [];
    for (const [channel, message] of queued) this.#runtime?.send(channel, message);
    this.#sync();
  }

  #startFailed(error: unknown): void {
    this.#discard(error);
    const why = error instanceof Error ? error.message : String(error);
    this.#again(why);
  }

  #died(exit: string): void {
    const early = !this.#up;
    const { log, kernel } = this.#of;
    log.warn({ kernel, exit }, DEATH_LOGGED);
    const begun = this.#runtime?.begun ?? true;
    this.#blame(exit);
    this.#discard(undefined);
    if (early) {
      this.#again(exit);
      return;
    }
    this.#of.onDeath(exit, begun);
    if (this.#generationIsHealthy()) this.#failures = 0;
    this.#again(exit);
  }

  #generationIsHealthy(): boolean {
    return this.#of.now() - this.#startedAt >= this.#of.limits.healthyMs;
  }

  /** Starts another one: at once the first time, later ones with growing waits, then no more. */
  #again(why: string): void {
    if (this.#stopped || this.#restartAt !== undefined) return;
    const { maxStarts, restartMs } = this.#of.limits;
    const failures = this.#failures++;
    if (failures >= maxStarts) {
      const error = new NbosError(
        'kernel-failed',
        `the process of kernel ${this.#of.kernel} ended ${failures + 1} times in a row: ${why}`,
        "Look into the kernel's log with `nbos logs`.",
      );
      this.#settle(error);
      this.#of.onFailed(error);
      return;
    }
    const waitMs = failures === 0 ? 0 : restartMs * 2 ** (failures - 1);
    this.#restartAt = this.#of.now() + waitMs;
    if (waitMs === 0) queueMicrotask(() => this.#restartAt !== undefined && this.#begin(false));
  }

  /** Lets go of the process, and sees that it ends. */
  #discard(why: unknown): void {
    const runtime = this.#runtime;
    this.#runtime = undefined;
    this.#up = false;
    this.#generation++;
    this.#endUses();
    if (why !== undefined)
      this.#of.log.warn({ kernel: this.#of.kernel, err: why }, 'a kernel process is given up');
    runtime?.stop(true).catch((error: unknown) => {
      this.#of.log.warn({ kernel: this.#of.kernel, err: error }, 'a kernel process did not end');
    });
  }

  /** Ends the process and starts a fresh one from the table. */
  restart(): void {
    if (this.#stopped || this.#resting) return;
    this.#discard(undefined);
    this.#failures = 0;
    this.#restartAt = this.#of.now();
    this.#begin(false);
  }

  /** Ends the process as if it had died. */
  crash(exit: string): void {
    if (this.#runtime !== undefined) this.#died(exit);
  }

  tick(): void {
    const now = this.#of.now();
    if (this.#restartAt !== undefined && now >= this.#restartAt) this.#begin(false);
    else if (now >= this.#applyUntil)
      this.#takeOverFailed(
        new NbosError('kernel-timeout', 'taking over changed state took too long'),
      );
    else if (this.#syncAt > 0 && now >= this.#syncAt) this.#sync();
  }

  /** The table changed by another's doing: taken over soon, with what changes until then. */
  changed(): void {
    if (this.#syncAt === 0) this.#syncAt = this.#of.now() + STANDBY_MS;
  }

  /** The table changed by what this process did itself. */
  took(delta: Delta): void {
    this.#units.took(delta);
  }

  /** Resolves once the process has the table as it is. Rejects `kernel-failed`, `kernel-died`. */
  inStep(): Promise<void> {
    if (this.state === 'ready') return Promise.resolve();
    const done = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
    if (this.#resting) this.start();
    else if (this.#runtime === undefined && this.#restartAt === undefined) this.restart();
    else if (this.#up) this.#sync();
    return done;
  }

  /** Work that needs the process for itself, in the order asked. */
  use<Result>(work: (runtime: KernelRuntime) => Promise<Result>): Promise<Result> {
    const generation = this.#generation;
    const result = this.#lane.then(() => {
      if (generation !== this.#generation || this.#runtime === undefined) throw this.#gone();
      return work(this.#runtime);
    });
    this.#lane = result.catch(() => undefined);
    return new Promise<Result>((resolve, reject) => {
      this.#users.add(reject);
      result.then(resolve, reject).finally(() => this.#users.delete(reject));
    });
  }

  #endUses(): void {
    for (const reject of [...this.#users]) reject(this.#gone());
    this.#users.clear();
  }

  #gone(): NbosError {
    return new NbosError('kernel-died', `the process of kernel ${this.#of.kernel} has ended`);
  }

  #sync(): void {
    this.#syncAt = 0;
    if (!this.#up || this.#syncing !== undefined) return;
    if (!this.#isBehind) {
      this.#inStep();
      return;
    }
    const generation = this.#generation;
    const mine = (): boolean => generation === this.#generation;
    const done = this.use((runtime) => this.#takeOver(runtime, mine));
    this.#syncing = done.then(
      () => {
        if (!mine()) return;
        this.#syncing = undefined;
        this.#sync();
      },
      (error: unknown) => {
        if (!mine()) return;
        this.#syncing = undefined;
        this.#takeOverFailed(error);
      },
    );
  }

  async #takeOver(runtime: KernelRuntime, mine: () => boolean): Promise<void> {
    const { units, dropped } = this.#units.wanted(this.#of.table());
    const now = this.#oneByOne ? units.slice(0, 1) : units;
    if (now.length === 0 && dropped.length === 0) return;
    await this.#of.ensure(now);
    if (!mine()) return;
    this.#applyUntil = this.#of.now() + this.#of.limits.applyMs;
    const update = { reset: false, units: now, dropped, count: this.#of.count() };
    this.#loading = now;
    const result = await runtime.apply(update);
    if (!mine()) return;
    this.#loading = [];
    this.#applyUntil = Number.POSITIVE_INFINITY;
    // Upgraded packages that it has loaded would mix with their new files.
    if (result.outdated?.length) return this.restart();
    this.#units.took({ units: now, dropped });
    this.#units.note(result);
  }

  /** State that cannot be had yet is asked for again; else a fresh process is tried. */
  #takeOverFailed(error: unknown): void {
    if (this.#loading.length === 0) {
      this.#of.log.warn({ kernel: this.#of.kernel, err: error }, 'state cannot be had yet');
      this.#syncAt = this.#of.now() + this.#of.limits.restartMs;
      return;
    }
    this.#blame(error instanceof Error ? error.message : String(error));
    this.#discard(error);
    this.#again('it could not take over changed state');
  }

  /** What ended a process while it was loaded is found by loading one at a time, and left out. */
  #blame(message: string): void {
    const loading = this.#loading;
    if (loading.length === 0) return;
    this.#loading = [];
    if (this.#oneByOne) this.#units.shun(loading, message);
    this.#oneByOne = true;
    this.#failures = 0;
  }

  #inStep(): void {
    this.#oneByOne = false;
    if (!this.#told) {
      this.#told = true;
      this.#of.onReady(this.#of.now() - this.#startedAt);
    }
    this.#settle(undefined);
  }

  #settle(error: NbosError | undefined): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { resolve, reject } of waiting) error === undefined ? resolve() : reject(error);
  }

  send(channel: ClientChannel, message: JupyterMessage): void {
    if (this.#up) this.#runtime?.send(channel, message);
    else if (!this.#resting && this.#queued.length < this.#of.limits.maxQueued)
      this.#queued.push([channel, message]);
  }

  async interrupt(): Promise<void> {
    if (this.#up) await this.#runtime?.interrupt();
  }

  pause(): void {
    if (this.#up) this.#runtime?.pause();
  }

  resume(): void {
    if (this.#up) this.#runtime?.resume();
  }

  prioritize(): void {
    this.#runtime?.prioritize();
  }

  /** Ends the process and starts no other before it is asked to. Asked twice, it ends once. */
  rest(): Promise<void> {
    this.#resting = true;
    this.#restartAt = undefined;
    this.#syncAt = 0;
    this.#queued = [];
    // Asked, not killed: files that its user has left open are written.
    if (this.#runtime !== undefined) this.#ending = this.#end(false);
    return this.#ending;
  }

  /** Ends the process for good; `now` without asking it. */
  async stop(now: boolean): Promise<void> {
    this.#stopped = true;
    await Promise.all([this.#ending, this.#end(now)]);
  }

  async #end(now: boolean): Promise<void> {
    const runtime = this.#runtime;
    this.#runtime = undefined;
    this.#up = false;
    this.#generation++;
    this.#settle(this.#gone());
    this.#endUses();
    await runtime?.stop(now);
  }
}
