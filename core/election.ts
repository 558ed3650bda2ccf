import type { Execution } from './books/execution-book.ts';
import { isBeingMoved, type Replica, type Session } from './books/session-book.ts';
import { canCommit } from './ledger.ts';
import { ZERO } from './resources.ts';
import type { State } from './state.ts';
import { ratioWith } from './subscription.ts';

/**
 * Which replica runs an execution. The scheduler names the target from its books, and one commit in
 * the kernel's log makes it so; a target that cannot after all yields, then the others are asked in
 * turn, and when all have yielded one replica is moved (`migration`).
 */

function canLead(state: State, session: Session, index: number, execution: Execution): boolean {
  const replica = session.replicas[index]!;
  return (
    replica.state === 'ready' &&
    !isBeingMoved(session, index) &&
    (execution.yielded & (1 << index)) === 0 &&
    canCommit(state, state.hosts[replica.host]!, execution.need, execution.id)
  );
}

/**
 * The replica to run on: the last executor if it can commit now, else the one whose host has most
 * idle GPUs, then the lowest subscription ratio, then the lowest host id; -1 when none can.
 */
export function chooseExecutor(state: State, session: Session, execution: Execution): number {
  const last = session.lastReplica;
  const lastCan = last !== -1 && canLead(state, session, last, execution);
  if (lastCan && !execution.moves) return last;
  let best = -1;
  for (let index = 0; index < session.replicas.length; index++) {
    if (index === last || !canLead(state, session, index, execution)) continue;
    const better =
      best === -1 || leadsBefore(state, session.replicas[index]!, session.replicas[best]!);
    if (better) best = index;
  }
  return best === -1 && lastCan ? last : best;
}

/** Whether the cell still waits for the pinned executor, which is there but cannot commit now. */
export function awaitsPinned(state: State, session: Session, execution: Execution): boolean {
  const last = session.lastReplica;
  if (!session.pinned || last === -1 || canLead(state, session, last, execution)) return false;
  const replica = session.replicas[last]!;
  if (replica.state !== 'ready' || (execution.yielded & (1 << last)) !== 0) return false;
  const { waitingSince } = execution;
  return waitingSince === -1 || state.now - waitingSince < state.config.pinWaitMs;
}

function leadsBefore(state: State, a: Replica, b: Replica): boolean {
  const left = state.hosts[a.host]!;
  const right = state.hosts[b.host]!;
  if (left.idle.gpuMillis !== right.idle.gpuMillis) {
    return left.idle.gpuMillis > right.idle.gpuMillis;
  }
  const difference = ratioWith(state, left, ZERO) - ratioWith(state, right, ZERO);
  return difference !== 0 ? difference < 0 : left.id < right.id;
}
