import { newContainer } from './books/container-book.ts';
import { allocateExecution, type Execution, STEP } from './books/execution-book.ts';
import type { Host } from './books/host-book.ts';
import { newSession, type Session } from './books/session-book.ts';
import { placeContainer } from './containers.ts';
import { NbosError } from './errors.ts';
import type { ExecutionAdopted, SessionAdopted } from './events.ts';
import { beginRun } from './execution.ts';
import { placeMissing } from './kernels.ts';
import { canCommit, commit, reserve, subscribe } from './ledger.ts';
import { armReclamation } from './reclamation.ts';
import type { State } from './state.ts';

/**
 * Taking over kernels and cells that a scheduler before this one has placed and started. What is
 * reported is entered in the books as if it had been decided here.
 */

export function adoptSession(state: State, event: SessionAdopted): void {
  const { session: id, need, gpuType, replicas } = event;
  const count = event.replicaCount ?? (state.policy.replicated ? state.config.replicas : 1);
  requireThat(state.sessions[id] === undefined, `session ${id} is adopted, but known`);
  requireThat(state.policy.container === 'session', 'this policy keeps no kernels to adopt');
  requireThat(replicas.length <= count, `session ${id} has more replicas than ${count}`);
  for (const { host, container } of replicas) {
    requireThat(state.hosts[host]?.state === 'up', `session ${id} is on host ${host}, not up`);
    requireThat(!state.containers.has(container), `container ${container} is adopted, but known`);
  }
  const session = newSession(id, need, gpuType, event.at, count);
  state.sessions[id] = session;
  state.totals.sessionsOpen++;
  state.totals.demandedGpuMillis += need.gpuMillis;
  if (state.policy.replicated) state.totals.standbyReplicas += count;
  session.kernel = 'placed';
  session.executed = event.executed;
  session.replicas = Array.from({ length: count }, () => ({
    container: -1,
    host: -1,
    state: 'missing' as const,
    devices: 0,
    sharedDevice: -1,
  }));
  replicas.forEach((_, index) => {
    adoptReplica(state, session, event, index);
  });
  session.lastReplica = event.lastReplica;
  session.lastContainer = session.replicas[event.lastReplica]?.container ?? -1;
  if (replicas.length < count) placeMissing(state, session);
  armReclamation(state, session);
}

function adoptReplica(state: State, session: Session, event: SessionAdopted, index: number): void {
  const known = event.replicas[index]!;
  const host = state.hosts[known.host]!;
  const container = newContainer(known.container, known.host, 'replica');
  container.session = session.id;
  container.replica = index;
  container.lastSession = session.id;
  container.state = known.state === 'ready' ? 'ready' : 'starting';
  state.containers.set(container.id, container);
  state.nextContainer = Math.max(state.nextContainer, container.id + 1);
  const replica = session.replicas[index]!;
  replica.container = container.id;
  replica.host = host.id;
  replica.state = known.state;
  placeContainer(state, host, container);
  subscribe(state, host, session.need);
  if (state.policy.commit === 'placement') reserve(state, session, replica, host);
}

export function adoptExecution(state: State, event: ExecutionAdopted): void {
  const session = state.sessions[event.session];
  const ownsKernel = state.policy.container === 'session';
  const place = ownsKernel ? session?.replicas[event.replica] : event;
  const { container = -1, host: at = -1 } = place ?? {};
  const isThere = session !== undefined && session.state === 'open' && container !== -1;
  requireThat(isThere, `a cell of session ${event.session} is adopted, without it`);
  const isNew = !state.containers.has(container);
  requireThat(isNew !== ownsKernel, `container ${container} is adopted with a cell, but known`);
  const host = state.hosts[at];
  requireThat(session!.active === -1 && host?.state === 'up', 'a cell is adopted on a busy kernel');
  const need = state.policy.dynamicRequests ? event.need : session!.need;
  const commits = !ownsKernel || state.policy.commit === 'execution';
  const free = host!.freeDevices;
  if (commits) {
    const has = !state.config.deviceIds || (free & event.devices) === event.devices;
    requireThat(has, `host ${host!.id}: an adopted cell's device is taken`);
    const fits = canCommit(state, host!, need, -1);
    requireThat(fits, `host ${host!.id} cannot hold the adopted cell ${event.cell}`);
  }
  const execution = allocateExecution(state.executions);
  execution.session = event.session;
  execution.cell = event.cell;
  execution.need = need;
  execution.gpuType = session!.gpuType;
  execution.submittedAt = event.submittedAt;
  execution.expectedMs = -1;
  execution.attempt = event.attempt;
  // What happened before is not known in steps.
  execution.steps[STEP.gateway] = event.at - event.submittedAt;
  execution.step = STEP.queue;
  execution.stepSince = event.at;
  session!.active = execution.slot;
  if (commits) commitAgain(state, execution, host!, event.devices);
  else execution.host = host!.id;
  if (!ownsKernel) adoptContainer(state, container, host!, execution);
  beginRun(state, session!, execution, event.replica, container);
}

/** Enters the container that an adopted cell has for itself. */
function adoptContainer(state: State, id: number, host: Host, execution: Execution): void {
  const container = newContainer(id, host.id, 'execution');
  container.session = execution.session;
  container.execution = execution.slot;
  container.state = 'ready';
  state.containers.set(id, container);
  state.nextContainer = Math.max(state.nextContainer, id + 1);
  placeContainer(state, host, container);
  if (state.policy.container === 'pool') host.poolTaken++;
}

/** Commits the very devices that it holds: for the moment no others are free. */
function commitAgain(state: State, execution: Execution, host: Host, devices: number): void {
  const free = host.freeDevices;
  const named = state.config.deviceIds && devices !== 0;
  if (named) host.freeDevices = devices;
  commit(state, execution, host);
  if (named) host.freeDevices = free & ~execution.devices;
}

function requireThat(condition: boolean, what: string): void {
  if (!condition) throw new NbosError('event-invalid', what);
}
