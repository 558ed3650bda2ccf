import { admitsReplica, holdsReplica } from './admission.ts';
import { type Execution, enterStep, STEP } from './books/execution-book.ts';
import type { Host } from './books/host-book.ts';
import { endPromise, hostsInAll, promiseHost } from './demand.ts';
import { noteReason, reject, serve } from './execution.ts';
import { fitsIn } from './resources.ts';
import { fact, type State } from './state.ts';

/** The bounded queue of executions that no host can serve now, and what wakes them. */

/** Lets an execution wait for GPUs and asks for a host that could serve it. */
export function startWaiting(state: State, execution: Execution): void {
  if (state.queue.size >= state.config.queueLimit) {
    reject(state, execution, 'rejected-queue-full');
    return;
  }
  execution.state = 'gpu-wait';
  execution.immediate = false;
  execution.yielded = 0;
  execution.waitingSince = state.now;
  noteReason(execution, 'waited-for-gpus');
  state.queue.add(execution);
  state.scaling.dirty = true;
  if (state.sessions[execution.session]!.pinned) armPin(state, execution);
  promiseHost(state, execution);
  if (execution.promised !== -1) noteReason(execution, 'scaled-out');
  enterStep(execution, waitingStep(execution), state.now);
  const gpus = execution.need.gpuMillis;
  fact(state, 'wait', -1, execution.session, execution.cell, gpus, execution.reason);
}

/** After a while it need not be the pinned executor. */
function armPin(state: State, execution: Execution): void {
  const at = state.now + state.config.pinWaitMs;
  state.effects.push({ kind: 'set-timer', timer: 'pin', key: execution.session, at });
}

function waitingStep(execution: Execution): number {
  return execution.promised === -1 ? STEP.queue : STEP.provisioning;
}

/** Takes a served execution out of the queue. */
export function stopWaiting(state: State, execution: Execution): void {
  state.queue.remove(execution);
  execution.waitingSince = -1;
  state.scaling.dirty = true;
  endPromise(state, execution);
  endReservation(state, execution);
}

function endReservation(state: State, execution: Execution): void {
  if (execution.reservation === -1) return;
  state.hosts[execution.reservation]!.reservedFor = -1;
  execution.reservation = -1;
  state.reservations--;
  state.relieved = true;
}

/** A host lost its reservation because it is going. */
export function dropReservation(state: State, host: Host): void {
  if (host.reservedFor === -1) return;
  for (const execution of state.executions.slots) {
    if (execution.reservation === host.id) endReservation(state, execution);
  }
}

/**
 * Serves what waits and now fits: on this host, or anywhere when null; with `before` only what
 * comes before that execution.
 */
export function serveWaiting(
  state: State,
  freed: Host | null,
  before: Execution | null = null,
): void {
  if (state.queue.size === 0) return;
  if (freed !== null) reserveForOldest(state, freed);
  if (state.held) return;
  if (state.reservations > 0) serveReserved(state);
  const { strictOrder } = state.config;
  state.queue.pass(
    (group) => (freed === null ? state.index.mayFit(group.need) : fitsIn(group.need, freed.idle)),
    (execution) => {
      const outcome = serve(state, execution);
      if (outcome === 'served') stopWaiting(state, execution);
      return outcome;
    },
    strictOrder,
    before,
  );
}

/**
 * Who has a host to itself comes first: others of its need are refused there and block its class.
 */
function serveReserved(state: State): void {
  for (const execution of state.executions.slots) {
    if (execution.reservation === -1 || serve(state, execution) !== 'served') continue;
    stopWaiting(state, execution);
  }
}

/** After a long wait the oldest execution keeps the next host that could suit it for itself. */
function reserveForOldest(state: State, host: Host): void {
  const { starvationMs } = state.config;
  if (starvationMs === 0 || host.state !== 'up' || host.reservedFor !== -1) return;
  const oldest = state.queue.oldest();
  if (oldest === undefined || oldest.reservation !== -1) return;
  if (state.now - oldest.waitingSince < starvationMs || !couldSuit(state, host, oldest)) return;
  host.reservedFor = oldest.id;
  oldest.reservation = host.id;
  state.reservations++;
  fact(state, 'keep', host.id, oldest.session, oldest.cell, oldest.need.gpuMillis, '');
}

/** Whether the host could serve the execution once enough of it is idle. */
function couldSuit(state: State, host: Host, execution: Execution): boolean {
  if (!fitsIn(execution.need, host.spec)) return false;
  if (execution.gpuType !== '' && execution.gpuType !== host.gpuType) return false;
  if (state.policy.container !== 'session') return true;
  const session = state.sessions[execution.session]!;
  if (holdsReplica(session, host.id)) return true;
  return state.policy.migrates && admitsReplica(state, host, session);
}

/** Renews the claims of waiting executions on pending hosts, oldest first. */
export function renewPromises(state: State): void {
  if (state.queue.size === 0 || state.config.scaling === 'none') return;
  if (state.pending.length === 0 && hostsInAll(state) >= state.bounds.max) return;
  for (const execution of state.queue.inOrder()) {
    if (execution.promised !== -1) continue;
    promiseHost(state, execution);
    if (execution.promised !== -1) noteReason(execution, 'scaled-out');
    const step = waitingStep(execution);
    if (execution.step !== step && !execution.started) enterStep(execution, step, state.now);
  }
}
