import { becomeFollower } from './become.ts';
import { isVoter, membersOf } from './configuration.ts';
import { assertReadable, bytesOf, type MemberId, NOBODY } from './entry.ts';
import type { Member } from './member.ts';
import type { AppendReply, HeartbeatReply } from './messages.ts';
import { Progress } from './progress.ts';
import { reachedByQuorum } from './quorum.ts';
import { confirmReads } from './reads.ts';
import { sendTimeoutNow } from './transfer.ts';

/** Gives each other member of the latest configuration a progress, and takes those of the gone. */
export function syncProgress(m: Member): void {
  const members = membersOf(m.config);
  const { maxInflight, maxInflightBytes } = m.limits;
  for (const id of m.progress.keys()) if (!members.includes(id)) m.progress.delete(id);
  for (const id of members) {
    if (id === m.id || m.progress.has(id)) continue;
    m.progress.set(id, new Progress(m.log.last + 1, maxInflight, maxInflightBytes));
  }
  if (!m.progress.has(m.transferee)) m.transferee = NOBODY;
}

/** Queues everything that members lack and may be sent now; all proposals since go together. */
export function replicate(m: Member): void {
  for (const [to, progress] of m.progress) {
    let sends = 0;
    while (sendAppend(m, to, progress, progress.state === 'probe')) {
      if (++sends > m.limits.maxInflight) break;
    }
  }
}

/** Queues one append, or a snapshot in its place; true when more may follow at once. */
function sendAppend(m: Member, to: MemberId, progress: Progress, evenEmpty: boolean): boolean {
  if (progress.paused) return false;
  const { log, term } = m;
  const prevIndex = progress.next - 1;
  const prevTerm = log.term(prevIndex);
  if (prevTerm === undefined) {
    sendSnapshot(m, to, progress);
    return false;
  }
  const entries = log.slice(progress.next, log.last, m.limits.maxMessageBytes);
  const commit = log.committed;
  const news = (!m.limits.lazyCommit || m.commitDue) && progress.sentCommit < commit;
  if (entries.length === 0 && !evenEmpty && !news) return false;
  m.send({ type: 'append', from: m.id, to, term, prevIndex, prevTerm, entries, commit });
  progress.sentCommit = commit;
  progress.sent(prevIndex + entries.length, bytesOf(entries));
  return entries.length > 0 && progress.next <= log.last;
}

/** Only to a member that answers: a snapshot is large. */
function sendSnapshot(m: Member, to: MemberId, progress: Progress): void {
  if (!progress.active) return;
  const { snapshot } = m.log;
  assertReadable(snapshot.v, 'the snapshot to send');
  progress.becomeSnapshot(snapshot.index);
  m.send({ type: 'snapshot', from: m.id, to, term: m.term, snapshot });
}

export function sendHeartbeats(m: Member, rest: boolean): void {
  m.heartbeatDue = false;
  m.heartbeatElapsed = 0;
  m.round++;
  const { round, term } = m;
  for (const [to, { match }] of m.progress) {
    const commit = Math.min(match, m.log.committed);
    m.send({ type: 'heartbeat', from: m.id, to, term, commit, round, rest });
  }
}

/** Counts a leader's tick. */
export function tickLeader(m: Member): void {
  m.heartbeatElapsed++;
  if (m.heartbeatElapsed >= m.limits.heartbeatTicks) m.heartbeatDue = true;
  for (const progress of m.progress.values()) {
    if (progress.state === 'snapshot' && ++progress.snapshotTicks >= m.limits.snapshotTicks)
      progress.becomeProbe();
  }
  if (m.transferee !== NOBODY && ++m.transferTicks >= m.limits.electionTicks) m.transferee = NOBODY;
  if (++m.electionElapsed < m.limits.electionTicks) return;
  m.electionElapsed = 0;
  if (m.limits.checkQuorum) checkQuorum(m);
}

function checkQuorum(m: Member): void {
  const reached = reachedByQuorum(m.config, (id) =>
    id === m.id || m.progress.get(id)?.active ? 1 : 0,
  );
  for (const progress of m.progress.values()) progress.active = false;
  if (reached === 0) becomeFollower(m, m.term, NOBODY);
}

/** False for an answer that no sane member gives. */
export function onAppendReply(m: Member, reply: AppendReply): boolean {
  const progress = m.progress.get(reply.from);
  if (progress === undefined) return true;
  progress.active = true;
  if (!reply.ok) {
    onRefusal(m, progress, reply);
    return true;
  }
  if (reply.index > m.log.last) return false;
  if (progress.acknowledged(reply.index) || progress.state === 'probe') {
    if (progress.state === 'replicate') progress.inflights.freeTo(reply.index);
    else if (progress.match + 1 >= m.log.first) progress.becomeReplicate();
    maybeCommit(m);
    if (m.transferee === reply.from) sendTimeoutNow(m, reply.from, progress);
  }
  return true;
}

function onRefusal(m: Member, progress: Progress, reply: AppendReply): void {
  const { hintIndex, hintTerm } = reply;
  // What is compacted away cannot be compared; a snapshot will follow.
  const known = hintIndex >= m.log.first - 1;
  const hint = known ? m.log.conflictHint(hintIndex, hintTerm).index : hintIndex;
  if (!progress.refused(reply.index, hint)) return;
  if (progress.state === 'replicate') progress.becomeProbe();
}

export function onHeartbeatReply(m: Member, { from, round }: HeartbeatReply): void {
  const progress = m.progress.get(from);
  if (progress === undefined || round > m.round) return;
  progress.active = true;
  progress.probing = false;
  progress.round = Math.max(progress.round, round);
  // Answers to a full window may be lost, and so may its last append: one more asks.
  if (progress.state === 'replicate') {
    if (progress.inflights.full) progress.inflights.freeFirst();
    if (progress.match < m.log.last) sendAppend(m, from, progress, true);
  }
  confirmReads(m);
}

/** The snapshot's sender says whether it arrived; without word it is given up after a while. */
export function onSnapshotReport(m: Member, to: MemberId, delivered: boolean): void {
  const progress = m.progress.get(to);
  if (progress?.state !== 'snapshot') return;
  if (delivered) progress.becomeProbeAfterSnapshot();
  else progress.becomeProbe();
  // The next append waits for a sign of life: right after a failure it would fail again.
  progress.probing = true;
}

/** Appends sent ahead are lost: back to one at a time. */
export function onUnreachable(m: Member, to: MemberId): void {
  const progress = m.progress.get(to);
  if (progress?.state === 'replicate') progress.becomeProbe();
}

/**
 * Commits what a majority holds on disk, if it is of this term: an older entry counts only together
 * with one of this term, since a later leader may still cut it (section 5.4.2, figure 8).
 */
export function maybeCommit(m: Member): void {
  const index = reachedByQuorum(m.config, (id) =>
    id === m.id ? m.log.stable : (m.progress.get(id)?.match ?? 0),
  );
  if (index <= m.log.committed || m.log.term(index) !== m.term) return;
  m.log.commitTo(index);
  if (!m.configPending && !isVoter(m.config, m.id)) resign(m);
}

/** A leader that is no voter any more leaves once that is committed (thesis, section 4.2.2). */
function resign(m: Member): void {
  sendHeartbeats(m, false);
  replicate(m);
  for (const id of m.config.voters) {
    const progress = m.progress.get(id);
    if (progress !== undefined && sendTimeoutNow(m, id, progress)) break;
  }
  becomeFollower(m, m.term, NOBODY);
}
