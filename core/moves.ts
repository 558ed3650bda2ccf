import { admitsReplica } from './admission.ts';
import type { Host } from './books/host-book.ts';
import { isBeingMoved, type Session } from './books/session-book.ts';
import { askForHosts, hostsInAll, isHeldOff } from './demand.ts';
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

/** Why the replica cannot be moved wherever it might go; '' when it can. */
function whyBusy(state: State, session: Session, replica: number): string {
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
  return '';
}

/** Why the replica cannot be moved there (`host` -1: anywhere), for people; '' when it can. */
export function whyNotMoved(state: State, session: Session, replica: number, host: number): string {
  const busy = whyBusy(state, session, replica);
  if (busy !== '') return busy;
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
  moveAll(state, host);
}

/** A host has come: replicas on hosts that are to be empty may have waited for it. */
export function goOnDraining(state: State): void {
  for (const id of state.draining) {
    const host = state.hosts[id]!;
    if (host.drainOrdered) moveAll(state, host);
  }
}

function moveAll(state: State, host: Host): void {
  if (!state.policy.migrates) return;
  for (const container of [...host.containers]) {
    const moved = movableIn(state, container);
    if (moved === undefined) continue;
    const { session, replica } = moved;
    const target = drainTarget(state, host, session);
    if (target !== undefined) startMove(state, session, replica, target, null);
    else if (mayAsk(state)) askForHosts(state, 1, session.need, session.gpuType);
  }
}

/** Whether a drain that is asked for again would change something now. */
export function drainGoesOn(state: State, id: number): boolean {
  const host = state.hosts[id];
  if (host?.state === 'up') return true;
  if (host?.state !== 'draining' || !state.policy.migrates) return false;
  return host.containers.some((container) => {
    const moved = movableIn(state, container);
    if (moved === undefined) return false;
    return mayAsk(state) || drainTarget(state, host, moved.session) !== undefined;
  });
}

/** Whether replicas without a target may have another host come. */
function mayAsk(state: State): boolean {
  return state.pending.length === 0 && !isHeldOff(state) && hostsInAll(state) < state.bounds.max;
}

/** The replica in the container, if it may be moved now, given a target. */
function movableIn(
  state: State,
  container: number,
): { session: Session; replica: number } | undefined {
  const session = state.sessions[state.containers.get(container)!.session];
  const replica = session?.replicas.findIndex((each) => each.container === container) ?? -1;
  if (session === undefined || whyBusy(state, session, replica) !== '') return undefined;
  return { session, replica };
}
