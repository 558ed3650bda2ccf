import { admitsExecution, couldEverFit } from './admission.ts';
import type { Container } from './books/container-book.ts';
import {
  allocateExecution,
  type Execution,
  enterStep,
  freeExecution,
  STEP,
} from './books/execution-book.ts';
import type { Host } from './books/host-book.ts';
import { isUsable, type Session } from './books/session-book.ts';
import { startExecutionContainer, stopContainer, unplace } from './containers.ts';
import { allYielded, chooseExecutor } from './election.ts';
import { NbosError } from './errors.ts';
import type {
  CellSubmitted,
  ExecutionReleased,
  ExecutionReplied,
  ExecutionSuspended,
  ExecutionYielded,
} from './events.ts';
import { explainRefusals } from './explain.ts';
import { closeKernel, openKernel, waitStep } from './kernels.ts';
import { bind, commit, unbind, uncommit } from './ledger.ts';
import { migrateFor } from './migration.ts';
import { noteArrival, noteHeld, shelve } from './prewarm.ts';
import { rateOf, updateRates } from './rates.ts';
import type { Reason } from './reasons.ts';
import { armReclamation } from './reclamation.ts';
import { fact, type State } from './state.ts';
import type { Served } from './wait-queue.ts';
import { serveWaiting, startWaiting, stopWaiting } from './waiting.ts';

/** Heaviest last: an execution's reason is the heaviest thing that had to happen to it. */
const REASON_WEIGHT: readonly Reason[] = [
  'immediate',
  'executor-reused',
  'prewarmed',
  'kernel-busy',
  'kernel-starting',
  'cold-start',
  'migrated',
  'waited-for-gpus',
  'scaled-out',
  'suspended',
  'restarted',
];

export function noteReason(execution: Execution, reason: Reason): void {
  if (REASON_WEIGHT.indexOf(reason) > REASON_WEIGHT.indexOf(execution.reason)) {
    execution.reason = reason;
  }
}

/** A client's request to run a cell. */
export function submit(state: State, event: CellSubmitted): void {
  const session = state.sessions[event.session];
  if (session === undefined || session.state === 'closed') {
    throw new NbosError('event-invalid', `cell of session ${event.session}, which is not open`);
  }
  const execution = allocateExecution(state.executions);
  execution.session = event.session;
  execution.cell = event.cell;
  execution.need = state.policy.dynamicRequests ? event.need : session.need;
  execution.gpuType = session.gpuType;
  execution.submittedAt = event.submittedAt;
  execution.expectedMs = event.expectedMs;
  execution.steps[STEP.gateway] = event.at - event.submittedAt;
  execution.step = STEP.queue;
  execution.stepSince = event.at;
  session.lastActiveAt = event.at;
  noteArrival(state);
  if (session.active === -1) {
    begin(state, session, execution);
  } else if (session.queue.length >= state.config.kernelQueueLimit) {
    reject(state, execution, 'rejected-kernel-queue-full');
  } else {
    execution.state = 'kernel-wait';
    execution.immediate = false;
    noteReason(execution, 'kernel-busy');
    session.queue.push(execution.slot);
  }
}

/** The kernel turns to this execution. */
function begin(state: State, session: Session, execution: Execution): void {
  session.active = execution.slot;
  if (!couldEverFit(state, execution.need, execution.gpuType)) {
    reject(state, execution, 'rejected-too-large');
    return;
  }
  if (state.policy.container === 'session') {
    if (session.kernel === 'idle') openKernel(state, session);
    if (session.active !== execution.slot) return;
    if (!isUsable(session)) {
      execution.state = 'kernel-wait';
      execution.immediate = false;
      noteReason(execution, 'kernel-starting');
      enterStep(execution, waitStep(state, session), state.now);
      return;
    }
  }
  dispatch(state, execution);
}

/** A kernel has become usable, or one of its replicas has: what waits for it may run. */
export function kernelReady(state: State, session: Session): void {
  if (session.active === -1) return;
  const execution = state.executions.slots[session.active]!;
  if (execution.state === 'kernel-wait') {
    dispatch(state, execution);
  } else if (execution.state === 'gpu-wait' && serve(state, execution) === 'served') {
    stopWaiting(state, execution);
  }
}

/** Runs the execution now or lets it wait for GPUs. */
export function dispatch(state: State, execution: Execution): void {
  const overtakes = state.config.strictOrder && state.queue.size > 0;
  if (!overtakes && serve(state, execution) === 'served') return;
  explainRefusals(state, execution);
  startWaiting(state, execution);
}

/** One attempt to bind GPUs for the execution, by the policy's traits. */
export function serve(state: State, execution: Execution): Served {
  const session = state.sessions[execution.session]!;
  if (state.policy.container !== 'session') return serveByContainer(state, session, execution);
  if (!isUsable(session)) return 'blocked-self';
  if (state.policy.commit === 'placement') {
    const replica = session.replicas[0]!;
    execution.host = replica.host;
    bind(state, execution, replica.host);
    beginRun(state, session, execution, 0, replica.container);
    return 'served';
  }
  const index = chooseExecutor(state, session, execution);
  if (index === -1) {
    return state.policy.migrates ? migrateFor(state, session, execution) : 'blocked-self';
  }
  const replica = session.replicas[index]!;
  commit(state, execution, state.hosts[replica.host]!);
  beginRun(state, session, execution, index, replica.container);
  return 'served';
}

function serveByContainer(state: State, session: Session, execution: Execution): Served {
  const host = state.placement.choose(state, {
    query: {
      need: execution.need,
      accept: (candidate) => admitsExecution(state, candidate, execution),
      claim: 0,
      mostClaimed: Number.POSITIVE_INFINITY,
    },
    commits: true,
    gpuMillis: execution.need.gpuMillis,
    session: execution.session,
    replica: execution.cell,
    attempt: execution.attempt,
  });
  if (host === undefined) return 'blocked-class';
  commit(state, execution, host);
  const { container, start } = startExecutionContainer(state, host, execution);
  if (start === 'same') {
    beginRun(state, session, execution, 0, container.id);
    return 'served';
  }
  execution.container = container.id;
  execution.state = 'container-wait';
  enterStep(execution, STEP.container_start, state.now);
  // A warm container of a pool may be immediate; a start of any kind is not.
  if (start === 'cold' || state.policy.container !== 'pool') execution.immediate = false;
  noteReason(execution, start === 'cold' ? 'cold-start' : 'prewarmed');
  return 'served';
}

/** The container of an execution has started. */
export function executionContainerStarted(state: State, container: Container): void {
  const execution = state.executions.slots[container.execution]!;
  const session = state.sessions[container.session]!;
  beginRun(state, session, execution, 0, container.id);
}

/** GPUs are bound and the container is there: tells the driver to run the cell. */
export function beginRun(
  state: State,
  session: Session,
  execution: Execution,
  replica: number,
  containerId: number,
): void {
  const { policy, now, executions } = state;
  const host = state.hosts[execution.host]!;
  const container = state.containers.get(containerId)!;
  enterStep(execution, STEP.queue, now);
  execution.state = 'running';
  execution.ticket = executions.nextTicket++;
  execution.executedAt = now;
  execution.ranOn = host.id;
  execution.replica = replica;
  execution.container = containerId;
  execution.reused = session.lastContainer === containerId;
  if (execution.reused) noteReason(execution, 'executor-reused');
  execution.rate = rateOf(state, execution, host);
  host.running++;
  host.executions++;
  state.totals.running++;
  state.totals.runningGpuMillis += execution.need.gpuMillis;
  if (policy.replicated) state.totals.standbyReplicas--;
  const warm = container.lastSession === session.id;
  const resumes = execution.servedMs > 0;
  const once = policy.deviceLoad === 'once';
  state.effects.push({
    kind: 'execute',
    execution: execution.slot,
    ticket: execution.ticket,
    session: session.id,
    cell: execution.cell,
    attempt: execution.attempt,
    replica,
    container: containerId,
    host: host.id,
    gpuMillis: execution.need.gpuMillis,
    devices: execution.devices,
    voters: policy.replicated ? session.replicas.length : 0,
    readState:
      resumes || policy.stateRead === 'always' || (policy.stateRead === 'unless-warm' && !warm),
    loadDevice: !once || !session.deviceLoaded,
    unloadDevice: !once,
    writeState: policy.stateWrite,
    servedMs: execution.servedMs,
    rate: execution.rate,
  });
  session.deviceLoaded = true;
  session.lastActiveAt = now;
  if (policy.rate !== undefined) updateRates(state, host, execution);
}

/** The execution of an outcome event, or null when it is not the one under way any more. */
export function current(state: State, slot: number, ticket: number): Execution | null {
  const execution = state.executions.slots[slot];
  return execution !== undefined && execution.ticket === ticket ? execution : null;
}

/** Ends the binding of a running execution to its host and devices. */
export function endRun(state: State, session: Session, execution: Execution): Host {
  const host = state.hosts[execution.host]!;
  host.running--;
  state.totals.running--;
  state.totals.runningGpuMillis -= execution.need.gpuMillis;
  if (state.policy.replicated) state.totals.standbyReplicas++;
  if (state.policy.container === 'session' && state.policy.commit === 'placement') {
    unbind(state, execution, host.id);
    execution.host = -1;
  } else {
    uncommit(state, execution);
  }
  session.lastActiveAt = state.now;
  if (state.policy.rate !== undefined) updateRates(state, host, null);
  return host;
}

/** A container that served one execution goes back to the pool or ends. */
function returnContainer(state: State, host: Host, execution: Execution): void {
  if (state.policy.container === 'session') return;
  const container = state.containers.get(execution.container);
  if (container === undefined) return;
  noteHeld(state, state.now - execution.executedAt);
  if (state.policy.container === 'execution' || host.state !== 'up') {
    stopContainer(state, container);
    return;
  }
  unplace(state, container);
  container.lastSession = execution.session;
  shelve(state, host, container);
}

/** User code has ended and the devices are free. */
export function released(state: State, event: ExecutionReleased): void {
  const execution = current(state, event.execution, event.ticket);
  if (execution === null) return;
  const session = state.sessions[execution.session]!;
  const { steps } = execution;
  if (execution.started) {
    steps[STEP.suspended]! += event.stateReadMs + event.electionMs + event.deviceLoadMs;
  } else {
    steps[STEP.state_read]! += event.stateReadMs;
    steps[STEP.election]! += event.electionMs;
    steps[STEP.device_load]! += event.deviceLoadMs;
  }
  steps[STEP.run]! += event.runMs;
  steps[STEP.device_unload]! += event.deviceUnloadMs;
  steps[STEP.state_commit]! += event.stateCommitMs;
  const host = endRun(state, session, execution);
  execution.state = 'replying';
  session.lastReplica = execution.replica;
  session.lastContainer = execution.container;
  session.executed++;
  returnContainer(state, host, execution);
  serveWaiting(state, host);
}

/** The reply has left: the kernel is free. */
export function replied(state: State, event: ExecutionReplied): void {
  const execution = current(state, event.execution, event.ticket);
  if (execution === null) return;
  execution.steps[STEP.state_commit]! += event.stateCommitMs;
  execution.steps[STEP.reply]! += event.replyMs;
  finish(state, execution, 'completed');
}

/** Answers an execution and turns its kernel to the next. */
function finish(
  state: State,
  execution: Execution,
  status: 'completed' | 'aborted' | 'rejected',
): void {
  const session = state.sessions[execution.session]!;
  state.effects.push({
    kind: 'reply',
    session: execution.session,
    cell: execution.cell,
    status,
    execution,
  });
  freeExecution(state.executions, execution);
  if (session.active !== execution.slot) return;
  session.active = -1;
  session.lastActiveAt = state.now;
  next(state, session);
}

function next(state: State, session: Session): void {
  const slot = session.queue.shift();
  if (slot !== undefined) {
    begin(state, session, state.executions.slots[slot]!);
  } else if (session.state === 'closing') {
    closeKernel(state, session);
  } else {
    armReclamation(state, session);
  }
}

export function reject(state: State, execution: Execution, reason: Reason): void {
  enterStep(execution, STEP.queue, state.now);
  execution.reason = reason;
  execution.immediate = false;
  const gpus = execution.need.gpuMillis;
  fact(state, 'reject', -1, execution.session, execution.cell, gpus, reason);
  finish(state, execution, 'rejected');
}

/** Rejects whatever waits for a kernel that will not come. */
export function rejectAll(state: State, session: Session, reason: Reason): void {
  const waiting = session.active === -1 ? [] : [session.active];
  waiting.push(...session.queue);
  session.queue = [];
  for (const slot of waiting) reject(state, state.executions.slots[slot]!, reason);
}

/** Tries again after a failed attempt, up to the limit. */
export function retry(state: State, execution: Execution): void {
  execution.attempt++;
  execution.immediate = false;
  execution.container = -1;
  if (execution.attempt > state.config.maxAttempts) {
    reject(state, execution, 'rejected-attempts');
    return;
  }
  const session = state.sessions[execution.session]!;
  if (state.policy.container === 'session' && !isUsable(session)) {
    execution.state = 'kernel-wait';
    enterStep(execution, waitStep(state, session), state.now);
    return;
  }
  dispatch(state, execution);
}

/** The executor is gone: what ran is lost and its GPUs come back. `runAgain` must follow. */
export function voidRun(state: State, execution: Execution): void {
  const session = state.sessions[execution.session]!;
  state.effects.push({ kind: 'abort', execution: execution.slot, ticket: execution.ticket });
  execution.ticket = 0;
  const { steps } = execution;
  const lostMs = state.now - execution.executedAt + steps[STEP.run]!;
  steps[STEP.lost]! += lostMs;
  steps[STEP.run] = 0;
  execution.stepSince = state.now;
  execution.started = false;
  execution.servedMs = 0;
  state.totals.lostGpuMs += lostMs * execution.need.gpuMillis;
  endRun(state, session, execution);
  execution.yielded = 0;
}

/** Runs a voided execution from its start, or answers it with an error. */
export function runAgain(state: State, execution: Execution): void {
  if (!state.config.retryAborted) {
    execution.reason = 'aborted-executor-lost';
    finish(state, execution, 'aborted');
    return;
  }
  noteReason(execution, 'restarted');
  retry(state, execution);
}

/** The target could not commit after all: the next replica is asked, or one is moved. */
export function yielded(state: State, event: ExecutionYielded): void {
  const execution = current(state, event.execution, event.ticket);
  if (execution === null) return;
  const session = state.sessions[execution.session]!;
  execution.steps[execution.started ? STEP.suspended : STEP.election]! +=
    state.now - execution.executedAt;
  execution.stepSince = state.now;
  const host = endRun(state, session, execution);
  execution.ticket = 0;
  execution.immediate = false;
  execution.yielded |= 1 << execution.replica;
  fact(state, 'refuse', host.id, session.id, execution.cell, 0, 'yielded');
  if (allYielded(session, execution)) retry(state, execution);
  else dispatch(state, execution);
  serveWaiting(state, host);
}

/** The policy took the devices away; the rest of the work waits its turn. */
export function suspended(state: State, event: ExecutionSuspended): void {
  const execution = current(state, event.execution, event.ticket);
  if (execution === null) return;
  const session = state.sessions[execution.session]!;
  const { steps } = execution;
  if (execution.started) {
    steps[STEP.suspended]! += event.stateReadMs + event.electionMs + event.deviceLoadMs;
  } else {
    steps[STEP.state_read]! += event.stateReadMs;
    steps[STEP.election]! += event.electionMs;
    steps[STEP.device_load]! += event.deviceLoadMs;
  }
  steps[STEP.run]! += event.runMs;
  steps[STEP.suspended]! += event.suspendMs;
  execution.started = true;
  execution.servedMs += event.runMs;
  execution.step = STEP.suspended;
  execution.stepSince = state.now;
  execution.ticket = 0;
  const host = endRun(state, session, execution);
  returnContainer(state, host, execution);
  noteReason(execution, 'suspended');
  fact(state, 'suspend', host.id, session.id, execution.cell, execution.need.gpuMillis, '');
  startWaiting(state, execution);
  serveWaiting(state, host);
}
