import { admitsExecution, couldEverFit } from './admission.ts';
import type { Container } from './books/container-book.ts';
import {
  allocateExecution,
  type Execution,
  enterStep,
  freeExecution,
  STEP,
} from './books/execution-book.ts';
import { isUsable, type Session } from './books/session-book.ts';
import { startExecutionContainer } from './containers.ts';
import { awaitsPinned, chooseExecutor } from './election.ts';
import { NbosError } from './errors.ts';
import type { CellSubmitted } from './events.ts';
import { explainRefusals } from './explain.ts';
import { closeKernel, openKernel, retrySetAside, waitStep } from './kernels.ts';
import { bind, commit } from './ledger.ts';
import { migrateFor } from './migration.ts';
import { noteArrival } from './prewarm.ts';
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
  execution.moves = event.moves === true;
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
  if (state.held) {
    execution.state = 'new';
    state.fresh.push(execution.slot);
    return;
  }
  start(state, session, execution);
}

/** The moment is over: what arrived in it and what waits start in the order of the queue. */
export function endMoment(state: State): void {
  state.held = false;
  const fresh = state.fresh.splice(0).map((slot) => state.executions.slots[slot]!);
  for (const execution of fresh.sort(state.queue.compare)) {
    if (execution.state !== 'new') continue;
    serveWaiting(state, null, execution);
    start(state, state.sessions[execution.session]!, execution);
  }
  serveWaiting(state, null);
}

function start(state: State, session: Session, execution: Execution): void {
  const ownsKernel = state.policy.container === 'session';
  const need = ownsKernel ? session.need : execution.need;
  if (!couldEverFit(state, need, execution.gpuType)) {
    reject(state, execution, 'rejected-too-large');
    return;
  }
  if (ownsKernel) {
    if (session.kernel === 'idle') openKernel(state, session);
    else retrySetAside(state, session);
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
  const head = state.config.strictOrder ? state.queue.first() : undefined;
  const overtakes = head !== undefined && state.queue.compare(head, execution) < 0;
  // Before the attempt, which may change the books by moving a replica.
  if (state.explain !== null) explainRefusals(state, execution);
  if (!overtakes && serve(state, execution) === 'served') return;
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
  if (awaitsPinned(state, session, execution)) return 'blocked-self';
  const index = chooseExecutor(state, session, execution);
  if (index === -1) {
    // Its own process is back sooner than a replica elsewhere is up.
    if (session.replicas.some(({ state: at }) => at === 'recovering')) return 'blocked-self';
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
  host.running++;
  execution.rate = rateOf(state, execution, host);
  host.executions++;
  state.totals.running++;
  state.totals.runningGpuMillis += execution.need.gpuMillis;
  if (policy.replicated) state.totals.standbyReplicas--;
  // Its state is as the session left it: neither has run anything else since.
  const warm = container.lastSession === session.id && session.lastContainer === containerId;
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

/** Answers an execution and turns its kernel to the next. */
export function finish(
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

/** Rejects whatever waits for a kernel that will not come; a reply under way still arrives. */
export function rejectAll(state: State, session: Session, reason: Reason): void {
  const waiting = session.queue;
  session.queue = [];
  const active = state.executions.slots[session.active];
  if (active !== undefined && active.state !== 'replying') {
    if (active.state === 'gpu-wait') stopWaiting(state, active);
    waiting.unshift(active.slot);
  }
  for (const slot of waiting) reject(state, state.executions.slots[slot]!, reason);
}
