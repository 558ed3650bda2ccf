import { NbosError } from '../../core/errors.ts';
import {
  configurationOf,
  LOG_FORMAT,
  type MemberId,
  type Payload,
  type Snapshot,
} from '../../core/raft/index.ts';
import type { KernelMeta } from '../log/entries.ts';
import { isMeta } from '../log/entry-shapes.ts';
import { areAll, isCount, isObject, isText } from '../log/shapes.ts';
import type { MemberAddress } from '../wire/messages.ts';
import type { StoredGroup } from './ports.ts';

/** What a host keeps of a group beside its log, and what snapshots and changes of members carry. */

const FORMAT = 1;

export interface GroupIdentity {
  readonly member: MemberId;
  readonly meta: KernelMeta;
  /** hosts of all members that were ever heard of and not removed */
  readonly members: readonly MemberAddress[];
}

export function encodeIdentity({ member, meta, members }: GroupIdentity): string {
  return JSON.stringify({ v: FORMAT, member, meta, members });
}

/** Throws `log-corrupt` or `format-version`. */
export function parseIdentity(kernel: string, text: string): GroupIdentity {
  const value = parse(text, `the identity of kernel ${kernel} on this host`);
  const { member, meta, members } = value;
  if (!isCount(member) || member < 1 || !isMeta(meta) || !areAll(members, isAddress))
    throw corrupt(`the identity of kernel ${kernel} on this host`);
  return { member, meta, members: members as unknown as MemberAddress[] };
}

/** A group's first state on a host: its first members, or nothing yet for one that joins. */
export function freshGroup(identity: GroupIdentity, joins: boolean): StoredGroup {
  const voters = joins ? [] : identity.members.map(({ member }) => member);
  const snapshot: Snapshot = {
    v: LOG_FORMAT,
    index: 0,
    term: 0,
    config: configurationOf(voters),
    data: '',
  };
  const hardState = { term: 0, vote: 0, commit: 0 };
  return { identity: encodeIdentity(identity), hardState, snapshot, entries: [] };
}

export interface SnapshotData {
  readonly members: readonly MemberAddress[];
  /** state of the kernel's log, not looked into here */
  readonly state: unknown;
}

export function encodeSnapshot({ members, state }: SnapshotData): string {
  return JSON.stringify({ v: FORMAT, members, state });
}

/** Undefined for the empty snapshot that a group begins with. */
export function parseSnapshot(kernel: string, data: Payload): SnapshotData | undefined {
  if (data.length === 0) return undefined;
  const value = parse(textOf(data), `a snapshot of kernel ${kernel}`);
  const { members, state } = value;
  if (!areAll(members, isAddress)) throw corrupt(`a snapshot of kernel ${kernel}`);
  return { members: members as unknown as MemberAddress[], state };
}

/** What travels with a change of members: where the one that comes is. */
export function encodeChange(add: MemberAddress | undefined): string {
  return add === undefined ? '' : JSON.stringify({ v: FORMAT, add });
}

/** Address of the member that comes with this change, undefined when none does. */
export function addressOf(data: Payload): MemberAddress | undefined {
  if (data.length === 0) return undefined;
  const { add } = parse(textOf(data), 'a change of members');
  return isAddress(add) ? (add as MemberAddress) : undefined;
}

function isAddress(value: unknown): boolean {
  return isObject(value) && isCount(value['member']) && isText(value['host']);
}

function textOf(data: Payload): string {
  return typeof data === 'string' ? data : new TextDecoder().decode(data);
}

function parse(text: string, what: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw corrupt(what);
  }
  if (!isObject(value)) throw corrupt(what);
  const v = value['v'];
  if (typeof v === 'number' && v > FORMAT)
    throw new NbosError(
      'format-version',
      `${what} has format version ${v}; this build reads up to ${FORMAT}`,
      'Start the newer version again, or upgrade this one.',
    );
  return value;
}

function corrupt(what: string): NbosError {
  return new NbosError(
    'log-corrupt',
    `${what} cannot be read`,
    "Remove this host's copy of the kernel: another member holds it too.",
  );
}
