import { followLeader } from './become.ts';
import { type MemberId, NOBODY } from './entry.ts';
import type { Member } from './member.ts';
import type { Append, Heartbeat, InstallSnapshot } from './messages.ts';
import { mayRest } from './rest.ts';

/** What a member does that hears from the leader of its term. */

export function onAppend(m: Member, append: Append): void {
  followLeader(m, append.from);
  const { prevIndex, prevTerm, entries, commit } = append;
  // What is committed here is equal there; such an append is late.
  if (prevIndex < m.log.committed) {
    acknowledge(m, append.from, m.log.committed);
    return;
  }
  const last = m.log.tryAppend(prevIndex, prevTerm, entries);
  if (last === undefined) {
    const hint = m.log.conflictHint(prevIndex, prevTerm);
    refuse(m, append.from, prevIndex, hint.index, hint.term);
    return;
  }
  m.log.commitTo(Math.min(commit, last));
  acknowledge(m, append.from, last);
}

/** False when the leader counts on entries that are not here: this disk lost what it had said. */
export function onHeartbeat(m: Member, { from, commit, round, rest }: Heartbeat): boolean {
  followLeader(m, from);
  if (commit > m.log.last) return false;
  m.log.commitTo(commit);
  if (rest && mayRest(m, commit)) m.resting = true;
  m.send({ type: 'heartbeat-reply', from: m.id, to: from, term: m.term, round });
  return true;
}

export function onSnapshot(m: Member, { from, snapshot }: InstallSnapshot): void {
  followLeader(m, from);
  const { log } = m;
  if (snapshot.index > log.committed) {
    // A log that already holds the snapshot's last entry only lacks the news of the commit.
    if (log.has(snapshot.index, snapshot.term)) log.commitTo(snapshot.index);
    else log.restore(snapshot);
  }
  acknowledge(m, from, log.committed);
}

/** Tells a leader of an older term that it is one; the answer's term says so. */
export function correct(m: Member, from: MemberId): void {
  refuse(m, from, 0, 0, 0);
}

function acknowledge(m: Member, to: MemberId, index: number): void {
  const { id: from, term } = m;
  m.send({ type: 'append-reply', from, to, term, ok: true, index, hintIndex: 0, hintTerm: 0 });
}

function refuse(m: Member, to: MemberId, index: number, hintIndex: number, hintTerm: number): void {
  const { id: from, term } = m;
  if (to === NOBODY) return;
  m.send({ type: 'append-reply', from, to, term, ok: false, index, hintIndex, hintTerm });
}
