import { admitsReplica } from './admission.ts';
import type { Host } from './books/host-book.ts';
import { isBeingMoved, type Session } from './books/session-book.ts';
import type { DrainRequested, MoveRequested } from './events.ts';
import { cancelDrain, releaseHost, startDrain } from './hosts.ts';
import { drainTarget, startMove } from './migration.ts';
import type { State } from './state.ts';

/** Moves that an operator asks for, of one replica or of all on a host. */

export function requestMove(state: State, event: MoveRequested): void {
  const session = state.sessions[event.session];
  if (session === undefined || whyNotMoved(state, session, event.replica, event.host) !== '') {
    return;
  }
  const target = targetOf(state, session, event.replica, event.host)!;
  startMove(state, session, event.replica, target, null);
}

function targetOf(state: State, session: Session, replica: number, host: number): Host | undefined {
  if (host === -1) {
    const from = state.hosts[session.replicas[replica]!.host]!;
    return drainTarget(state, from, session);
  }
  const target = state.hosts[host];
  return target !== undefined && admitsReplica(state, target, session) ? target : undefined;
}

/** Why the replica cannot be moved there (`host` -1: anywhere), for people; '' when it can. */
export function whyNotMoved(state: State, session: Session, replica: number, host: number): string {
  const moved = session.replicas[replica];
  if (moved === undefined) return 'the kernel has no such replica';
  if (moved.state !== 'ready') return `the replica is ${moved.state}, only a ready one is moved`;
  if (session.migrations.length > 0 || isBeingMoved(session, replica)) {
    return 'a replica of this kernel is being moved already';
  }
  const active = state.executions.slots[session.active];
  if (active !== undefined && active.container === moved.container) {
    return 'the replica runs a cell; move it when the cell has ended';
  }
  if (targetOf(state, session, replica, host) !== undefined) return '';
  if (host !== -1) return 'the host is not up, holds a replica of this kernel, or is too full';
  const up = state.hosts.filter(({ state: at }) => at === 'up').length;
  return up <= session.replicas.length
    ? `there are ${up} hosts for ${session.replicas.length} replicas, one on each: a move needs another`
    : 'every other host is too full or of another type';
}

/** Takes a host out of service, or lets one that is on its way out stay. */
export function requestDrain(state: State, { host: id, on }: DrainRequested): void {
  const host = state.hosts[id];
  if (host === undefined || (host.state !== 'up' && host.state !== 'draining')) return;
  host.drainOrdered = on;
  if (!on) {
    cancelDrain(state, host);
    return;
  }
  if (host.state === 'up') startDrain(state, host);
  if (host.containers.length === 0 && host.running === 0) {
    releaseHost(state, host);
    return;
  }
  if (!state.policy.migrates) return;
  for (const container of [...host.containers]) moveAway(state, host, container);
}

function moveAway(state: State, host: Host, container: number): void {
  const session = state.sessions[state.containers.get(container)!.session];
  const replica = session?.replicas.findIndex((each) => each.container === container) ?? -1;
  if (session === undefined || whyNotMoved(state, session, replica, -1) !== '') return;
  startMove(state, session, replica, drainTarget(state, host, session)!, null);
}
