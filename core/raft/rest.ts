import { NOBODY } from './entry.ts';
import type { Member } from './member.ts';
import { sendHeartbeats } from './replication.ts';

/**
 * Rest: a group where every member has and has committed everything stops ticking, so that
 * thousands of idle groups cost nothing. Any message or request wakes a member. Nobody notices a
 * lost leader meanwhile: whoever runs the members watches their hosts and calls `wake`.
 */

/** Counts a leader's tick in which nothing was to do, and lets the group rest after enough. */
export function tickIdle(m: Member): void {
  const { restAfterTicks } = m.limits;
  if (restAfterTicks === 0 || m.role !== 'leader') return;
  if (!isIdle(m)) m.idleTicks = 0;
  else if (++m.idleTicks >= restAfterTicks) {
    sendHeartbeats(m, true);
    m.resting = true;
  }
}

function isIdle(m: Member): boolean {
  const { log } = m;
  if (log.stable !== log.last || log.handed !== log.last) return false;
  if (m.waitingReads.length > 0 || m.transferee !== NOBODY) return false;
  for (const { state, match } of m.progress.values())
    if (state !== 'replicate' || match !== log.last) return false;
  return true;
}

/** Whether a follower holds all that the leader had when it called for rest. */
export function mayRest(m: Member, leaderLast: number): boolean {
  return m.log.last === leaderLast && m.log.committed === leaderLast;
}

/** Starts ticking again, with full patience; a leader shows itself at once. */
export function wake(m: Member): void {
  m.idleTicks = 0;
  if (!m.resting) return;
  m.resting = false;
  m.electionElapsed = 0;
  if (m.role === 'leader') m.heartbeatDue = true;
}
