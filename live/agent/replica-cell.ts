import { NbosError } from '../../core/errors.ts';
import type {
  AbortEntry,
  AbortReason,
  Delta,
  EndEntry,
  LogEntry,
  StartEntry,
  SubmitEntry,
} from '../log/entries.ts';
import type { KernelLog } from '../log/kernel-log.ts';
import type { CellResult } from './kernel/runtime.ts';
import type { ReplicaDevices } from './replica-options.ts';
import type { ReplicaProcess } from './replica-process.ts';

/** What the runner of cells needs of the replica it belongs to. */
export interface RunnerOf {
  readonly process: ReplicaProcess;
  readonly devices: ReplicaDevices;
  /** ms to wait for devices that are not free yet */
  readonly devicesMs: number;
  now(): number;
  /** Rejects as Group.propose. */
  propose(entries: readonly LogEntry[]): Promise<void>;
  /** Whether this START is in force still. */
  inForce(start: StartEntry): boolean;
  /** With changes that are in no entry yet, and the `n` of the last STATE that they make up for. */
  complete(delta: Delta): Promise<{ n: number; delta: Delta }>;
  /** Blobs of a change are on a quorum of hosts when it resolves. */
  save(delta: Delta): Promise<void>;
  /** state as it stands, for a cell whose changes could not be read */
  unchanged(problem: string): Delta;
  /** which variables a lost cell leaves, for the user */
  survivors(): string;
  warn(error: unknown, message: string): void;
  /** A fresh process would have all that this one has. */
  isSettled(): boolean;
  /** Starts a fresh process from the state in the log. */
  restart(): void;
  /** The log has stopped here: another member must decide the cell. */
  abortElsewhere(entry: AbortEntry): void;
}

/** What a running cell is at. Its process may be killed up to `saving`, then it is not needed. */
export type CellPhase = 'preparing' | 'running' | 'saving';

/** A cell whose START names this replica, until the log has decided it. */
export interface CurrentCell {
  readonly start: StartEntry;
  readonly submit: SubmitEntry;
  phase: CellPhase;
  /** those of the host that it has */
  devices: readonly number[];
  /** of the process that runs it */
  generation: number;
  ranAt: number;
  /** number of its last output, -1 for none */
  lastOutput: number;
  /** an ABORT or YIELD of ours is on its way: nothing else is proposed */
  givenUp: boolean;
}

const MILLIS_A_GPU = 1_000;
const RETRY_MS = 100;
const MOST_RETRIES = 1_000_000;

/** Runs the cells that are started on this replica, one at a time, from START to END or ABORT. */
export class CellRunner {
  readonly #of: RunnerOf;
  current: CurrentCell | undefined;
  /** faults asked for: so many cells are yielded, or end their process */
  yields = 0;
  failures = 0;
  #abandoned = '';
  /** who waits to try again */
  #resume: (() => void)[] = [];
  #resumeAt = 0;

  constructor(of: RunnerOf) {
    this.#of = of;
    of.devices.own({ letGo: () => this.#letGo(), end: (why) => of.process.crash(why) });
  }

  /** Another kernel needs devices that this one's process keeps: a fresh one has none of them. */
  #letGo(): boolean {
    if (this.current !== undefined || !this.#of.isSettled()) return false;
    this.#of.restart();
    return true;
  }

  /** The replica leaves this host. */
  stop(): void {
    this.decided();
    this.#of.devices.forget();
  }

  /** START of this replica was applied. */
  begin(start: StartEntry, submit: SubmitEntry): void {
    const cell: CurrentCell = {
      start,
      submit,
      phase: 'preparing',
      devices: [],
      generation: 0,
      ranAt: 0,
      lastOutput: -1,
      givenUp: false,
    };
    this.current = cell;
    this.#run(cell).catch((error: unknown) => {
      this.#of.warn(error, 'a cell could not be run');
      this.giveUp(cell, 'executor-died', 'The cell could not be run: an internal error.');
    });
  }

  /** The log has decided the current cell, or taken it from here. */
  decided(): void {
    if (this.current !== undefined) this.#of.devices.release(this.current.start.cell);
    this.current = undefined;
  }

  async #run(cell: CurrentCell): Promise<void> {
    const from = this.#of.now();
    if (this.yields > 0) {
      this.yields--;
      this.#yield(cell);
      return;
    }
    const result = await this.#reachProcess(cell);
    if (result === undefined || !this.#isCurrent(cell)) return;
    cell.phase = 'saving';
    await this.#end(cell, result, cell.ranAt - from);
  }

  /** A process that ends before the cell has reached it costs the cell nothing but time. */
  async #reachProcess(cell: CurrentCell): Promise<CellResult | undefined> {
    const { process } = this.#of;
    while (this.#isCurrent(cell) && cell.phase === 'preparing') {
      process.prioritize();
      try {
        await process.inStep();
      } catch (error) {
        const why = error instanceof NbosError ? error.message : String(error);
        this.giveUp(cell, 'executor-died', `No process could be started: ${why}.`);
        return undefined;
      }
      if (!this.#isCurrent(cell) || !(await this.#lease(cell))) return undefined;
      const result = await this.#execute(cell);
      if (result?.cuda && cell.generation === process.generation)
        this.#of.devices.bind(cell.devices);
      if (result !== undefined) return result;
    }
    return undefined;
  }

  /** Takes the devices that START names; what cannot be had is yielded, before anything ran. */
  async #lease(cell: CurrentCell): Promise<boolean> {
    const { devices, process, now, devicesMs } = this.#of;
    const { start, submit } = cell;
    const { gpuMillis, vramMb } = submit.need;
    const shared = gpuMillis < MILLIS_A_GPU;
    const asked = { shared, vramMb: vramMb / Math.max(1, start.devices.length) };
    // Their last cell's end may be on its way to this host still.
    const until = now() + devicesMs;
    while (this.#isCurrent(cell)) {
      const taken = devices.take(start.cell, start.devices, asked);
      if (taken === 'restart-process') {
        devices.unbind();
        process.restart();
        await process.inStep();
        continue;
      }
      const isTaken = typeof taken !== 'string';
      if (isTaken) cell.devices = taken;
      if (isTaken && (await this.#open(cell))) return this.#isCurrent(cell);
      if (taken === 'unknown-device' || now() >= until) {
        if (this.#isCurrent(cell)) this.#yield(cell);
        return false;
      }
      await this.#pause();
      // A process that has ended is being started anew.
      if (isTaken) await process.inStep();
    }
    return false;
  }

  /** Lets the process use the cell's devices. False when it cannot, or has just ended. */
  async #open(cell: CurrentCell): Promise<boolean> {
    const { devices, process } = this.#of;
    if (devices.open === undefined || cell.devices.length === 0) return true;
    try {
      await devices.open(process.pid, cell.devices);
      return true;
    } catch (error) {
      this.#of.warn(error, 'devices were not opened');
      return false;
    }
  }

  #isCurrent(cell: CurrentCell): boolean {
    return this.current === cell && !cell.givenUp;
  }

  /** Undefined when the process died: whoever noticed gives the cell up. */
  async #execute(cell: CurrentCell): Promise<CellResult | undefined> {
    const { process } = this.#of;
    const { start, submit } = cell;
    const { attempt, count } = start;
    cell.generation = process.generation;
    const devices = cell.devices.map((id) => this.#of.devices.nameOf(id));
    const run = { cell: start.cell, attempt, count, devices, request: submit };
    try {
      return await process.use((runtime) => {
        if (!this.#isCurrent(cell)) throw new NbosError('kernel-died', 'the cell was given up');
        cell.phase = 'running';
        cell.ranAt = this.#of.now();
        const result = runtime.run(run);
        if (this.failures > 0) {
          this.failures--;
          queueMicrotask(() => process.crash('ended by a fault that was asked for'));
        }
        return result;
      });
    } catch (error) {
      if (!this.#isCurrent(cell) || cell.phase === 'preparing') return undefined;
      this.#of.warn(error, 'a running cell was lost');
      const why = error instanceof Error ? error.message : String(error);
      if (process.generation === cell.generation) process.crash(why);
      this.died(why);
      return undefined;
    }
  }

  async #end(cell: CurrentCell, result: CellResult, prepareMs: number): Promise<void> {
    const { reply, helperError, runMs, captureMs } = result;
    const own = result.delta ?? this.#of.unchanged(helperError);
    const savedFrom = this.#of.now();
    let whole = { n: 0, delta: own };
    const saved = await this.#untilDecided(cell, async () => {
      whole = await this.#of.complete(own);
      await this.#of.save(whole.delta);
    });
    if (!saved) return;
    const saveMs = this.#of.now() - savedFrom;
    const { cell: number, attempt, epoch } = cell.start;
    const entry: EndEntry = {
      v: 1,
      type: 'end',
      cell: number,
      attempt,
      epoch,
      reply: { content: textOf(reply.content), metadata: textOf(reply.metadata) },
      lastOutput: cell.lastOutput,
      ...whole,
      timings: { prepareMs, runMs, captureMs, saveMs },
    };
    try {
      await this.#untilDecided(cell, () => this.#of.propose([entry]));
    } catch (error) {
      this.giveUp(cell, 'executor-died', `The cell's result was refused: ${String(error)}.`);
    }
  }

  /**
   * The process ended while the current cell needed it: a cell that had not begun runs elsewhere.
   * True when there was such a cell.
   */
  died(exit: string, begun = true): boolean {
    const cell = this.current;
    if (cell === undefined || cell.phase !== 'running' || cell.givenUp) return false;
    if (!begun) {
      this.#yield(cell);
      return true;
    }
    const message = `The kernel process died (${exit}) while this cell ran. ${this.#of.survivors()}`;
    this.giveUp(cell, 'executor-died', message);
    return true;
  }

  /** Interrupts a cell that has not reached its process. True when there is one. */
  interruptEarly(): boolean {
    const cell = this.current;
    if (cell === undefined || cell.phase !== 'preparing') return false;
    this.giveUp(cell, 'interrupted', 'The cell was interrupted before it ran.');
    return true;
  }

  /** Proposes ABORT until the log has decided one way or the other. */
  giveUp(cell: CurrentCell, reason: AbortReason, message: string): void {
    cell.givenUp = true;
    this.#abort(cell.start, reason, message);
  }

  /** Gives up a cell whose START names this replica, but that no process of this life runs. */
  abandonOld({ running }: KernelLog, member: number): void {
    const start = running?.start;
    if (start === undefined || start.executor !== member) return;
    const key = `${start.cell}/${start.attempt}/${start.epoch}`;
    if (this.#abandoned === key) return;
    this.#abandoned = key;
    const message = `The kernel's host was restarted while this cell ran. ${this.#of.survivors()}`;
    this.#abort(start, 'executor-died', message);
  }

  #abort({ cell, attempt, epoch, ...start }: StartEntry, reason: AbortReason, message: string) {
    const entry: AbortEntry = { v: 1, type: 'abort', cell, attempt, epoch, reason, message };
    this.#untilSettled({ cell, attempt, epoch, ...start }, () => this.#of.propose([entry])).catch(
      (error: unknown) => {
        this.#of.warn(error, 'a cell could not be aborted here');
        this.#of.abortElsewhere(entry);
      },
    );
  }

  #yield(current: CurrentCell): void {
    current.givenUp = true;
    const { start } = current;
    const { cell, attempt, epoch } = start;
    const entry: LogEntry = { v: 1, type: 'yield', cell, attempt, epoch };
    this.#untilSettled(start, () => this.#of.propose([entry])).catch((error: unknown) =>
      this.#of.warn(error, 'a cell could not be yielded'),
    );
  }

  /** Tries again while the cell is this replica's to end; false when it is not any more. */
  async #untilDecided(cell: CurrentCell, work: () => Promise<void>): Promise<boolean> {
    return this.#retry(() => this.#isCurrent(cell) && this.#of.inForce(cell.start), work);
  }

  async #untilSettled(start: StartEntry, work: () => Promise<void>): Promise<void> {
    await this.#retry(() => this.#of.inForce(start), work);
  }

  async #retry(while_: () => boolean, work: () => Promise<void>): Promise<boolean> {
    for (let tries = 0; tries < MOST_RETRIES && while_(); tries++) {
      try {
        await work();
        return true;
      } catch (error) {
        if (error instanceof NbosError && FINAL.has(error.code)) throw error;
        this.#of.warn(error, 'tried again');
        await this.#pause();
      }
    }
    return false;
  }

  #pause(): Promise<void> {
    this.#resumeAt = this.#of.now() + RETRY_MS;
    return new Promise((resume) => this.#resume.push(resume));
  }

  tick(): void {
    this.#of.devices.watch(this.#of.process.pid, this.#of.now());
    if (this.#resume.length === 0 || this.#of.now() < this.#resumeAt) return;
    const resume = this.#resume;
    this.#resume = [];
    for (const each of resume) each();
  }
}

/** Refusals that trying again does not change. */
const FINAL: ReadonlySet<string> = new Set(['replica-stopped', 'entry-too-large']);

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}
