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
  if (last !== -1 && canLead(state, session, last, execution)) return last;
  let best = -1;
  for (let index = 0; index < session.replicas.length; index++) {
    if (!canLead(state, session, index, execution)) continue;
    const better =
      best === -1 || leadsBefore(state, session.replicas[index]!, session.replicas[best]!);
    if (better) best = index;
  }
  return best;
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
