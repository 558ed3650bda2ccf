import type { JupyterMessage } from '../../../live/jupyter/message.ts';
import type { StartEntry } from '../../../live/log/entries.ts';
import type { KernelLog } from '../../../live/log/kernel-log.ts';
import type { KernelReport } from '../../../live/wire/messages.ts';

/** One kernel of agents in memory: its true log, where its members are, what they said. */

export interface FakeMember {
  host: string;
  process: 'starting' | 'ready' | 'resting';
}

export interface FakeOutput {
  seq: number;
  after: number;
  member: number;
  cell: number;
  attempt: number;
  message: JupyterMessage;
}

export interface FakeGroup {
  log: KernelLog;
  index: number;
  members: Map<number, FakeMember>;
  /** members as the log has them, on any host */
  addresses: Map<number, string>;
  nextOutput: number;
  outputs: FakeOutput[];
  /** what each member was told of */
  seen: Map<number, number>;
  replied: number;
  /** how often a gateway had it go on where it was */
  taken: number;
  run: { start: StartEntry; end: (failed: boolean) => void } | undefined;
}

export function newGroup(log: KernelLog, index: number): FakeGroup {
  return {
    ...{ log, index, nextOutput: 0, outputs: [], replied: -1, taken: 0, run: undefined },
    ...{ members: new Map(), addresses: new Map(), seen: new Map() },
  };
}

/** A host has the outputs of its own runs. */
function numbersOf(group: FakeGroup, member: number): { first: number; next: number } {
  const own = group.outputs.filter((output) => output.member === member);
  const next = (own.at(-1)?.seq ?? -1) + 1;
  return { first: own[0]?.seq ?? next, next };
}

export function reportOf(kernel: string, group: FakeGroup, member: number): KernelReport {
  const { log } = group;
  const { process } = group.members.get(member)!;
  return {
    kernel,
    member,
    role: member === [...group.members.keys()][0] ? 'leader' : 'follower',
    applied: log.applied,
    process,
    pid: 1,
    meta: log.meta!,
    members: [...group.addresses].map(([each, host]) => ({ member: each, host })),
    leader: 1,
    epoch: log.epoch,
    executor: log.executor,
    nextCell: log.nextCell,
    nextAttempt: log.nextAttempt,
    count: log.count,
    open: log.openCells(),
    decided: log.decided,
    outputs: {
      ...numbersOf(group, member),
      seen: group.seen.get(member) ?? -1,
      replied: group.replied,
    },
    unreplicated: [],
    pinned: [],
    stateBytes: 0,
  };
}

/** What a host has that comes back. */
export function processAfter({ log }: FakeGroup): FakeMember['process'] {
  return log.meta?.visits === true ? 'resting' : 'starting';
}
