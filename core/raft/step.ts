import { becomeFollower } from './become.ts';
import { campaignForTransfer, inLease, onVoteReply, onVoteRequest } from './election.ts';
import { LOG_FORMAT, NOBODY } from './entry.ts';
import { correct, onAppend, onHeartbeat, onSnapshot } from './following.ts';
import type { Member } from './member.ts';
import type { Message, MessageOf, MessageType } from './messages.ts';
import { onAppendReply, onHeartbeatReply } from './replication.ts';
import { wake } from './rest.ts';

/** What became of a message; only `taken` ones had an effect beyond an answer. */
export type StepOutcome =
  | 'taken'
  /** addressed to another member */
  | 'not-for-me'
  /** of an earlier term; its sender is told where that helps */
  | 'stale-term'
  /** asks for a vote against a leader that is alive */
  | 'lease'
  /** holds entries or a snapshot in a format that this build cannot read */
  | 'newer-format'
  /** claims what cannot be */
  | 'senseless';

type Handlers = {
  readonly [Type in MessageType]: (m: Member, message: MessageOf<Type>) => unknown;
};

const HANDLERS: Handlers = {
  append: onAppend,
  'append-reply': (m, reply) => m.role !== 'leader' || onAppendReply(m, reply),
  heartbeat: onHeartbeat,
  'heartbeat-reply': (m, reply) => m.role !== 'leader' || onHeartbeatReply(m, reply),
  vote: onVoteRequest,
  'vote-reply': onVoteReply,
  snapshot: onSnapshot,
  'timeout-now': (m) => m.role === 'leader' || !m.mayCampaign || campaignForTransfer(m),
};

export const FROM_LEADER: ReadonlySet<MessageType> = new Set(['append', 'heartbeat', 'snapshot']);
/** Takes a message: settles whose term is newer, then hands it to its handler. */
export function step(m: Member, message: Message): StepOutcome {
  if (message.to !== m.id || message.from === m.id) return 'not-for-me';
  if (isNewer(message)) return 'newer-format';
  const outcome = settleTerm(m, message);
  if (outcome !== 'taken') return outcome;
  if (message.type !== 'heartbeat-reply') wake(m);
  const handler = HANDLERS[message.type] as (m: Member, message: Message) => unknown;
  return handler(m, message) === false ? 'senseless' : 'taken';
}

/** Compares terms before anything else (section 5.1). */
function settleTerm(m: Member, message: Message): StepOutcome {
  const { type, from, term } = message;
  if (term > m.term) {
    if (type === 'vote') {
      wake(m);
      if (!message.transfer && inLease(m)) return 'lease';
      if (message.pre) return 'taken';
    }
    // A granted pre-vote names the term that its candidate would have.
    if (type === 'vote-reply' && message.pre && message.granted) return 'taken';
    becomeFollower(m, term, FROM_LEADER.has(type) ? from : NOBODY);
    return 'taken';
  }
  if (term === m.term) return 'taken';
  if (FROM_LEADER.has(type)) correct(m, from);
  if (type === 'vote') {
    const { pre } = message;
    m.send({ type: 'vote-reply', from: m.id, to: from, term: m.term, pre, granted: false });
  }
  return 'stale-term';
}

function isNewer(message: Message): boolean {
  if (message.type === 'append') return message.entries.some(({ v }) => v > LOG_FORMAT);
  return message.type === 'snapshot' && message.snapshot.v > LOG_FORMAT;
}
