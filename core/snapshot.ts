import type { Container } from './books/container-book.ts';
import type { Execution } from './books/execution-book.ts';
import type { Host } from './books/host-book.ts';
import type { Session } from './books/session-book.ts';
import { NbosError } from './errors.ts';
import type { PolicyState } from './policies/policy.ts';
import type { Totals } from './record/totals.ts';
import type { PoolEstimate, Scaling, State } from './state.ts';

/** Version of the snapshot's form; a newer one is refused. */
export const SNAPSHOT_VERSION = 1;

/** Everything that core knows, as plain JSON data. Infinity is written as null. */
export interface Snapshot {
  readonly version: number;
  readonly policy: string;
  readonly now: number;
  readonly hosts: readonly Host[];
  readonly up: readonly number[];
  readonly pending: readonly number[];
  readonly draining: readonly number[];
  readonly hostsOfType: readonly number[];
  readonly containers: readonly Container[];
  readonly nextContainer: number;
  readonly sessions: readonly (Session | null)[];
  readonly executions: {
    readonly slots: readonly Execution[];
    readonly free: readonly number[];
    readonly nextId: number;
    readonly nextTicket: number;
  };
  readonly totals: Totals;
  readonly scaling: Omit<Scaling, 'armedAt' | 'wantedLimit'> & {
    readonly armedAt: number | null;
    readonly wantedLimit: number | null;
  };
  readonly pool: PoolEstimate;
  readonly placementQueue: readonly number[];
  readonly policyTimerArmed: boolean;
  readonly held: boolean;
  readonly fresh: readonly number[];
  readonly policyState: PolicyState;
  readonly reservations: number;
}

/** A deep copy of the books; later steps do not change it. */
export function takeSnapshot(state: State): Snapshot {
  const { scaling } = state;
  const snapshot: Snapshot = {
    version: SNAPSHOT_VERSION,
    policy: state.policy.name,
    now: state.now,
    // Places in the index are its own and are given anew.
    hosts: state.hosts.map((host) => ({ ...host, leaf: -1 })),
    up: state.up,
    pending: state.pending,
    draining: state.draining,
    hostsOfType: state.hostsOfType,
    containers: [...state.containers.values()],
    nextContainer: state.nextContainer,
    sessions: Array.from(state.sessions, (session) => session ?? null),
    executions: state.executions,
    totals: state.totals,
    scaling: {
      ...scaling,
      armedAt: Number.isFinite(scaling.armedAt) ? scaling.armedAt : null,
      wantedLimit: Number.isFinite(scaling.wantedLimit) ? scaling.wantedLimit : null,
    },
    pool: state.pool,
    placementQueue: state.placementQueue,
    policyTimerArmed: state.policyTimerArmed,
    held: state.held,
    fresh: state.fresh,
    policyState: state.policyState,
    reservations: state.reservations,
  };
  return JSON.parse(JSON.stringify(snapshot)) as Snapshot;
}

/** Fills a new state from a snapshot and rebuilds index and queue. */
export function restoreState(state: State, source: Snapshot): void {
  if (source.version > SNAPSHOT_VERSION) {
    throw new NbosError(
      'format-version',
      `the snapshot has version ${source.version}, this build reads up to ${SNAPSHOT_VERSION}`,
      'Use the version that wrote it, or a newer one.',
    );
  }
  if (source.policy !== state.policy.name) {
    throw new NbosError(
      'snapshot-invalid',
      `the snapshot was taken under policy ${source.policy}, not ${state.policy.name}`,
      'Restore it under the policy that took it.',
    );
  }
  const copy = JSON.parse(JSON.stringify(source)) as Snapshot;
  state.now = copy.now;
  state.hosts.push(...copy.hosts);
  state.up.push(...copy.up);
  state.pending.push(...copy.pending);
  state.draining.push(...copy.draining);
  state.hostsOfType.splice(0, state.hostsOfType.length, ...copy.hostsOfType);
  for (const container of copy.containers) state.containers.set(container.id, container);
  state.nextContainer = copy.nextContainer;
  for (const session of copy.sessions) state.sessions.push(session ?? undefined);
  state.executions.slots.push(...copy.executions.slots);
  state.executions.free.push(...copy.executions.free);
  state.executions.nextId = copy.executions.nextId;
  state.executions.nextTicket = copy.executions.nextTicket;
  Object.assign(state.totals, copy.totals);
  Object.assign(state.scaling, copy.scaling, {
    armedAt: copy.scaling.armedAt ?? Number.POSITIVE_INFINITY,
    wantedLimit: copy.scaling.wantedLimit ?? Number.POSITIVE_INFINITY,
  });
  Object.assign(state.pool, copy.pool);
  state.placementQueue.push(...copy.placementQueue);
  state.policyTimerArmed = copy.policyTimerArmed;
  state.held = copy.held;
  state.fresh.push(...copy.fresh);
  for (const key of Object.keys(state.policyState)) delete state.policyState[key];
  Object.assign(state.policyState, copy.policyState);
  state.reservations = copy.reservations;
  for (const host of state.hosts) {
    if (host.state !== 'gone') state.index.expect(host);
    if (host.state === 'up') state.index.add(host);
  }
  for (const execution of state.executions.slots) {
    if (execution.waitingSince !== -1) state.queue.add(execution);
  }
}
