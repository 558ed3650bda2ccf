import { isConfiguration } from './configuration.ts';
import type { Entry, MemberId, Snapshot } from './entry.ts';

interface Envelope {
  readonly from: MemberId;
  readonly to: MemberId;
  /** the sender's term; of a pre-vote and of its granting answer, the term it would have */
  readonly term: number;
}

/** Entries after `prevIndex`, or just the question whether the logs meet there (section 5.3). */
export interface Append extends Envelope {
  readonly type: 'append';
  readonly prevIndex: number;
  readonly prevTerm: number;
  readonly entries: readonly Entry[];
  readonly commit: number;
}

export interface AppendReply extends Envelope {
  readonly type: 'append-reply';
  readonly ok: boolean;
  /** ok: the last index known to be equal; refused: the prevIndex that was refused */
  readonly index: number;
  /**
   * refused: the latest place where the logs may meet, by index and by the follower's term there
   */
  readonly hintIndex: number;
  readonly hintTerm: number;
}

export interface Heartbeat extends Envelope {
  readonly type: 'heartbeat';
  /** never above what the receiver is known to have */
  readonly commit: number;
  /** counts up in a term; the answer repeats it, and so proves contact since */
  readonly round: number;
  /** there is nothing to do: stop ticking until something comes */
  readonly rest: boolean;
}

export interface HeartbeatReply extends Envelope {
  readonly type: 'heartbeat-reply';
  readonly round: number;
}

export interface VoteRequest extends Envelope {
  readonly type: 'vote';
  /** only asks whether a vote would be given (thesis, section 9.6) */
  readonly pre: boolean;
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** the leader itself asked for this election: its lease does not stand against it */
  readonly transfer: boolean;
}

export interface VoteReply extends Envelope {
  readonly type: 'vote-reply';
  readonly pre: boolean;
  readonly granted: boolean;
}

export interface InstallSnapshot extends Envelope {
  readonly type: 'snapshot';
  readonly snapshot: Snapshot;
}

/** The leader asks the receiver to campaign at once (thesis, section 3.10). */
export interface TimeoutNow extends Envelope {
  readonly type: 'timeout-now';
}

export type Message =
  | Append
  | AppendReply
  | Heartbeat
  | HeartbeatReply
  | VoteRequest
  | VoteReply
  | InstallSnapshot
  | TimeoutNow;

export type MessageType = Message['type'];
export type MessageOf<Type extends MessageType> = Extract<Message, { type: Type }>;

type Fields = Readonly<Record<string, unknown>>;

const BODIES: { readonly [Type in MessageType]: (m: Fields) => boolean } = {
  append: (m) =>
    isIndex(m['prevIndex']) && isIndex(m['prevTerm']) && isIndex(m['commit']) && areEntries(m),
  'append-reply': (m) =>
    typeof m['ok'] === 'boolean' &&
    isIndex(m['index']) &&
    isIndex(m['hintIndex']) &&
    isIndex(m['hintTerm']),
  heartbeat: (m) => isIndex(m['commit']) && isIndex(m['round']) && typeof m['rest'] === 'boolean',
  'heartbeat-reply': (m) => isIndex(m['round']),
  vote: (m) =>
    typeof m['pre'] === 'boolean' &&
    typeof m['transfer'] === 'boolean' &&
    isIndex(m['lastIndex']) &&
    isIndex(m['lastTerm']),
  'vote-reply': (m) => typeof m['pre'] === 'boolean' && typeof m['granted'] === 'boolean',
  snapshot: (m) => isSnapshot(m['snapshot']) && m['snapshot'].term <= (m['term'] as number),
  'timeout-now': () => true,
};

/**
 * Whether a value that came over a wire is a message that some member could have sent: of the right
 * shape, with entries in the order of a log. Payloads and format versions are not looked into.
 */
export function isMessage(value: unknown): value is Message {
  if (typeof value !== 'object' || value === null) return false;
  const m = value as Fields;
  if (!isMemberId(m['from']) || !isMemberId(m['to']) || !isIndex(m['term'])) return false;
  const type = m['type'];
  if (typeof type !== 'string' || !Object.hasOwn(BODIES, type)) return false;
  return BODIES[type as MessageType](m);
}

/** Entries follow `prevIndex` without a hole, and terms never fall (log matching, section 5.3). */
function areEntries(m: Fields): boolean {
  const { entries } = m;
  if (!Array.isArray(entries)) return false;
  let index = m['prevIndex'] as number;
  let term = m['prevTerm'] as number;
  for (const each of entries as unknown[]) {
    if (typeof each !== 'object' || each === null) return false;
    const entry = each as Fields;
    if (entry['index'] !== ++index || !isIndex(entry['term']) || entry['term'] < term) return false;
    if (!isIndex(entry['v']) || !isPayload(entry['data'])) return false;
    if (!isKnownKind(entry)) return false;
    term = entry['term'];
  }
  return term <= (m['term'] as number);
}

function isKnownKind(entry: Fields): boolean {
  if (entry['kind'] === 'config') return isConfiguration(entry['config']);
  return (entry['kind'] === 'data' || entry['kind'] === 'empty') && entry['config'] === undefined;
}

function isSnapshot(value: unknown): value is Snapshot {
  if (typeof value !== 'object' || value === null) return false;
  const snapshot = value as Fields;
  return (
    isIndex(snapshot['v']) &&
    isIndex(snapshot['index']) &&
    isIndex(snapshot['term']) &&
    isConfiguration(snapshot['config']) &&
    isPayload(snapshot['data'])
  );
}

/** Far from where counting up would lose precision. */
const MOST = 2 ** 52;

function isIndex(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < MOST;
}

function isMemberId(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}

function isPayload(value: unknown): boolean {
  return typeof value === 'string' || value instanceof Uint8Array;
}
