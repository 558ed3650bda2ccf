import {
  becomeCandidate,
  becomeFollower,
  becomeLeader,
  becomePreCandidate,
  giveVote,
} from './become.ts';
import { NOBODY } from './entry.ts';
import type { Member } from './member.ts';
import type { VoteReply, VoteRequest } from './messages.ts';
import { tally } from './quorum.ts';

/** Counts a tick without a leader, and campaigns when there were too many. */
export function tickElection(m: Member): void {
  m.electionElapsed++;
  if (m.electionElapsed < m.electionTimeout || !m.mayCampaign) return;
  campaign(m);
}

/** Stands for election, with a pre-vote first where that is on. */
export function campaign(m: Member): void {
  m.electionElapsed = 0;
  if (m.limits.preVote) askForVotes(m, true, false);
  else askForVotes(m, false, false);
}

/** The leader asked for it: no pre-vote, and no lease stands against it. */
export function campaignForTransfer(m: Member): void {
  m.electionElapsed = 0;
  askForVotes(m, false, true);
}

function askForVotes(m: Member, pre: boolean, transfer: boolean): void {
  if (pre) becomePreCandidate(m);
  else becomeCandidate(m);
  // Its own vote is a promise like any other: it counts once it is durable. A pre-vote is none.
  if (pre) m.votes.set(m.id, true);
  if (pre && decide(m)) return;
  const term = pre ? m.term + 1 : m.term;
  const { last: lastIndex, lastTerm } = m.log;
  for (const to of m.config.voters) {
    if (to === m.id) continue;
    m.send({ type: 'vote', from: m.id, to, term, pre, lastIndex, lastTerm, transfer });
  }
}

/** This member's vote for itself in its term is on disk. */
export function onOwnVoteDurable(m: Member): void {
  if (m.role !== 'candidate' || m.votes.has(m.id)) return;
  m.votes.set(m.id, true);
  decide(m);
}

/** Ends the campaign when its outcome is certain. */
function decide(m: Member): boolean {
  switch (tally(m.config, m.votes)) {
    case 'won':
      if (m.role === 'pre-candidate') askForVotes(m, false, false);
      else becomeLeader(m);
      return true;
    case 'lost':
      becomeFollower(m, m.term, NOBODY);
      return true;
    case 'open':
      return false;
  }
}

/** Whether this member heard of its leader so lately that no other has cause to stand. */
export function inLease(m: Member): boolean {
  return m.limits.checkQuorum && m.leader !== NOBODY && m.electionElapsed < m.limits.electionTicks;
}

export function onVoteRequest(m: Member, { from, term, pre, ...asks }: VoteRequest): void {
  const free =
    m.vote === from || (m.vote === NOBODY && m.leader === NOBODY) || (pre && term > m.term);
  const granted = free && m.log.isCurrent(asks.lastIndex, asks.lastTerm);
  if (granted && !pre) giveVote(m, from);
  // A grant names the term that was asked for; a refusal tells the one that stands against it.
  m.send({
    type: 'vote-reply',
    from: m.id,
    to: from,
    term: granted ? term : m.term,
    pre,
    granted,
  });
}

export function onVoteReply(m: Member, { from, term, pre, granted }: VoteReply): void {
  if (m.role !== (pre ? 'pre-candidate' : 'candidate')) return;
  if (granted && term !== (pre ? m.term + 1 : m.term)) return;
  if (!m.votes.has(from)) m.votes.set(from, granted);
  decide(m);
}
