import { assert } from '../errors.ts';
import { LOG_FORMAT, type MemberId, NOBODY } from './entry.ts';
import type { Member } from './member.ts';
import { syncProgress } from './replication.ts';

/**
 * Changes of role, one function each (section 5.1, figure 4). Nothing else writes role, term or
 * leader; the vote for another is written where votes are given.
 */

export function becomeFollower(m: Member, term: number, leader: MemberId): void {
  assert(term >= m.term, 'terms never fall');
  enter(m, term);
  m.role = 'follower';
  m.leader = leader;
}

/** Keeps term and vote: a pre-vote promises nothing (thesis, section 9.6). */
export function becomePreCandidate(m: Member): void {
  assert(m.role !== 'leader', 'a leader does not campaign');
  m.role = 'pre-candidate';
  m.leader = NOBODY;
  m.votes.clear();
  drawElectionTimeout(m);
}

export function becomeCandidate(m: Member): void {
  assert(m.role !== 'leader', 'a leader does not campaign');
  enter(m, m.term + 1);
  m.role = 'candidate';
  m.leader = NOBODY;
  m.vote = m.id;
}

/** Opens the term with an empty entry, so that what came before can be committed (section 8). */
export function becomeLeader(m: Member): void {
  assert(m.role === 'candidate', 'only a candidate becomes leader');
  enter(m, m.term);
  m.role = 'leader';
  m.leader = m.id;
  m.heartbeatDue = true;
  syncProgress(m);
  const index = m.log.last + 1;
  m.log.append([{ v: LOG_FORMAT, term: m.term, index, kind: 'empty', data: '' }]);
}

/** Takes a leader as known without touching term or vote: it was just heard from. */
export function followLeader(m: Member, leader: MemberId): void {
  assert(m.role !== 'leader', 'a term has one leader (section 5.2)');
  if (m.role !== 'follower') becomeFollower(m, m.term, leader);
  m.leader = leader;
  m.electionElapsed = 0;
}

/** Gives a vote to another member, once a term. */
export function giveVote(m: Member, candidate: MemberId): void {
  assert(m.vote === NOBODY || m.vote === candidate, 'one vote a term (section 5.2)');
  m.vote = candidate;
  m.electionElapsed = 0;
}

export function forgetLeader(m: Member): void {
  if (m.role !== 'leader') m.leader = NOBODY;
}

/** What every change of role starts from. */
function enter(m: Member, term: number): void {
  if (term !== m.term) {
    m.term = term;
    m.vote = NOBODY;
  }
  m.electionElapsed = 0;
  m.heartbeatElapsed = 0;
  drawElectionTimeout(m);
  m.votes.clear();
  m.progress.clear();
  m.transferee = NOBODY;
  m.uncommittedBytes = 0;
  m.round = 0;
  m.heartbeatDue = false;
  for (const { id } of m.waitingReads) m.lostReads.push(id);
  m.waitingReads = [];
  m.resting = false;
  m.idleTicks = 0;
}

/** Spread over [electionTicks, 2 × electionTicks), so that votes are rarely split (section 5.2). */
function drawElectionTimeout(m: Member): void {
  const { electionTicks } = m.limits;
  const drawn = m.random();
  assert(drawn >= 0 && drawn < 1, 'random() gives 0 ≤ x < 1');
  m.electionTimeout = electionTicks + Math.floor(drawn * electionTicks);
}
