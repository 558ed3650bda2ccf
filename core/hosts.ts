import type { Container } from './books/container-book.ts';
import { type Execution, enterStep, STEP } from './books/execution-book.ts';
import { excludeDevice, type Host, restoreDevice } from './books/host-book.ts';
import type { Session } from './books/session-book.ts';
import { forgetContainer, noteEmpty } from './containers.ts';
import { endPromise, holdOff } from './demand.ts';
import { noteReason } from './execution.ts';
import { placeMissing, replicaLost, retryPlacements } from './kernels.ts';
import { changed, uncommit } from './ledger.ts';
import { migrationOf, moveFailed } from './migration.ts';
import { retry, runAgain, voidRun } from './outcomes.ts';
import { emptyPool, forgetPool, replenish, unshelve } from './prewarm.ts';
import { equalVectors, ZERO } from './resources.ts';
import { fact, removeFrom, type State } from './state.ts';
import { dropReservation, renewPromises, serveWaiting } from './waiting.ts';

/** Hosts that come, go and fail, and what that means for what is on them. */

/** A provisioned host is up: pools start, and what waits is served. */
export function hostUp(state: State, id: number): void {
  const host = state.hosts[id];
  if (host === undefined || host.state !== 'pending') return;
  removeFrom(state.pending, id);
  state.up.push(id);
  host.state = 'up';
  host.upAt = state.now;
  state.index.add(host);
  countHost(state, host, 1);
  noteEmpty(state, host);
  endPromises(state, host);
  fact(state, 'host-up', id, -1, -1, host.spec.gpuMillis, '');
  retryPlacements(state);
  serveWaiting(state, host);
  renewPromises(state);
  replenish(state, host);
  changed(state, host);
}

function countHost(state: State, host: Host, sign: 1 | -1): void {
  const { totals } = state;
  totals.hosts += sign;
  totals.provisionedGpuMillis += sign * host.spec.gpuMillis;
  totals.pricePerHour += sign * state.hostTypes[host.type]!.pricePerHour;
  if (totals.hosts > totals.hostsPeak) totals.hostsPeak = totals.hosts;
}

/** Work matched to a pending host waits for GPUs again. */
function endPromises(state: State, host: Host): void {
  if (equalVectors(host.promised, ZERO)) return;
  for (const execution of state.executions.slots) {
    if (execution.promised !== host.id) continue;
    endPromise(state, execution);
    if (!execution.started) enterStep(execution, STEP.queue, state.now);
  }
  for (const id of state.placementQueue) {
    const session = state.sessions[id]!;
    if (session.promised === host.id) endPromise(state, session);
  }
}

/** A host will never come up: what waited for it asks again. */
export function hostFailed(state: State, id: number): void {
  const host = state.hosts[id];
  if (host === undefined || host.state !== 'pending') return;
  removeFrom(state.pending, id);
  holdOff(state);
  bury(state, host, 'failed');
  endPromises(state, host);
  askAgain(state);
}

function bury(state: State, host: Host, end: Host['end']): void {
  host.state = 'gone';
  state.index.retire(host);
  host.end = end;
  host.endAt = state.now;
  state.hostsOfType[host.type]!--;
  state.scaling.dirty = true;
}

/** The number of hosts fell below the maximum: waiting work may ask for more. */
function askAgain(state: State): void {
  retryPlacements(state);
  renewPromises(state);
}

/** Gives an empty host back. */
export function releaseHost(state: State, host: Host): void {
  leaveService(state, host);
  host.state = 'releasing';
  state.scaling.releasing++;
  state.totals.scaleIns++;
  emptyPool(state, host);
  state.effects.push({ kind: 'release-host', host: host.id });
}

/** A host takes no new work any more. */
function leaveService(state: State, host: Host): void {
  if (!removeFrom(state.up, host.id)) removeFrom(state.draining, host.id);
  state.index.remove(host);
  dropReservation(state, host);
  state.scaling.dirty = true;
}

export function hostReleased(state: State, id: number): void {
  const host = state.hosts[id];
  if (host === undefined || host.state !== 'releasing') return;
  state.scaling.releasing--;
  countHost(state, host, -1);
  bury(state, host, 'released');
  forgetPool(state, host);
  fact(state, 'host-down', id, -1, -1, host.spec.gpuMillis, 'released');
  askAgain(state);
}

/** Marks a host as about to go; its replicas are being moved. */
export function startDrain(state: State, host: Host): void {
  leaveService(state, host);
  host.state = 'draining';
  state.draining.push(host.id);
  emptyPool(state, host);
}

/** A replica could not be moved off the host: it stays in service. */
export function cancelDrain(state: State, host: Host): void {
  if (host.state !== 'draining' || host.drainOrdered) return;
  removeFrom(state.draining, host.id);
  state.up.push(host.id);
  host.state = 'up';
  state.index.add(host);
  state.relieved = true;
  changed(state, host);
  replenish(state, host);
}

/** Releases the draining hosts that have become empty. */
export function finishDrains(state: State): void {
  for (const id of [...state.draining]) {
    const host = state.hosts[id]!;
    if (host.containers.length === 0 && host.running === 0) releaseHost(state, host);
  }
}

/** A host is gone with all that ran on it. */
export function hostLost(state: State, id: number): void {
  const host = state.hosts[id];
  if (host === undefined || host.state === 'gone') return;
  if (host.state === 'pending') {
    hostFailed(state, id);
    return;
  }
  if (host.state === 'releasing') state.scaling.releasing--;
  else leaveService(state, host);
  countHost(state, host, -1);
  bury(state, host, 'lost');
  state.totals.hostsLost++;
  fact(state, 'host-down', id, -1, -1, host.spec.gpuMillis, 'lost');
  forgetPool(state, host);
  for (const placed of [...host.containers]) {
    const container = state.containers.get(placed);
    if (container !== undefined) containerLost(state, container);
  }
  askAgain(state);
}

/** A container died, or never started. */
export function containerLost(state: State, container: Container): void {
  const host = state.hosts[container.host]!;
  const neverStarted = container.state === 'starting';
  if (container.role === 'pool') {
    if (neverStarted) host.poolStarting--;
    else unshelve(state, host, container);
    forgetContainer(state, container);
    // One that failed to start is replaced with the next change on its host, not over and over.
    if (host.state === 'up' && !neverStarted) replenish(state, host);
    return;
  }
  const execution = state.executions.slots[container.execution];
  if (container.role === 'execution') {
    forgetContainer(state, container);
    if (execution !== undefined) executionLost(state, execution, container);
    return;
  }
  const session = state.sessions[container.session]!;
  const migration = migrationOf(session, container.id);
  if (neverStarted) session.failedStarts++;
  forgetContainer(state, container);
  if (migration !== undefined) moveFailed(state, session, migration);
  else loseReplica(state, session, container);
}

function loseReplica(state: State, session: Session, container: Container): void {
  const index = session.replicas.findIndex((replica) => replica.container === container.id);
  if (index === -1) return;
  fact(state, 'replica-lost', container.host, session.id, -1, session.need.gpuMillis, '');
  const active = session.active === -1 ? undefined : state.executions.slots[session.active];
  const runsHere = active !== undefined && active.container === container.id && isBound(active);
  // The replica goes first, so that the execution is not sent back to it.
  const replica = session.replicas[index]!;
  replica.state = 'starting';
  if (runsHere) voidRun(state, active);
  replicaLost(state, session, index);
  if (runsHere) runAgain(state, active);
  if (session.state !== 'closed' && session.kernel === 'placed') placeMissing(state, session);
}

function isBound(execution: Execution): boolean {
  return execution.state === 'running' || execution.state === 'suspending';
}

function executionLost(state: State, execution: Execution, container: Container): void {
  if (execution.container !== container.id) return;
  state.relieved = true;
  if (isBound(execution)) {
    voidRun(state, execution);
    runAgain(state, execution);
  } else if (execution.state === 'container-wait') {
    uncommit(state, execution);
    noteReason(execution, 'restarted');
    retry(state, execution);
  }
}

/** A device must not be used any more; what runs on it is lost. */
export function deviceExcluded(state: State, id: number, device: number): void {
  const host = state.hosts[id];
  if (host === undefined || host.state === 'pending' || host.state === 'gone') return;
  const bit = 1 << device;
  const devices = host.spec.gpuMillis / 1000;
  if (device < 0 || device >= devices || (host.excludedDevices & bit) !== 0) return;
  if (!state.config.deviceIds) return;
  // First, so that what is ended below does not get it again.
  excludeDevice(host, device);
  changed(state, host);
  for (const placed of [...host.containers]) {
    const container = state.containers.get(placed);
    if (container !== undefined) endUseOf(state, host, container, device);
  }
}

function holdsDevice(lease: { devices: number; sharedDevice: number }, device: number): boolean {
  return (lease.devices & (1 << device)) !== 0 || lease.sharedDevice === device;
}

/**
 * Ends what holds the device: a run on a replica is void and the replica stays; a container that
 * holds it for as long as it lives, or is started to use it, stops.
 */
function endUseOf(state: State, host: Host, container: Container, device: number): void {
  const session = state.sessions[container.session]!;
  const active = session.active === -1 ? undefined : state.executions.slots[session.active]!;
  const leased =
    active !== undefined && active.host === host.id && holdsDevice(active, device) ? active : null;
  const replica = session.replicas.find((candidate) => candidate.container === container.id);
  const stays = replica !== undefined && !holdsDevice(replica, device);
  if (stays && leased !== null && isBound(leased) && leased.container === container.id) {
    voidRun(state, leased);
    runAgain(state, leased);
  }
  if (stays || (replica === undefined && leased === null)) return;
  state.effects.push({ kind: 'stop-container', container: container.id, host: host.id });
  containerLost(state, container);
}

export function deviceRestored(state: State, id: number, device: number): void {
  const host = state.hosts[id];
  if (host === undefined || host.state === 'gone') return;
  if ((host.excludedDevices & (1 << device)) === 0) return;
  restoreDevice(host, device);
  changed(state, host);
  retryPlacements(state);
  serveWaiting(state, host);
}
