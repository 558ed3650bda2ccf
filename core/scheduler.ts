import { couldEverFit } from './admission.ts';
import { adoptExecution, adoptSession } from './adoption.ts';
import { armScaling, releaseIfEmpty, scalingRound, takeSamplesBefore } from './autoscaler.ts';
import { newSession } from './books/session-book.ts';
import { cancel } from './cancellation.ts';
import type { Config } from './config/options.ts';
import { provision } from './demand.ts';
import type { Effect } from './effects.ts';
import { NbosError } from './errors.ts';
import type { Event, EventKind } from './events.ts';
import { endMoment, executionContainerStarted, kernelReady, submit } from './execution.ts';
import {
  containerLost,
  deviceExcluded,
  deviceRestored,
  finishDrains,
  hostFailed,
  hostLost,
  hostReleased,
  hostUp,
} from './hosts.ts';
import { checkInvariants } from './invariants.ts';
import {
  closeKernel,
  openKernel,
  replicaReady,
  replicaRecovering,
  replicaStarted,
  retryPlacements,
} from './kernels.ts';
import { migrationOf, moveJoined, moveStarted } from './migration.ts';
import { goOnDraining, requestDrain, requestMove } from './moves.ts';
import { failed, released, replied, suspended, yielded } from './outcomes.ts';
import { PLACEMENTS } from './placements/index.ts';
import type { Policy } from './policies/policy.ts';
import { armPolicyTimer, runPolicyTimer } from './policy-timer.ts';
import { poolContainerStarted } from './prewarm.ts';
import { armReclamation, reclaim } from './reclamation.ts';
import { advanceTotals } from './record/totals.ts';
import { ZERO } from './resources.ts';
import { restoreState, type Snapshot, takeSnapshot } from './snapshot.ts';
import { type CoreOptions, newState, type State } from './state.ts';
import { serveWaiting } from './waiting.ts';

type EventOf<K extends EventKind> = Extract<Event, { kind: K }>;
type Handlers = { readonly [K in EventKind]: (state: State, event: EventOf<K>) => void };

/** What each event does: one line a kind, the work is in the parts. */
const HANDLERS: Handlers = {
  'cluster-started': (state) => {
    for (let count = 0; count < state.bounds.initial; count++) provision(state, ZERO, '');
  },
  'host-up': (state, { host }) => {
    hostUp(state, host);
    goOnDraining(state);
  },
  'host-failed': (state, { host }) => hostFailed(state, host),
  'host-released': (state, { host }) => hostReleased(state, host),
  'host-lost': (state, { host }) => hostLost(state, host),
  'host-offered': (state) => {
    provision(state, ZERO, '');
  },
  'drain-requested': (state, event) => requestDrain(state, event),
  'device-excluded': (state, { host, device }) => deviceExcluded(state, host, device),
  'device-restored': (state, { host, device }) => deviceRestored(state, host, device),
  'session-opened': (state, { session: id, need, gpuType, at, replicas }) => {
    if (state.sessions[id] !== undefined) {
      throw new NbosError('event-invalid', `session ${id} was opened twice`);
    }
    const count = replicas ?? state.config.replicas;
    const session = newSession(id, need, gpuType, at, count);
    state.sessions[id] = session;
    state.totals.sessionsOpen++;
    state.totals.demandedGpuMillis += need.gpuMillis;
    state.scaling.dirty = true;
    if (state.policy.container !== 'session' || !couldEverFit(state, need, gpuType)) return;
    openKernel(state, session);
    armReclamation(state, session);
  },
  'session-closed': (state, { session: id }) => {
    const session = state.sessions[id];
    if (session === undefined || session.state !== 'open') return;
    session.state = 'closing';
    if (session.active === -1) closeKernel(state, session);
  },
  'cell-submitted': (state, event) => {
    if (event.more === true) state.held = true;
    submit(state, event);
  },
  'container-started': (state, { container: id }) => {
    const container = state.containers.get(id);
    if (container === undefined || container.state !== 'starting') return;
    container.state = 'ready';
    if (container.role === 'pool') {
      poolContainerStarted(state, container);
    } else if (container.role === 'execution') {
      executionContainerStarted(state, container);
    } else {
      const session = state.sessions[container.session]!;
      const migration = migrationOf(session, id);
      if (migration === undefined) replicaStarted(state, session, container);
      else moveStarted(state, session, migration);
    }
  },
  'container-failed': (state, { container: id }) => {
    const container = state.containers.get(id);
    if (container !== undefined && container.state === 'starting') containerLost(state, container);
  },
  'container-lost': (state, { container: id }) => {
    const container = state.containers.get(id);
    if (container !== undefined) containerLost(state, container);
  },
  'replica-joined': (state, { container: id, stateReadMs }) => {
    const container = state.containers.get(id);
    if (container === undefined) return;
    const session = state.sessions[container.session]!;
    const migration = migrationOf(session, id);
    if (migration !== undefined) {
      moveJoined(state, session, migration, stateReadMs);
      return;
    }
    const replica = session.replicas[container.replica];
    if (replica?.container === id) replicaReady(state, session, replica);
  },
  'replica-recovering': (state, { container: id }) => {
    const container = state.containers.get(id);
    const session = container && state.sessions[container.session];
    if (session !== undefined) replicaRecovering(state, session, container!);
  },
  'session-adopted': (state, event) => adoptSession(state, event),
  'execution-adopted': (state, event) => adoptExecution(state, event),
  'execution-failed': (state, event) => failed(state, event),
  'cell-cancelled': (state, { session, cell }) => cancel(state, session, cell),
  'move-requested': (state, event) => requestMove(state, event),
  'session-pinned': (state, { session, pinned }) => {
    const known = state.sessions[session];
    if (known !== undefined) known.pinned = pinned;
  },
  'execution-yielded': (state, event) => yielded(state, event),
  'execution-released': (state, event) => {
    if (event.more === true) state.held = true;
    released(state, event);
  },
  'execution-replied': (state, event) => replied(state, event),
  'execution-suspended': (state, event) => suspended(state, event),
  'moment-ended': (state) => endMoment(state),
  timer: (state, { timer, key }) => {
    if (timer === 'scaling') scalingRound(state);
    else if (timer === 'empty-host') releaseIfEmpty(state, key);
    else if (timer === 'reclaim') reclaim(state, key);
    else if (timer === 'pin') kernelReady(state, state.sessions[key]!);
    else runPolicyTimer(state);
  },
};

/**
 * The scheduler: events in, effects out. The same configuration and events give byte-equal effects,
 * in every process and on every machine.
 */
export class Core {
  readonly state: State;

  private constructor(state: State) {
    this.state = state;
  }

  /** A scheduler with empty books; the first event must be `cluster-started`. */
  static create(config: Config, policy: Policy, options: CoreOptions = {}): Core {
    return new Core(newState(config, policy, placementOf(config), options));
  }

  /** A scheduler that goes on from a snapshot taken under the same policy and configuration. */
  static restore(
    snapshot: Snapshot,
    config: Config,
    policy: Policy,
    options: CoreOptions = {},
  ): Core {
    const state = newState(config, policy, placementOf(config), options);
    restoreState(state, snapshot);
    return new Core(state);
  }

  /**
   * Takes one event and returns the effects to perform, in order; the list is valid until the next
   * step. Throws `event-invalid` for an event that contradicts the books, `policy-failed` for a
   * policy that breaks its contract.
   */
  step(event: Event): readonly Effect[] {
    const { state } = this;
    if (event.at < state.now) {
      throw new NbosError(
        'event-invalid',
        `event ${event.kind} at ${event.at}, before ${state.now}`,
      );
    }
    state.effects = [];
    state.now = event.at;
    advanceTotals(state.totals, event.at, state.config.replicas);
    if (event.at > (state.scaling.lastTick + 1) * state.config.scaleIntervalMs) {
      takeSamplesBefore(state, event.at);
    }
    (HANDLERS[event.kind] as (state: State, event: Event) => void)(state, event);
    settle(state);
    return state.effects;
  }

  /** Plain JSON data from which `restore` goes on. */
  snapshot(): Snapshot {
    return takeSnapshot(this.state);
  }

  /** Throws `invariant-violated` when the books contradict themselves. */
  check(): void {
    checkInvariants(this.state);
  }
}

/** What may follow from any event: refused work that fits now, drains, timers. */
function settle(state: State): void {
  if (state.relieved) {
    state.relieved = false;
    retryPlacements(state);
    serveWaiting(state, null);
    if (state.draining.length > 0) finishDrains(state);
  }
  armScaling(state);
  if (state.policy.onTimer !== undefined) armPolicyTimer(state);
}

function placementOf(config: Config) {
  const placement = PLACEMENTS[config.placement];
  if (placement === undefined) {
    throw new NbosError(
      'policy-unknown',
      `no placement is called '${config.placement}'`,
      `Choose one of ${Object.keys(PLACEMENTS).join(', ')}.`,
    );
  }
  return placement;
}
