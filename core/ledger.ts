import type { Execution } from './books/execution-book.ts';
import { commitOn, countBound, devicesServe, type Host, releaseOn } from './books/host-book.ts';
import type { Replica, Session } from './books/session-book.ts';
import { addInto, fitsIn, type ResourceVector, subtractFrom } from './resources.ts';
import { fact, type State } from './state.ts';

/**
 * The only place where vectors of hosts change. Each function changes the host, the totals and the
 * marks of index and scaling together, so that they cannot drift apart.
 */

/** Whether `need` could be committed on `host` now, for the execution with this id (-1: none). */
export function canCommit(
  state: State,
  host: Host,
  need: Readonly<ResourceVector>,
  executionId: number,
): boolean {
  return (
    fitsIn(need, host.idle) &&
    host.state === 'up' &&
    (host.reservedFor === -1 || host.reservedFor === executionId) &&
    (!state.config.deviceIds || devicesServe(host, need.gpuMillis))
  );
}

/** Commits the execution's vector on a host and binds it. */
export function commit(state: State, execution: Execution, host: Host): void {
  const { need } = execution;
  commitOn(host, need, execution, state.config.deviceIds);
  execution.host = host.id;
  state.totals.leasedGpuMillis += need.gpuMillis;
  bind(state, execution, host.id);
  if (state.policy.commit === 'placement') {
    state.totals.reservedGpuMillis += need.gpuMillis;
    fact(state, 'reserve', host.id, execution.session, execution.cell, need.gpuMillis, '');
  }
  if (state.placement.poolOf !== undefined && host.poolClass === 0) {
    host.poolClass = state.placement.poolOf(need.gpuMillis);
  }
  changed(state, host);
}

/** Gives back what `commit` took. */
export function uncommit(state: State, execution: Execution): void {
  const host = state.hosts[execution.host]!;
  const { need } = execution;
  releaseOn(host, need, execution, state.config.deviceIds);
  execution.host = -1;
  state.totals.leasedGpuMillis -= need.gpuMillis;
  unbind(state, execution, host.id);
  if (state.policy.commit === 'placement') {
    state.totals.reservedGpuMillis -= need.gpuMillis;
    fact(state, 'unreserve', host.id, execution.session, execution.cell, need.gpuMillis, '');
  }
  if (host.committed.gpuMillis === 0 && host.running === 0) host.poolClass = 0;
  changed(state, host);
}

/** Binds GPUs that the session's own replica has committed already. */
export function bind(state: State, execution: Execution, host: number): void {
  const { need } = execution;
  state.totals.committedGpuMillis += need.gpuMillis;
  countBound(state.hosts[host]!, need.gpuMillis, state.now);
  state.scaling.dirty = true;
  fact(state, 'commit', host, execution.session, execution.cell, need.gpuMillis, '');
}

export function unbind(state: State, execution: Execution, host: number): void {
  const { need } = execution;
  state.totals.committedGpuMillis -= need.gpuMillis;
  countBound(state.hosts[host]!, -need.gpuMillis, state.now);
  state.scaling.dirty = true;
  fact(state, 'release', host, execution.session, execution.cell, need.gpuMillis, '');
}

/** Commits a whole session on the host of its replica, until the replica goes. */
export function reserve(state: State, session: Session, replica: Replica, host: Host): void {
  const { need } = session;
  commitOn(host, need, replica, state.config.deviceIds);
  state.totals.leasedGpuMillis += need.gpuMillis;
  state.totals.reservedGpuMillis += need.gpuMillis;
  fact(state, 'reserve', host.id, session.id, -1, need.gpuMillis, '');
  changed(state, host);
}

export function unreserve(state: State, session: Session, replica: Replica, host: Host): void {
  const { need } = session;
  releaseOn(host, need, replica, state.config.deviceIds);
  state.totals.leasedGpuMillis -= need.gpuMillis;
  state.totals.reservedGpuMillis -= need.gpuMillis;
  fact(state, 'unreserve', host.id, session.id, -1, need.gpuMillis, '');
  state.relieved = true;
  changed(state, host);
}

/** Counts a placed replica's claim, which may exceed the host. */
export function subscribe(state: State, host: Host, need: Readonly<ResourceVector>): void {
  addInto(host.subscribed, need);
  state.totals.subscribedGpuMillis += need.gpuMillis;
  changed(state, host);
}

export function unsubscribe(state: State, host: Host, need: Readonly<ResourceVector>): void {
  subtractFrom(host.subscribed, need);
  state.relieved = true;
  state.totals.subscribedGpuMillis -= need.gpuMillis;
  changed(state, host);
}

/** Tells index and scaling that a host's keys may have changed. */
export function changed(state: State, host: Host): void {
  state.index.touch(host);
  state.scaling.dirty = true;
}
