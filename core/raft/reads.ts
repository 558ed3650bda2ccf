import type { Member } from './member.ts';
import type { Refusal } from './proposals.ts';
import { reachedByQuorum } from './quorum.ts';

/**
 * Asks for an index at which the state machine shows everything that was committed before now,
 * without an entry in the log (thesis, section 6.4). It holds once a quorum answered a heartbeat
 * that was sent later, so this leader was not replaced in between; no clock is trusted.
 */
export function askRead(m: Member, id: number): Refusal | undefined {
  if (m.role !== 'leader') return 'not-leader';
  // Before its first commit a leader does not know what its predecessors committed.
  if (m.log.term(m.log.committed) !== m.term) return 'not-ready';
  if (m.waitingReads.length >= m.limits.maxReads) return 'overloaded';
  m.waitingReads.push({ id, index: m.log.committed, round: m.round + 1 });
  m.heartbeatDue = true;
  return undefined;
}

/** Grants the reads whose round a quorum answered. */
export function confirmReads(m: Member): void {
  if (m.waitingReads.length === 0) return;
  const round = reachedByQuorum(m.config, (id) =>
    id === m.id ? m.round : (m.progress.get(id)?.round ?? 0),
  );
  let granted = 0;
  while (granted < m.waitingReads.length && m.waitingReads[granted]!.round <= round) {
    const { id, index } = m.waitingReads[granted++]!;
    m.grantedReads.push({ id, index });
  }
  if (granted > 0) m.waitingReads.splice(0, granted);
}
