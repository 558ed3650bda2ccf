import type { Config } from '../core/config/options.ts';
import type { Effect } from '../core/effects.ts';
import { type Event, TIMER_KINDS } from '../core/events.ts';
import type { Policy } from '../core/policies/policy.ts';
import { Core } from '../core/scheduler.ts';
import type { CoreOptions } from '../core/state.ts';
import type { Trace } from '../traces/trace.ts';
import { SimCluster } from './cluster.ts';
import { DEVICE_EXCLUDED_MS, FaultPlan } from './faults.ts';
import { EventHeap } from './heap.ts';
import { Latencies } from './latency.ts';
import { MOMENT, PRIORITY } from './moments.ts';
import { Workload } from './workload.ts';

/** Sees everything that happens in a run, in order. */
export interface Observer {
  /** Time moves on to `at`; the state is that after all events before it. */
  before(at: number): void;
  /** An event was taken and answered with these effects. */
  after(event: Event, effects: readonly Effect[]): void;
}

export interface EngineOptions extends CoreOptions {
  /** check the invariants after every step */
  readonly check?: boolean;
}

/**
 * One simulation: pops the next event, lets the core decide, performs the effects. Virtual time is
 * the heap's; nothing else has a clock.
 */
export class Engine {
  readonly core: Core;
  readonly cluster: SimCluster;
  readonly workload: Workload;
  events = 0;
  effects = 0;
  replies = 0;
  private readonly trace: Trace;
  private readonly heap = new EventHeap();
  private readonly faults: FaultPlan;
  private readonly check: boolean;
  private readonly observer: Observer;
  private readonly gpuTypes: readonly string[];
  private readonly randomFaults: boolean;
  /** random faults, and returns of devices, that are in the heap */
  private pendingFaults = 0;

  constructor(
    trace: Trace,
    policy: Policy,
    config: Config,
    observer: Observer,
    options: EngineOptions = {},
  ) {
    this.trace = trace;
    this.check = options.check ?? false;
    this.observer = observer;
    this.gpuTypes = trace.gpuTypes;
    this.core = Core.create(config, policy, options);
    const latencies = new Latencies(config);
    this.faults = new FaultPlan(config);
    this.cluster = new SimCluster(config, trace, this.heap, latencies, this.faults);
    this.randomFaults =
      config.hostLossPerDay > 0 ||
      config.deviceExcludedPerDay > 0 ||
      config.containerCrashPerDay > 0;
    this.faults.scheduled.forEach((fault, index) => {
      this.heap.push(fault.atMs, PRIORITY.fault, MOMENT.fault, index, 0);
    });
    this.dispatch({ kind: 'cluster-started', at: 0 });
    this.workload = new Workload(trace, config, this.heap, latencies);
  }

  /**
   * Handles up to `most` events, none later than `until`. False once nothing is left to do.
   */
  advance(most: number, until: number): boolean {
    for (let left = most; left > 0; left--) {
      if (this.heap.peekAtMs() > until || !this.heap.pop()) return false;
      const at = this.heap.atMs;
      this.moment(this.heap.kind, this.heap.a, this.heap.b, at);
      if (this.core.state.held && !this.hasMore(at)) this.dispatch({ kind: 'moment-ended', at });
    }
    return true;
  }

  /** Whether more that may free or ask for GPUs happens at this moment. */
  private hasMore(at: number): boolean {
    return this.heap.peekAtMs() === at && this.heap.peekPriority() <= PRIORITY.cell;
  }

  private dispatch(event: Event): void {
    const { at } = event;
    this.observer.before(at);
    const effects = this.core.step(event);
    this.events++;
    this.effects += effects.length;
    // Indexed: performing an effect never adds to the list, and this loop runs for every event.
    for (let i = 0; i < effects.length; i++) {
      const effect = effects[i]!;
      this.cluster.perform(effect, at);
      if (effect.kind === 'reply') {
        this.replies++;
        this.workload.replied(effect.session, effect.cell, at);
      }
    }
    if (this.check) this.core.check();
    this.observer.after(event, effects);
  }

  private moment(kind: number, a: number, b: number, at: number): void {
    switch (kind) {
      case MOMENT.cell:
        this.cellArrives(a, b, at);
        break;
      case MOMENT.released:
        this.release(a, b, at);
        break;
      case MOMENT.replied: {
        const run = this.cluster.runs[a]!;
        if (run.ticket !== b) return;
        this.dispatch({
          kind: 'execution-replied',
          at,
          execution: a,
          ticket: b,
          stateCommitMs: run.commitMs,
          replyMs: run.replyMs,
        });
        break;
      }
      case MOMENT.containerStarted:
        this.dispatch({ kind: 'container-started', at, container: a });
        break;
      case MOMENT.timer:
        this.dispatch({ kind: 'timer', at, timer: TIMER_KINDS[a]!, key: b });
        break;
      case MOMENT.replicaJoined: {
        const parts = this.cluster.joins.get(a)!;
        this.cluster.joins.delete(a);
        this.dispatch({ kind: 'replica-joined', at, container: a, ...parts });
        break;
      }
      case MOMENT.sessionOpen:
        this.openSession(a, at);
        break;
      case MOMENT.sessionClose:
        this.dispatch({ kind: 'session-closed', at, session: a });
        break;
      case MOMENT.suspended:
        this.suspended(a, b, at);
        break;
      default:
        this.rareMoment(kind, a, b, at);
    }
  }

  private cellArrives(session: number, cell: number, at: number): void {
    const { sessions, cells, shapes } = this.trace;
    const index = sessions.firstCell[session]! + cell;
    this.dispatch({
      kind: 'cell-submitted',
      at,
      session,
      cell,
      submittedAt: this.workload.submittedAt[session]!,
      need: shapes[cells.shape[index]!]!,
      expectedMs: cells.durationMs[index]!,
      more: this.hasMore(at),
    });
    this.workload.cellArrived(session, cell, at);
  }

  private release(execution: number, ticket: number, at: number): void {
    const run = this.cluster.runs[execution]!;
    if (run.ticket !== ticket || run.releaseAt !== at) return; // rescheduled or void
    this.cluster.released(execution, run, at);
    this.dispatch({
      kind: 'execution-released',
      at,
      execution,
      ticket,
      more: this.hasMore(at),
      stateReadMs: run.stateReadMs,
      electionMs: run.electionMs,
      deviceLoadMs: run.deviceLoadMs,
      runMs: run.endAt - run.startAt,
      deviceUnloadMs: run.deviceUnloadMs,
      stateCommitMs: run.writeMs,
    });
  }

  private suspended(execution: number, ticket: number, at: number): void {
    const run = this.cluster.runs[execution]!;
    if (run.ticket !== ticket) return;
    this.dispatch({
      kind: 'execution-suspended',
      at,
      execution,
      ticket,
      stateReadMs: run.stateReadMs,
      electionMs: run.electionMs,
      deviceLoadMs: run.deviceLoadMs,
      runMs: run.endAt - run.startAt,
      suspendMs: at - run.endAt,
    });
  }

  private openSession(session: number, at: number): void {
    const { sessions, shapes } = this.trace;
    this.dispatch({
      kind: 'session-opened',
      at,
      session,
      need: shapes[sessions.shape[session]!]!,
      gpuType: this.gpuTypes[sessions.gpuType[session]!]!,
    });
    this.workload.sessionOpened(session);
    if (this.randomFaults) this.armCrash(session, 0, at);
  }

  private rareMoment(kind: number, a: number, b: number, at: number): void {
    if (kind > MOMENT.fault) this.randomFault(kind, a, b, at);
    else this.hostMoment(kind, a, b, at);
  }

  private randomFault(kind: number, a: number, b: number, at: number): void {
    this.pendingFaults--;
    if (kind === MOMENT.deviceBack) {
      this.dispatch({ kind: 'device-restored', at, host: a, device: b });
    } else if (!this.strikesNobody()) {
      if (kind === MOMENT.hostLoss) this.loseHost(a, at);
      else if (kind === MOMENT.deviceFault) this.excludeDevice(a, b, at);
      else this.crash(a, b, at);
    }
  }

  private hostMoment(kind: number, a: number, b: number, at: number): void {
    switch (kind) {
      case MOMENT.hostUp:
        this.dispatch({ kind: 'host-up', at, host: a });
        if (this.randomFaults) this.armHostFaults(a, at);
        break;
      case MOMENT.hostFailed:
        this.dispatch({ kind: 'host-failed', at, host: a });
        break;
      case MOMENT.hostReleased:
        this.dispatch({ kind: 'host-released', at, host: a });
        this.cluster.forgetHost(a);
        break;
      case MOMENT.containerFailed:
        this.dispatch({ kind: 'container-failed', at, container: a });
        break;
      case MOMENT.yielded: {
        const run = this.cluster.runs[a]!;
        if (run.ticket === b) {
          this.dispatch({ kind: 'execution-yielded', at, execution: a, ticket: b });
        }
        break;
      }
      default:
        this.scheduledFault(a, at);
    }
  }

  private armHostFaults(host: number, at: number): void {
    this.later(this.faults.nextHostLossMs(host, at), MOMENT.hostLoss, host, 0);
    this.later(this.faults.nextDeviceExclusionMs(host, 0, at), MOMENT.deviceFault, host, 0);
  }

  private armCrash(session: number, k: number, at: number): void {
    this.later(this.faults.nextContainerCrashMs(session, k, at), MOMENT.crash, session, k);
  }

  private later(at: number, kind: number, a: number, b: number): void {
    if (!Number.isFinite(at)) return;
    this.pendingFaults++;
    this.heap.push(at, PRIORITY.fault, kind, a, b);
  }

  /**
   * A random fault strikes only while users are there and something else is under way: their
   * processes have no end, but a run must have one.
   */
  private strikesNobody(): boolean {
    return (
      this.heap.size === this.pendingFaults ||
      (this.workload.allOpened && this.core.state.totals.sessionsOpen === 0)
    );
  }

  private loseHost(host: number, at: number): void {
    this.dispatch({ kind: 'host-lost', at, host });
    this.cluster.forgetHost(host);
  }

  private excludeDevice(host: number, k: number, at: number): void {
    const { state } = this.core;
    const known = state.hosts[host]!;
    if (known.state === 'gone') return;
    const device = this.faults.excludedDevice(host, k, known.spec.gpuMillis / 1000);
    this.dispatch({ kind: 'device-excluded', at, host, device, reason: 'fault' });
    this.later(at + DEVICE_EXCLUDED_MS, MOMENT.deviceBack, host, device);
    this.later(this.faults.nextDeviceExclusionMs(host, k + 1, at), MOMENT.deviceFault, host, k + 1);
  }

  private crash(session: number, k: number, at: number): void {
    const known = this.core.state.sessions[session];
    if (known === undefined || known.state === 'closed') return;
    this.crashContainer(session, this.faults.crashedReplica(session, k, 1 << 16), at);
    this.armCrash(session, k + 1, at);
  }

  /** Kills a container of the session: the `choice`-th of those that it has. */
  private crashContainer(session: number, choice: number, at: number): void {
    const known = this.core.state.sessions[session];
    if (known === undefined) return;
    const own = known.replicas
      .filter((replica) => replica.state !== 'missing')
      .map((replica) => replica.container);
    const active = this.core.state.executions.slots[known.active];
    if (own.length === 0 && active !== undefined && active.container !== -1) {
      own.push(active.container);
    }
    if (own.length === 0) return;
    this.dispatch({ kind: 'container-lost', at, container: own[choice % own.length]! });
  }

  private scheduledFault(index: number, at: number): void {
    const fault = this.faults.scheduled[index]!;
    const { target, detail } = fault;
    switch (fault.kind) {
      case 'host-loss':
        if (this.core.state.hosts[target] !== undefined) this.loseHost(target, at);
        break;
      case 'device-excluded':
        if (this.core.state.hosts[target] !== undefined) {
          const device = detail ?? 0;
          this.dispatch({ kind: 'device-excluded', at, host: target, device, reason: 'fault' });
        }
        break;
      case 'device-restored':
        if (this.core.state.hosts[target] !== undefined) {
          this.dispatch({ kind: 'device-restored', at, host: target, device: detail ?? 0 });
        }
        break;
      case 'container-crash':
        this.crashContainer(target, detail ?? 0, at);
        break;
      default: // yield-next
        this.cluster.yieldNext.set(target, detail ?? 1);
    }
  }
}
