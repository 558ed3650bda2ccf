import { type ConfigChange, changed } from './configuration.ts';
import {
  ENTRY_OVERHEAD_BYTES,
  type Entry,
  LOG_FORMAT,
  NOBODY,
  type Payload,
  payloadBytes,
} from './entry.ts';
import type { Member } from './member.ts';
import { syncProgress } from './replication.ts';

/** Why something was refused; nothing was changed then. */
export const REFUSALS = {
  'not-leader': 'Another member leads, or none: see the status for whom to ask.',
  'not-ready': 'This leader has not committed an entry of its term yet; ask again.',
  transferring: 'The office is being handed over; ask the next leader.',
  'too-large': 'A payload is above maxEntryBytes, or there is none.',
  overloaded: 'Too much waits to be committed or confirmed; ask again later.',
  'change-pending': 'The latest change of members is not committed yet; ask again.',
  'learner-behind': 'The learner lacks more entries than promoteLag; ask again later.',
  'already-member': 'The member to add is there already.',
  'not-a-learner': 'Only a learner can be promoted.',
  'not-a-voter': 'Only another voter can be demoted or take over.',
  'not-a-member': 'Nobody of that id is there.',
  'last-voter': 'A group without voters can decide nothing any more.',
  'too-many-members': 'The group is at maxMembers.',
} as const;

export type Refusal = keyof typeof REFUSALS;

/**
 * Where proposals stand in the log. They are committed once entries of this very term are handed
 * out there; if an entry of another term is, they are lost.
 */
export interface Accepted {
  readonly ok: true;
  readonly term: number;
  readonly first: number;
  readonly last: number;
}

export interface Refused {
  readonly ok: false;
  readonly reason: Refusal;
}

export type Answer = Accepted | Refused;

/** Appends payloads as consecutive entries, all or none. */
export function propose(m: Member, payloads: readonly Payload[]): Answer {
  let bytes = 0;
  for (const data of payloads) {
    if (payloadBytes(data) > m.limits.maxEntryBytes) return refused('too-large');
    bytes += payloadBytes(data) + ENTRY_OVERHEAD_BYTES;
  }
  if (bytes === 0) return refused('too-large');
  const refusal = cannotPropose(m, bytes);
  if (refusal !== undefined) return refused(refusal);
  const first = m.log.last + 1;
  const entries = payloads.map(
    (data, at): Entry => ({ v: LOG_FORMAT, term: m.term, index: first + at, kind: 'data', data }),
  );
  return accept(m, entries, bytes);
}

/** Appends a change of members, which holds on each member from the moment it is in its log. */
export function proposeChange(m: Member, change: ConfigChange, data: Payload): Answer {
  if (payloadBytes(data) > m.limits.maxEntryBytes) return refused('too-large');
  const bytes = payloadBytes(data) + ENTRY_OVERHEAD_BYTES;
  const refusal = cannotPropose(m, bytes) ?? cannotChange(m, change);
  if (refusal !== undefined) return refused(refusal);
  const config = changed(m.config, change, m.limits.maxMembers);
  if (typeof config === 'string') return refused(config);
  const index = m.log.last + 1;
  const entry: Entry = { v: LOG_FORMAT, term: m.term, index, kind: 'config', data, config };
  const answer = accept(m, [entry], bytes);
  syncProgress(m);
  return answer;
}

function cannotPropose(m: Member, bytes: number): Refusal | undefined {
  if (m.role !== 'leader') return 'not-leader';
  if (m.transferee !== NOBODY) return 'transferring';
  const waiting = m.uncommittedBytes;
  return waiting > 0 && waiting + bytes > m.limits.maxUncommittedBytes ? 'overloaded' : undefined;
}

/**
 * One change at a time, and none before this leader has committed an entry of its own: only then do
 * majorities of the old and new members surely meet, whatever earlier leaders left behind.
 */
function cannotChange(m: Member, change: ConfigChange): Refusal | undefined {
  if (m.configPending) return 'change-pending';
  if (m.log.term(m.log.committed) !== m.term) return 'not-ready';
  const progress = m.progress.get(change.member);
  if (change.type !== 'promote' || progress === undefined) return undefined;
  return progress.match + m.limits.promoteLag < m.log.last ? 'learner-behind' : undefined;
}

function accept(m: Member, entries: readonly Entry[], bytes: number): Accepted {
  const first = m.log.last + 1;
  m.log.append(entries);
  m.uncommittedBytes += bytes;
  return { ok: true, term: m.term, first, last: m.log.last };
}

function refused(reason: Refusal): Refused {
  return { ok: false, reason };
}
