import type { Config } from '../core/config/options.ts';
import type {
  Effect,
  Execute,
  JoinReplica,
  ProvisionHost,
  StartContainer,
} from '../core/effects.ts';
import { TIMER_KINDS } from '../core/events.ts';
import type { Trace } from '../traces/trace.ts';
import type { FaultPlan } from './faults.ts';
import type { EventHeap } from './heap.ts';
import { type Latencies, POOL } from './latency.ts';
import { MOMENT, PRIORITY } from './moments.ts';
import { newRun, type Run } from './run.ts';
import { SessionTraits } from './session-traits.ts';

/**
 * The hosts, containers and stores of the simulator: answers each effect with its outcome after a
 * drawn delay. It decides nothing.
 */
export class SimCluster {
  /** runs under way, by execution slot */
  readonly runs: Run[] = [];
  /** parts of the joins under way, by container */
  readonly joins = new Map<number, { migrationMs: number; stateReadMs: number }>();
  /** sessions whose next elections fail, with how many */
  readonly yieldNext = new Map<number, number>();
  private readonly config: Config;
  private readonly trace: Trace;
  private readonly heap: EventHeap;
  private readonly latencies: Latencies;
  private readonly faults: FaultPlan;
  private readonly traits: SessionTraits;
  /** work done before a suspension, per session, ms at rate 1 */
  private readonly workDone: Float64Array;
  /** last cell whose run ended, per session; -1 before the first */
  private readonly lastCell: Int32Array;
  /** container of the last executor, per session; -1 before the first */
  private readonly lastExecutor: Int32Array;
  /** when a container was last left by a cell */
  private readonly leftAt = new Map<number, number>();
  /** when each data set is on each host, by host x data sets + data set */
  private readonly datasetReady = new Map<number, number>();
  private readonly hasFaults: boolean;
  private readonly renews: boolean;

  constructor(
    config: Config,
    trace: Trace,
    heap: EventHeap,
    latencies: Latencies,
    faults: FaultPlan,
  ) {
    this.config = config;
    this.trace = trace;
    this.heap = heap;
    this.latencies = latencies;
    this.faults = faults;
    this.traits = new SessionTraits(trace, latencies);
    this.workDone = new Float64Array(trace.sessions.count);
    this.lastCell = new Int32Array(trace.sessions.count).fill(-1);
    this.lastExecutor = new Int32Array(trace.sessions.count).fill(-1);
    this.renews = config.renewalMs.length > 0;
    this.hasFaults = config.containerFailureShare > 0 || config.yieldShare > 0;
  }

  /** Does what an effect says; its outcome is an event in the heap. */
  perform(effect: Effect, now: number): void {
    switch (effect.kind) {
      case 'execute':
        this.execute(effect, now);
        break;
      case 'set-timer':
        this.heap.push(
          effect.at,
          effect.timer === 'scaling' ? PRIORITY.scaling : PRIORITY.timer,
          MOMENT.timer,
          TIMER_KINDS.indexOf(effect.timer),
          effect.key,
        );
        break;
      case 'start-container':
        this.startContainer(effect, now);
        break;
      case 'join-replica':
        this.joinReplica(effect, now);
        break;
      case 'provision-host':
        this.provision(effect, now);
        break;
      case 'release-host':
        this.push(now + this.latencies.hostStopMs(effect.host), MOMENT.hostReleased, effect.host);
        break;
      case 'set-rate':
        this.setRate(effect.execution, effect.ticket, effect.rate, now);
        break;
      case 'suspend':
        this.suspend(effect.execution, effect.ticket, now);
        break;
      case 'abort':
        this.runs[effect.execution]!.ticket = 0;
        this.workDone[this.runs[effect.execution]!.session] = 0;
        break;
      case 'reply':
        this.workDone[effect.session] = 0;
        break;
      default: // stopping containers, checkpoints and facts take no simulated time
    }
  }

  private push(at: number, kind: number, a: number, b = 0): void {
    this.heap.push(at, PRIORITY.outcome, kind, a, b);
  }

  private provision({ host }: ProvisionHost, now: number): void {
    const fails = this.faults.scaleOutFails(host, now);
    const at = now + this.latencies.hostStartMs(host);
    this.push(at, fails ? MOMENT.hostFailed : MOMENT.hostUp, host);
  }

  private startContainer(effect: StartContainer, now: number): void {
    const { session, container, host, cell, attempt, start } = effect;
    // Pool containers are told apart by their ordinal, the others by what they are for.
    const [a, b, c] = session === -1 ? [POOL, container, 0] : [session, cell, attempt];
    if (session !== -1) this.fetchDataset(session, Math.max(0, cell), host, now);
    let ms = 0;
    if (start !== 'same' && session !== -1 && cell === -1)
      ms = this.latencies.openingStartMs(start, a, b, c);
    else if (start === 'cold') ms = this.latencies.coldStartMs(a, b, c);
    else if (start === 'prewarmed') {
      const idleMs = now - (this.leftAt.get(container) ?? Number.NEGATIVE_INFINITY);
      const isReady = this.latencies.renewalMs(a, b, c) <= idleMs;
      ms = isReady ? this.latencies.prewarmedStartMs(a, b, c) : this.latencies.coldStartMs(a, b, c);
    }
    ms = Math.round(ms * this.faults.slowStartFactorAt(now));
    const fails = this.hasFaults && this.faults.containerStartFails(a, b, c);
    this.push(now + ms, fails ? MOMENT.containerFailed : MOMENT.containerStarted, container);
  }

  /** Starts the download of the session's data set to the host, unless it is there or coming. */
  private fetchDataset(session: number, cell: number, host: number, now: number): number {
    const { firstCell } = this.trace.sessions;
    if (firstCell[session + 1]! === firstCell[session]!) return now;
    const dataset = this.traits.dataset(session, cell);
    const key = host * this.latencies.datasets.length + dataset;
    const known = this.datasetReady.get(key);
    if (known !== undefined) return known;
    const starts = this.faults.storeServesAtMs(now);
    const ready = starts + this.latencies.datasetDownloadMs(dataset, session, host);
    this.datasetReady.set(key, ready);
    return ready;
  }

  private joinReplica(effect: JoinReplica, now: number): void {
    const { session, cell, attempt, container } = effect;
    const migrationMs = effect.commits
      ? this.latencies.migrationCommitsMs(this.config.replicas, session, cell, attempt)
      : 0;
    let stateReadMs = 0;
    if (effect.readState) {
      const bytes = this.traits.stateBytes(session, this.lastCell[session]!);
      const starts = this.faults.storeServesAtMs(now + migrationMs) - now - migrationMs;
      stateReadMs = starts + this.latencies.stateReadMs(bytes, session, cell, attempt);
    }
    this.joins.set(container, { migrationMs, stateReadMs });
    this.push(now + migrationMs + stateReadMs, MOMENT.replicaJoined, container);
  }

  private execute(effect: Execute, now: number): void {
    const { session, cell, attempt, execution, ticket, host } = effect;
    let run = this.runs[execution];
    if (run === undefined) {
      run = newRun();
      this.runs[execution] = run;
    }
    run.ticket = ticket;
    run.session = session;
    run.cell = cell;
    run.attempt = attempt;
    run.container = effect.container;
    run.host = host;
    run.executedAt = now;
    run.voters = effect.voters;
    run.writeState = effect.writeState;
    const changes = this.lastExecutor[session] !== effect.container;
    const { voters } = effect;
    run.electionMs = this.latencies.electionMs(voters, session, cell, attempt, changes);
    if (this.yields(effect)) {
      run.releaseAt = -1;
      this.push(now + run.electionMs, MOMENT.yielded, execution, ticket);
      return;
    }
    this.lastExecutor[session] = effect.container;
    run.stateReadMs = this.stateReadMs(effect, now);
    const model = this.traits.model(session, cell);
    run.deviceLoadMs =
      effect.loadDevice && effect.gpuMillis > 0 ? this.latencies.deviceLoadMs(model) : 0;
    run.deviceUnloadMs =
      effect.unloadDevice && effect.gpuMillis > 0 ? this.latencies.deviceUnloadMs(model) : 0;
    run.startAt = now + run.stateReadMs + run.electionMs + run.deviceLoadMs;
    run.workMs = this.durationMs(session, cell) - this.workDone[session]!;
    run.doneMs = 0;
    run.rate = effect.rate;
    run.rateSince = run.startAt;
    this.scheduleEnd(execution, run);
  }

  private yields(effect: Execute): boolean {
    const { session, cell, attempt, voters } = effect;
    if (voters === 0) return false;
    const left = this.yieldNext.get(session);
    if (left !== undefined) {
      if (left > 1) this.yieldNext.set(session, left - 1);
      else this.yieldNext.delete(session);
      return true;
    }
    return this.hasFaults && this.faults.yields(session, cell, attempt * 8 + effect.replica);
  }

  /** Reading state, or waiting for the data set: whichever takes longer. */
  private stateReadMs(effect: Execute, now: number): number {
    const { session, cell, attempt, host } = effect;
    const datasetMs = Math.max(0, this.fetchDataset(session, cell, host, now) - now);
    if (!effect.readState) return datasetMs;
    const bytes = this.traits.stateBytes(session, this.lastCell[session]!);
    const waits = this.faults.storeServesAtMs(now) - now;
    const readMs = waits + this.latencies.stateReadMs(bytes, session, cell, attempt);
    return Math.max(datasetMs, readMs);
  }

  private durationMs(session: number, cell: number): number {
    return this.trace.cells.durationMs[this.trace.sessions.firstCell[session]! + cell]!;
  }

  private scheduleEnd(execution: number, run: Run): void {
    run.endAt = Math.round(run.rateSince + (run.workMs - run.doneMs) / run.rate);
    run.writeMs = 0;
    if (run.writeState === 'critical')
      run.writeMs = this.writeMs(run, run.endAt + run.deviceUnloadMs);
    else if (this.config.releaseAfter === 'commit') run.writeMs = this.smallCommitMs(run);
    run.releaseAt = run.endAt + run.deviceUnloadMs + run.writeMs;
    this.push(run.releaseAt, MOMENT.released, execution, run.ticket);
  }

  private writeMs(run: Run, at: number): number {
    const bytes = this.traits.stateBytes(run.session, run.cell);
    const waits = this.faults.storeServesAtMs(at) - at;
    return waits + this.latencies.stateWriteMs(bytes, run.session, run.cell, run.attempt);
  }

  /** The commit of small state, where the reply is after it; the log of one replica has its own. */
  private smallCommitMs({ session, cell, attempt, voters, writeState }: Run): number {
    const isCommitted = writeState === 'background' || (writeState === 'none' && voters <= 1);
    if (!isCommitted || this.config.replyAfter === 'run') return 0;
    return this.latencies.raftCommitMs(voters, session, cell, attempt);
  }

  /** Schedules the reply of a run that has just been released. */
  released(execution: number, run: Run, now: number): void {
    const { session, cell, attempt } = run;
    this.lastCell[session] = cell;
    if (this.renews) this.leftAt.set(run.container, now);
    run.commitMs = this.config.releaseAfter === 'commit' ? 0 : this.smallCommitMs(run);
    if (run.writeState === 'background' && this.config.replyAfter === 'write') {
      run.commitMs += this.writeMs(run, now + run.commitMs);
    }
    run.replyMs = this.latencies.replyHopMs(session, cell, attempt);
    run.releaseAt = -1;
    this.push(now + run.commitMs + run.replyMs, MOMENT.replied, execution, run.ticket);
  }

  private setRate(execution: number, ticket: number, rate: number, now: number): void {
    const run = this.runs[execution]!;
    // Once user code has ended, only unloading is left, which has no rate.
    if (run.ticket !== ticket || now >= run.endAt) return;
    if (now > run.rateSince) {
      run.doneMs += (now - run.rateSince) * run.rate;
      run.rateSince = now;
    }
    run.rate = rate;
    this.scheduleEnd(execution, run);
  }

  private suspend(execution: number, ticket: number, now: number): void {
    const run = this.runs[execution]!;
    if (run.ticket !== ticket || now >= run.endAt) return; // it is ending by itself
    if (now < run.startAt) {
      // User code has not begun: what was under way is cut short.
      run.stateReadMs = Math.min(run.stateReadMs, now - run.executedAt);
      const read = run.stateReadMs;
      run.electionMs = Math.min(run.electionMs, now - run.executedAt - read);
      run.deviceLoadMs = now - run.executedAt - read - run.electionMs;
      run.startAt = now;
      run.endAt = now;
    } else {
      run.doneMs += (now - run.rateSince) * run.rate;
      run.endAt = now;
    }
    this.workDone[run.session]! += run.doneMs;
    run.releaseAt = -1;
    const writeMs = this.writeMs(run, now + run.deviceUnloadMs);
    this.push(now + run.deviceUnloadMs + writeMs, MOMENT.suspended, execution, ticket);
  }

  /** A host is gone, with the data sets on it. */
  forgetHost(host: number): void {
    const count = this.latencies.datasets.length;
    for (let dataset = 0; dataset < count; dataset++) {
      this.datasetReady.delete(host * count + dataset);
    }
  }
}
