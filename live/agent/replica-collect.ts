import type { Delta, LogEntry, StateEntry } from '../log/entries.ts';
import type { KernelLog } from '../log/kernel-log.ts';
import type { ReplicaLimits } from './replica-options.ts';
import type { ReplicaProcess } from './replica-process.ts';
import { mergeDeltas } from './replica-table.ts';

/** What the collector needs of the replica it belongs to. */
export interface CollectorOf {
  readonly process: ReplicaProcess;
  readonly limits: ReplicaLimits;
  now(): number;
  log(): KernelLog;
  member(): number;
  /** no cell is here */
  idle(): boolean;
  /** So that it fits into an entry. */
  fitting(delta: Delta): Promise<Delta>;
  save(delta: Delta): Promise<void>;
  propose(entries: readonly LogEntry[]): Promise<void>;
  warn(error: unknown, message: string): void;
}

/**
 * Changes that no END brings: what timers and threads do between cells, and saves inside one. The
 * process tells each change once, so one whose STATE is lost goes along with the next END.
 */
export class ReplicaCollector {
  readonly #of: CollectorOf;
  #unconfirmed: { n: number; delta: Delta }[] = [];
  #n = 0;
  #at: number | undefined;
  #asking = false;

  constructor(of: CollectorOf) {
    this.#of = of;
  }

  /** The process has changes that no entry has. */
  get isAhead(): boolean {
    return this.#unconfirmed.length > 0;
  }

  /** `n` of the latest STATE, for an END that makes up for it. */
  get n(): number {
    return this.#n;
  }

  /** An END of this process was applied, with the changes up to STATE `n` in it. */
  afterCell(n: number): void {
    this.#unconfirmed = this.#unconfirmed.filter((each) => each.n > n);
    this.#at = this.#of.now() + this.#of.limits.collectAfterMs;
  }

  tick(isExecutor: boolean): void {
    if (this.#at === undefined || this.#of.now() < this.#at || this.#asking) return;
    if (!isExecutor) {
      this.#at = undefined;
      return;
    }
    if (!this.#of.idle() || this.#of.process.state !== 'ready') return;
    this.#at = undefined;
    this.#asking = true;
    this.#ask()
      .catch((error: unknown) => this.#of.warn(error, 'changes between cells were not read'))
      .finally(() => {
        this.#asking = false;
        if (this.#of.log().pinned.length > 0)
          this.#at ??= this.#of.now() + this.#of.limits.collectEveryMs;
      });
  }

  async #ask(): Promise<void> {
    const { process } = this.#of;
    const { generation } = process;
    const delta = await process.use((runtime) => runtime.collect());
    if (delta !== null && generation === process.generation) await this.#propose(delta);
  }

  /** A save that the user asked for inside a cell. */
  found(delta: Delta): void {
    this.#propose(delta).catch((error: unknown) => this.#of.warn(error, 'a save was not kept'));
  }

  async #propose(delta: Delta): Promise<void> {
    const log = this.#of.log();
    this.#n = Math.max(this.#n + 1, log.applied);
    const n = this.#n;
    this.#unconfirmed.push({ n, delta });
    const { epoch } = log;
    const whole = await this.#of.fitting(delta);
    await this.#of.save(whole);
    const executor = this.#of.member();
    const entry: StateEntry = { v: 1, type: 'state', epoch, executor, n, delta: whole };
    if (this.#unconfirmed.some((each) => each.n === n)) await this.#of.propose([entry]);
  }

  /** Its STATE was applied. False for one of another life. */
  confirmed(n: number | undefined): boolean {
    const before = this.#unconfirmed.length;
    this.#unconfirmed = this.#unconfirmed.filter((each) => each.n !== n);
    return this.#unconfirmed.length < before;
  }

  /** A cell's changes with those that came before and are in no entry. */
  complete(delta: Delta): Delta {
    return this.#unconfirmed.reduceRight((later, each) => mergeDeltas(each.delta, later), delta);
  }

  /** The process is gone: nothing of before is ours to tell. */
  forget(): void {
    this.#unconfirmed = [];
    this.#at = undefined;
  }
}
