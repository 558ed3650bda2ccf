import { admitsReplica } from './admission.ts';
import type { Host } from './books/host-book.ts';
import { isBeingMoved, type Session } from './books/session-book.ts';
import type { MoveRequested } from './events.ts';
import { drainTarget, startMove } from './migration.ts';
import type { State } from './state.ts';

/** Moves that an operator asks for. */

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
