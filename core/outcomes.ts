import { type Execution, enterStep, STEP } from './books/execution-book.ts';
import type { Host } from './books/host-book.ts';
import { isUsable, type Session } from './books/session-book.ts';
import { stopContainer, unplace } from './containers.ts';
import { chooseExecutor } from './election.ts';
import type {
  ExecutionFailed,
  ExecutionReleased,
  ExecutionReplied,
  ExecutionSuspended,
  ExecutionYielded,
} from './events.ts';
import { dispatch, finish, noteReason, reject } from './execution.ts';
import { waitStep } from './kernels.ts';
import { unbind, uncommit } from './ledger.ts';
import { noteHeld, shelve } from './prewarm.ts';
import { updateRates } from './rates.ts';
import { fact, type State } from './state.ts';
import { serveWaiting, startWaiting } from './waiting.ts';

/** What becomes of a run: it ends, yields, is suspended, or its executor is lost. */

/** The execution of an outcome event, or null when it is not the one under way any more. */
export function current(state: State, slot: number, ticket: number): Execution | null {
  const execution = state.executions.slots[slot];
  return execution !== undefined && execution.ticket === ticket ? execution : null;
}

/** Ends the binding of a running execution to its host and devices. */
function endRun(state: State, session: Session, execution: Execution): Host {
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
  if (state.policy.rate !== undefined) updateRates(state, host, execution);
  return host;
}

/** The container has served: one that is there for a single execution ends or joins the pool. */
function returnContainer(state: State, host: Host, execution: Execution): void {
  const container = state.containers.get(execution.container);
  if (container === undefined) return;
  container.lastSession = execution.session;
  noteHeld(state, state.now - execution.executedAt);
  if (state.policy.container === 'session') return;
  if (state.policy.container === 'execution' || host.state !== 'up') {
    stopContainer(state, container);
    return;
  }
  unplace(state, container);
  shelve(state, host, container);
}

/** Charges the steps from `execute` to the end of user code, however it ended. */
function chargeRun(execution: Execution, event: ExecutionReleased | ExecutionSuspended): void {
  const { steps } = execution;
  if (execution.started) {
    steps[STEP.suspended]! += event.stateReadMs + event.electionMs + event.deviceLoadMs;
  } else {
    steps[STEP.state_read]! += event.stateReadMs;
    steps[STEP.election]! += event.electionMs;
    steps[STEP.device_load]! += event.deviceLoadMs;
  }
  steps[STEP.run]! += event.runMs;
}

/** User code has ended and the devices are free. */
export function released(state: State, event: ExecutionReleased): void {
  const execution = current(state, event.execution, event.ticket);
  if (execution === null) return;
  const session = state.sessions[execution.session]!;
  chargeRun(execution, event);
  execution.steps[STEP.device_unload]! += event.deviceUnloadMs;
  execution.steps[STEP.state_commit]! += event.stateCommitMs;
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
  state.effects.push({ kind: 'abort', execution: execution.slot, ticket: execution.ticket });
  writeOff(state, execution);
}

function writeOff(state: State, execution: Execution): void {
  const session = state.sessions[execution.session]!;
  execution.ticket = 0;
  const { steps } = execution;
  const lostMs = state.now - execution.executedAt + steps[STEP.run]!;
  steps[STEP.lost]! += lostMs;
  steps[STEP.run] = 0;
  execution.stepSince = state.now;
  execution.started = false;
  execution.servedMs = 0;
  state.totals.lostGpuMs += lostMs * execution.need.gpuMillis;
  state.relieved = true;
  endRun(state, session, execution);
  execution.yielded = 0;
}

/** The run ended without a result, and the driver says that it must not run again. */
export function failed(state: State, event: ExecutionFailed): void {
  const execution = current(state, event.execution, event.ticket);
  if (execution === null) return;
  if (execution.state === 'replying') {
    // Its devices are back already; only the reply was lost.
    execution.steps[STEP.lost]! += execution.steps[STEP.run]!;
    execution.steps[STEP.run] = 0;
  } else {
    const host = state.hosts[execution.host]!;
    writeOff(state, execution);
    returnContainer(state, host, execution);
  }
  execution.reason = 'aborted-executor-lost';
  finish(state, execution, 'aborted');
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
  // One that is there for executions only, and cannot, is of no use to the next one either.
  const container = state.containers.get(execution.container);
  const ownsKernel = state.policy.container === 'session';
  if (!ownsKernel && container !== undefined) stopContainer(state, container);
  fact(state, 'refuse', host.id, session.id, execution.cell, 0, 'yielded');
  // Without another replica that can lead, this attempt is over.
  const isOver = !ownsKernel || chooseExecutor(state, session, execution) === -1;
  if (isOver) retry(state, execution);
  else dispatch(state, execution);
  serveWaiting(state, host);
}

/** The policy took the devices away; the rest of the work waits its turn. */
export function suspended(state: State, event: ExecutionSuspended): void {
  const execution = current(state, event.execution, event.ticket);
  if (execution === null) return;
  const session = state.sessions[execution.session]!;
  chargeRun(execution, event);
  execution.steps[STEP.suspended]! += event.suspendMs;
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
