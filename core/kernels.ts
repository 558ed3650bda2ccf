import { admitsReplica } from './admission.ts';
import { releaseKept } from './autoscaler.ts';
import type { Container } from './books/container-book.ts';
import { enterStep, STEP } from './books/execution-book.ts';
import type { Host } from './books/host-book.ts';
import {
  isBeingMoved,
  isUsable,
  type Replica,
  readyReplicas,
  type Session,
  votingReplicas,
} from './books/session-book.ts';
import { startReplicaContainer, stopContainer } from './containers.ts';
import { askForHosts, endPromise, promiseHost } from './demand.ts';
import { kernelReady, rejectAll } from './execution.ts';
import { reserve, subscribe, unreserve, unsubscribe } from './ledger.ts';
import { cancelMigrations } from './migration.ts';
import type { Reason } from './reasons.ts';
import { removeFrom, type State } from './state.ts';
import { mostClaimed, noteLimited } from './subscription.ts';

/** Placing, repairing and closing the replicas of kernels. */

/** Gives a session's kernel its replicas, now or as soon as there are hosts for them. */
export function openKernel(state: State, session: Session): void {
  session.kernel = 'placed';
  session.replicas = Array.from({ length: session.replicaCount }, () => ({
    container: -1,
    host: -1,
    state: 'missing' as const,
    devices: 0,
    sharedDevice: -1,
  }));
  if (state.policy.replicated) state.totals.standbyReplicas += session.replicaCount;
  placeMissing(state, session);
}

/** Places what is missing, or queues the session for hosts. */
export function placeMissing(state: State, session: Session): void {
  if (isFailing(state, session)) {
    setAside(state, session);
    return;
  }
  if (session.waitingForHosts || tryPlace(state, session)) return;
  const isFull = state.placementQueue.length >= state.config.placementQueueLimit;
  const hasNone = session.replicas.every((replica) => replica.state === 'missing');
  if (isFull && hasNone && session.migrations.length === 0) {
    giveUp(state, session, 'rejected-queue-full');
    return;
  }
  session.waitingForHosts = true;
  state.placementQueue.push(session.id);
  markWaiting(state, session);
}

/** Whether its containers have failed to start so often that another try needs a new reason. */
export function isFailing(state: State, session: Session): boolean {
  return session.failedStarts >= state.config.maxAttempts;
}

/** Starts keep failing: a kernel that is usable goes on with what it has until its next cell. */
function setAside(state: State, session: Session): void {
  if (!isUsable(session) && session.migrations.length === 0) {
    giveUp(state, session, 'rejected-attempts');
  } else if (session.waitingForHosts) {
    stopAwaitingHosts(state, session);
  }
}

/** What waits for the kernel is rejected; the next cell opens it anew. */
function giveUp(state: State, session: Session, reason: Reason): void {
  session.failedStarts = 0;
  if (session.executed > 0) session.checkpointed = true;
  rejectAll(state, session, reason);
  stopKernel(state, session);
}

/** A cell is reason enough to try again what was set aside. */
export function retrySetAside(state: State, session: Session): void {
  if (!isFailing(state, session)) return;
  session.failedStarts = 0;
  placeMissing(state, session);
}

function chooseHost(state: State, session: Session, replica: number): Host | undefined {
  const commits = state.policy.commit === 'placement';
  const host = state.placement.choose(state, {
    query: {
      need: commits ? session.need : null,
      accept: (candidate) => admitsReplica(state, candidate, session),
      claim: session.need.gpuMillis,
      mostClaimed: commits ? Number.POSITIVE_INFINITY : mostClaimed(state),
    },
    commits,
    gpuMillis: session.need.gpuMillis,
    session: session.id,
    replica,
    attempt: session.placements,
  });
  if (host === undefined && !commits) noteLimited(state, session.need);
  return host;
}

function claim(state: State, session: Session, replica: Replica, host: Host): void {
  replica.host = host.id;
  replica.state = 'starting';
  subscribe(state, host, session.need);
  if (state.policy.commit === 'placement') reserve(state, session, replica, host);
}

function unclaim(state: State, session: Session, replica: Replica): void {
  const host = state.hosts[replica.host]!;
  if (state.policy.commit === 'placement') unreserve(state, session, replica, host);
  unsubscribe(state, host, session.need);
  replica.host = -1;
  replica.container = -1;
  replica.state = 'missing';
}

/**
 * Places all missing replicas of a new kernel or none; those of a running one as far as hosts go.
 * False when some remain missing; the books are then as they were, but for repairs made.
 */
function tryPlace(state: State, session: Session): boolean {
  const isNew = votingReplicas(session) === 0;
  const placed: number[] = [];
  let lacking = 0;
  session.placements++;
  for (const [index, replica] of session.replicas.entries()) {
    if (replica.state !== 'missing' || isBeingMoved(session, index)) continue;
    const host = chooseHost(state, session, index);
    if (host === undefined) {
      lacking++;
    } else {
      claim(state, session, replica, host);
      placed.push(index);
    }
  }
  if (lacking > 0 && isNew) {
    for (const index of placed) unclaim(state, session, session.replicas[index]!);
    placed.length = 0;
  }
  // Attempts that place nothing leave no trace, so that draws do not depend on their number.
  if (placed.length === 0) session.placements--;
  for (const index of placed) {
    const replica = session.replicas[index]!;
    const host = state.hosts[replica.host]!;
    replica.container = startReplicaContainer(state, host, session, index, null).id;
  }
  if (lacking === 0) return true;
  if (state.policy.commit === 'placement') promiseHost(state, session);
  else askForHosts(state, lacking, session.need, session.gpuType);
  return false;
}

/** Tries the sessions that wait for hosts, oldest first; equal needs fail together. */
export function retryPlacements(state: State): void {
  if (state.placementQueue.length === 0) return;
  const blocked = new Set<string>();
  for (const id of [...state.placementQueue]) {
    const session = state.sessions[id]!;
    const { gpuMillis, cpuMillis, memoryMb, vramMb } = session.need;
    const isNew = votingReplicas(session) === 0;
    const key = `${gpuMillis},${cpuMillis},${memoryMb},${vramMb},${session.gpuType}`;
    if (isNew && blocked.has(key)) {
      // Others of its need were refused just now; it only keeps its claim on pending hosts alive.
      if (state.policy.commit === 'placement') promiseHost(state, session);
      continue;
    }
    if (tryPlace(state, session)) {
      stopAwaitingHosts(state, session);
      markWaiting(state, session);
    } else if (isNew) {
      blocked.add(key);
    }
  }
}

function stopAwaitingHosts(state: State, session: Session): void {
  removeFrom(state.placementQueue, session.id);
  session.waitingForHosts = false;
  endPromise(state, session);
  if (state.placementQueue.length === 0) releaseKept(state);
}

/** Charges an execution that waits for its kernel to what the kernel waits for. */
function markWaiting(state: State, session: Session): void {
  if (session.active === -1) return;
  const execution = state.executions.slots[session.active]!;
  if (execution.state === 'kernel-wait') enterStep(execution, waitStep(state, session), state.now);
}

/** The step that a kernel which is not usable is in. */
export function waitStep(state: State, session: Session): number {
  if (!session.waitingForHosts) {
    const started = session.replicas.filter(({ state: at }) => at === 'ready' || at === 'joining');
    const catchUp = started.length * 2 > session.replicas.length;
    return catchUp ? STEP.state_read : STEP.container_start;
  }
  return session.promised !== -1 || state.pending.length > 0 ? STEP.provisioning : STEP.queue;
}

/** A container of a replica that is not part of a migration has started. */
export function replicaStarted(state: State, session: Session, container: Container): void {
  const replica = session.replicas[container.replica]!;
  const recovers = replica.state === 'recovering';
  const joins =
    !recovers && (session.checkpointed || (state.policy.replicated && isRunning(session)));
  if (joins) {
    replica.state = 'joining';
    markWaiting(state, session);
    state.effects.push({
      kind: 'join-replica',
      container: container.id,
      host: container.host,
      session: session.id,
      commits: state.policy.replicated && readyReplicas(session) > 0,
      readState: true,
      cell: -1,
      attempt: session.placements * 8 + container.replica,
    });
    return;
  }
  replicaReady(state, session, replica);
}

/** Whether the kernel has state that a new replica must catch up with. */
function isRunning(session: Session): boolean {
  return session.executed > 0 && (readyReplicas(session) > 0 || session.lastReplica !== -1);
}

export function replicaReady(state: State, session: Session, replica: Replica): void {
  replica.state = 'ready';
  session.failedStarts = 0;
  if (!isUsable(session)) return;
  session.checkpointed = false;
  kernelReady(state, session);
}

/** The log of a replica takes part, its process does not: a majority may do without it. */
export function replicaRecovering(state: State, session: Session, container: Container): void {
  const replica = session.replicas[container.replica];
  if (replica?.container !== container.id) return;
  if (replica.state !== 'starting' && replica.state !== 'ready') return;
  replica.state = 'recovering';
  container.state = 'starting';
  session.deviceLoaded = false;
  if (isUsable(session)) kernelReady(state, session);
}

/** A replica's container is gone: forgets it and looks for a new host. */
export function replicaLost(state: State, session: Session, index: number): void {
  const replica = session.replicas[index]!;
  unclaim(state, session, replica);
  session.deviceLoaded = false;
  // Without a majority the state in the store is what is left.
  if (state.policy.replicated && !isUsable(session) && session.executed > 0) {
    session.checkpointed = true;
  }
}

/** Stops all containers of the session's kernel and gives back what they claim. */
export function stopKernel(state: State, session: Session): void {
  if (session.kernel === 'idle') return;
  cancelMigrations(state, session);
  for (const replica of session.replicas) {
    if (replica.state === 'missing') continue;
    const container = state.containers.get(replica.container);
    unclaim(state, session, replica);
    if (container !== undefined) stopContainer(state, container);
  }
  if (session.waitingForHosts) {
    stopAwaitingHosts(state, session);
  }
  if (state.policy.replicated) state.totals.standbyReplicas -= session.replicas.length;
  session.replicas = [];
  session.kernel = 'idle';
  session.deviceLoaded = false;
  session.lastReplica = -1;
}

/** Ends a session: nothing of it runs or waits any more. */
export function closeKernel(state: State, session: Session): void {
  stopKernel(state, session);
  session.state = 'closed';
  state.totals.sessionsOpen--;
  state.totals.demandedGpuMillis -= session.need.gpuMillis;
  state.scaling.dirty = true;
}
