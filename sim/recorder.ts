import { delayOf, type Execution, STEP } from '../core/books/execution-book.ts';
import type { Config } from '../core/config/options.ts';
import type { Effect, Fact } from '../core/effects.ts';
import type { Event } from '../core/events.ts';
import { type CellFacts, cellRow, type Field, tctOf } from '../core/record/cell-row.ts';
import { advanceTotals, type Totals } from '../core/record/totals.ts';
import type { State } from '../core/state.ts';
import type { CsvWriter } from '../traces/csv.ts';
import type { Trace } from '../traces/trace.ts';
import { CellStatistics } from './cell-statistics.ts';
import type { Observer } from './engine.ts';
import type { Timeline } from './timeline.ts';

export interface RecorderTargets {
  readonly cells?: CsvWriter | undefined;
  readonly events?: CsvWriter | undefined;
  readonly timeline?: Timeline | undefined;
  /** cells of which sessions the measures of cells count; default: all */
  readonly counts?: ((session: number) => boolean) | undefined;
}

/** One entry of the explanation of a cell. */
export interface Explained extends Fact {
  readonly at: number;
}

/**
 * Watches a run and keeps what the reports need: rows of cells and events stream out, sums per
 * session and one column per measure stay.
 */
export class Recorder implements Observer {
  readonly statistics = new CellStatistics();
  readonly explained: Explained[] = [];
  aborted = 0;
  rejected = 0;
  unfinished = 0;
  busyGpuMs = 0;
  /** the part of it before the horizon */
  busyGpuMsInHorizon = 0;
  /** totals at the horizon; undefined until it is reached */
  atHorizon: Totals | undefined;
  readonly completedCells: Uint32Array;
  readonly submittedCells: Uint32Array;
  readonly busyGpuMsOf: Float64Array;
  readonly delaySum: Float64Array;
  readonly delayMax: Float64Array;
  readonly tctSum: Float64Array;
  readonly lostSum: Float64Array;
  readonly closedAt: Float64Array;
  private readonly trace: Trace;
  private readonly config: Config;
  private readonly horizonMs: number;
  private readonly targets: RecorderTargets;
  private readonly row: Field[] = [];
  private readonly facts: { -readonly [K in keyof CellFacts]: CellFacts[K] };
  private state: State | undefined;

  constructor(trace: Trace, config: Config, horizonMs: number, targets: RecorderTargets) {
    this.trace = trace;
    this.config = config;
    this.horizonMs = horizonMs;
    this.targets = targets;
    const { count } = trace.sessions;
    this.completedCells = new Uint32Array(count);
    this.submittedCells = new Uint32Array(count);
    this.busyGpuMsOf = new Float64Array(count);
    this.delaySum = new Float64Array(count);
    this.delayMax = new Float64Array(count);
    this.tctSum = new Float64Array(count);
    this.lostSum = new Float64Array(count);
    this.closedAt = new Float64Array(count).fill(-1);
    this.facts = {
      sessionId: '',
      durationMs: 0,
      cpuMillis: 0,
      memoryMb: 0,
      gpuMillis: 0,
      vramMb: 0,
      status: 'completed',
      warmup: false,
    };
  }

  /** Tells it whose state it watches; called once, before the first event. */
  watch(state: State): void {
    this.state = state;
  }

  before(at: number): void {
    if (at > this.horizonMs && this.atHorizon === undefined) this.takeHorizon();
    this.targets.timeline?.before(at, this.state);
  }

  after(event: Event, effects: readonly Effect[]): void {
    if (event.kind === 'cell-submitted') this.submittedCells[event.session]!++;
    for (let i = 0; i < effects.length; i++) {
      const effect = effects[i]!;
      if (effect.kind === 'reply') {
        this.reply(effect.execution, effect.status, event.at);
      } else if (effect.kind === 'fact') {
        this.fact(effect, event.at);
      } else if (effect.kind === 'execute' && this.targets.events !== undefined) {
        const { host, session, cell, gpuMillis } = effect;
        this.event(event.at, 'start', host, session, cell, gpuMillis, `replica ${effect.replica}`);
      }
    }
    if (event.kind === 'session-closed') this.noteClosed(event.session, event.at);
  }

  /** Counts what was under way when a run was cut at `at`. */
  cut(at: number, runMsOf: (execution: Execution) => number): void {
    for (const execution of this.state!.executions.slots) {
      if (execution.state === 'done') continue;
      const runMs = Math.max(0, runMsOf(execution));
      if (execution.state === 'running' || execution.state === 'suspending') {
        execution.steps[STEP.run]! += runMs;
      } else if (execution.state !== 'replying') {
        execution.steps[execution.step]! += at - execution.stepSince;
      }
      this.unfinished++;
      const ranMs = execution.steps[STEP.run]!;
      const gpuMs = ranMs * this.gpuMillisOf(execution);
      this.addBusy(gpuMs, at, ranMs);
      this.busyGpuMsOf[execution.session]! += gpuMs;
      this.writeCell(execution, 'unfinished');
    }
  }

  /** Takes the totals at the horizon, if the run ended before it. */
  finish(): void {
    if (this.atHorizon === undefined) this.takeHorizon();
    this.targets.timeline?.finish(this.state);
  }

  private takeHorizon(): void {
    this.atHorizon = { ...this.state!.totals };
    advanceTotals(this.atHorizon, this.horizonMs, this.config.replicas);
  }

  /** Counts GPU-ms of user code that ran for `ranMs` up to `endedAt`. */
  private addBusy(gpuMs: number, endedAt: number, ranMs: number): void {
    this.busyGpuMs += gpuMs;
    const beyond = Math.min(ranMs, Math.max(0, endedAt - this.horizonMs));
    this.busyGpuMsInHorizon += beyond === 0 ? gpuMs : gpuMs * (1 - beyond / ranMs);
  }

  private gpuMillisOf(execution: Readonly<Execution>): number {
    const { sessions, cells, shapes } = this.trace;
    return shapes[cells.shape[sessions.firstCell[execution.session]! + execution.cell]!]!.gpuMillis;
  }

  private reply(
    execution: Readonly<Execution>,
    status: 'completed' | 'aborted' | 'rejected',
    at: number,
  ): void {
    const { session, cell } = execution;
    const { sessions, cells } = this.trace;
    const durationMs = cells.durationMs[sessions.firstCell[session]! + cell]!;
    const gpuMillis = this.gpuMillisOf(execution);
    this.lostSum[session]! += execution.steps[STEP.lost]!;
    if (status === 'completed') {
      const first = this.completedCells[session] === 0;
      this.completedCells[session]!++;
      const busy = durationMs * gpuMillis;
      const { steps } = execution;
      const after = steps[STEP.device_unload]! + steps[STEP.state_commit]! + steps[STEP.reply]!;
      this.addBusy(busy, at - after, steps[STEP.run]!);
      this.busyGpuMsOf[session]! += busy;
      const delay = delayOf(execution);
      this.delaySum[session]! += delay;
      if (delay > this.delayMax[session]!) this.delayMax[session] = delay;
      this.tctSum[session]! += tctOf(execution);
      if (this.targets.counts?.(session) ?? true)
        this.statistics.add(execution, gpuMillis, durationMs, first);
    } else if (status === 'aborted') {
      this.aborted++;
    } else {
      this.rejected++;
    }
    if (this.targets.cells !== undefined) this.writeCell(execution, status);
    if (this.targets.events !== undefined) {
      this.event(at, 'reply', execution.ranOn, session, cell, gpuMillis, status);
    }
    this.noteClosed(session, at);
  }

  private writeCell(execution: Readonly<Execution>, status: CellFacts['status']): void {
    const { cells } = this.targets;
    if (cells === undefined) return;
    const { trace, facts } = this;
    const index = trace.sessions.firstCell[execution.session]! + execution.cell;
    const shape = trace.shapes[trace.cells.shape[index]!]!;
    facts.sessionId = trace.sessions.ids[execution.session]!;
    facts.durationMs = trace.cells.durationMs[index]!;
    facts.cpuMillis = shape.cpuMillis;
    facts.memoryMb = shape.memoryMb;
    facts.gpuMillis = shape.gpuMillis;
    facts.vramMb = shape.vramMb;
    facts.status = status;
    facts.warmup = execution.submittedAt < this.config.warmupMs;
    cells.row(cellRow(this.row, execution, facts));
  }

  private noteClosed(session: number, at: number): void {
    if (this.closedAt[session] === -1 && this.state!.sessions[session]?.state === 'closed') {
      this.closedAt[session] = at;
    }
  }

  private fact(fact: Fact, at: number): void {
    const { explain } = this.state!;
    if (explain !== null && explain.session === fact.session && explain.cell === fact.cell) {
      this.explained.push({ ...fact, at });
    }
    if (this.targets.events === undefined) return;
    const { host, session, cell, gpuMillis, detail } = fact;
    this.event(at, fact.fact, host, session, cell, gpuMillis, detail);
  }

  private event(
    at: number,
    name: string,
    host: number,
    session: number,
    cell: number,
    gpuMillis: number,
    detail: string,
  ): void {
    const id = session === -1 ? '' : this.trace.sessions.ids[session]!;
    this.targets.events!.row([at, name, host, id, cell, gpuMillis / 1000, detail]);
  }
}
