import { type Container, newContainer } from './books/container-book.ts';
import type { Execution } from './books/execution-book.ts';
import type { Host } from './books/host-book.ts';
import type { Session } from './books/session-book.ts';
import { changed } from './ledger.ts';
import { replenish, takeFromPool } from './prewarm.ts';
import { removeFrom, type State } from './state.ts';

/** Emits the start of a container that is in the book. */
export function startContainer(
  state: State,
  container: Container,
  start: 'cold' | 'prewarmed' | 'same',
  cell: number,
  attempt: number,
): void {
  if (start === 'cold') state.totals.coldStarts++;
  state.effects.push({
    kind: 'start-container',
    container: container.id,
    host: container.host,
    session: container.session,
    start,
    cell,
    attempt,
  });
}

/** A container for a replica of the session: from the host's pool when it has one, else cold. */
export function startReplicaContainer(
  state: State,
  host: Host,
  session: Session,
  replica: number,
  execution: Execution | null,
): Container {
  const { container, start } = obtain(state, host, session.id);
  container.role = 'replica';
  container.replica = replica;
  container.execution = execution === null ? -1 : execution.slot;
  const cell = execution === null ? -1 : execution.cell;
  const attempt = execution === null ? session.placements * 8 + replica : execution.attempt;
  placeContainer(state, host, container);
  startContainer(state, container, start, cell, attempt);
  return container;
}

/** A container for one execution; 'ready' when it last ran this session and needs no start. */
export function startExecutionContainer(
  state: State,
  host: Host,
  execution: Execution,
): { container: Container; start: 'cold' | 'prewarmed' | 'same' } {
  const { container, start } = obtain(state, host, execution.session);
  container.role = 'execution';
  container.execution = execution.slot;
  container.session = execution.session;
  placeContainer(state, host, container);
  if (state.policy.container === 'pool') host.poolTaken++;
  if (start === 'same') container.state = 'ready';
  else startContainer(state, container, start, execution.cell, execution.attempt);
  return { container, start };
}

function obtain(
  state: State,
  host: Host,
  session: number,
): { container: Container; start: 'cold' | 'prewarmed' | 'same' } {
  const taken = takeFromPool(state, host, session);
  if (taken !== undefined) {
    const same = taken.lastSession === session;
    taken.state = 'starting';
    taken.session = session;
    return { container: taken, start: same ? 'same' : 'prewarmed' };
  }
  const container = newContainer(state.nextContainer++, host.id, 'replica');
  container.session = session;
  state.containers.set(container.id, container);
  return { container, start: 'cold' };
}

/** Enters a container on its host. */
export function placeContainer(state: State, host: Host, container: Container): void {
  host.containers.push(container.id);
  host.emptySince = -1;
  if (host.containers.length > host.replicasMax) host.replicasMax = host.containers.length;
  if (host.state === 'up' && state.policy.container !== 'pool') replenish(state, host);
  changed(state, host);
}

/** Ends a container that is of no use any more. */
export function stopContainer(state: State, container: Container): void {
  state.effects.push({ kind: 'stop-container', container: container.id, host: container.host });
  forgetContainer(state, container);
}

/** Takes a container out of the books, whether stopped or lost. */
export function forgetContainer(state: State, container: Container): void {
  state.containers.delete(container.id);
  unplace(state, container);
}

/** Takes a container off its host's list of placed ones. */
export function unplace(state: State, container: Container): void {
  const host = state.hosts[container.host]!;
  if (!removeFrom(host.containers, container.id)) return;
  if (container.role === 'execution' && state.policy.container === 'pool') host.poolTaken--;
  if (host.containers.length === 0 && host.state === 'up') noteEmpty(state, host);
  changed(state, host);
}

/** A host became empty: on-demand policies release it after a while. */
export function noteEmpty(state: State, host: Host): void {
  host.emptySince = state.now;
  if (state.config.scaling === 'on-demand') armRelease(state, host);
}

export function armRelease(state: State, host: Host): void {
  const at = Math.max(state.now, host.emptySince + state.config.emptyHostHoldMs);
  state.effects.push({ kind: 'set-timer', timer: 'empty-host', key: host.id, at });
}
