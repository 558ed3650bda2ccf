import type { StartContainer } from '../../core/effects.ts';
import type { JupyterMessage } from '../jupyter/message.ts';
import type { AbortReason, KernelMeta, SubmitEntry, Unreplicated } from '../log/entries.ts';
import type { AppliedEntry, KernelPosition, KernelReport } from '../wire/messages.ts';
import type { KernelClient } from './kernel-service.ts';
import { OutputStreams } from './output-streams.ts';
import { ReplayBuffer } from './replay-buffer.ts';

/** What the gateway keeps of one kernel. Plain data; the parts beside this file change it. */

/** A replica: its Raft member, on a host, in a container of core's books. */
export interface Member {
  readonly member: number;
  readonly host: string;
  /** core's number; -1 when core does not count on it any more and it still belongs to the group */
  container: number;
  /** its process is usable, as far as we know */
  ready: boolean;
  /** the group knows it as a voter */
  joined: boolean;
  /** a change of members that takes it out may be under way: it is not to be relied on again */
  leaving: boolean;
  /** `ready` said by positions counts only from this index of the log on */
  readyFrom: number;
  position: KernelPosition | undefined;
  /** performance.now() of its start, for the time that it took */
  startedAt: number;
}

/** One execute_request from acceptance to reply. */
export interface Cell {
  readonly cell: number;
  readonly submit: SubmitEntry;
  /** header of the request, the parent of all that answers it */
  readonly header: Uint8Array;
  /** who asked, while connected */
  link: ClientLink | undefined;
  /** `deciding`: END is applied, its outputs are still on the way */
  state: 'waiting' | 'running' | 'deciding' | 'ended' | 'aborted';
  /** SUBMIT is on its way or in the log */
  proposed: boolean;
  /** its SUBMIT is committed, as far as we were told */
  accepted: boolean;
  attempt: number;
  epoch: number;
  executor: number;
  count: number;
  devices: readonly number[];
  /** number of its first output, or lower */
  firstOutput: number;
  /** core's numbers while it runs there; ticket 0 when it does not */
  execution: number;
  ticket: number;
  /** ms on core's clock */
  executedAt: number;
  startedAt: number;
  endedAt: number;
  /** index in the log of its decision, 0 before it is known: its reply is about to leave */
  decidedAt: number;
  /** taken back: it must not start any more */
  withdrawn: boolean;
  /** how it is to end that has not started, once the log has accepted it */
  ending: { reason: AbortReason; message: string } | undefined;
  /** interrupt it as soon as it has started */
  interrupt: boolean;
  /** its input was shown; a run elsewhere, after one that never began, shows it again */
  inputShown: boolean;
  noticed: boolean;
  /** performance.now() of its arrival here */
  readonly arrivedAt: number;
  runMs: number;
}

/** A connected client of a kernel. */
export interface ClientLink {
  readonly client: KernelClient;
  /** the client's own name of itself; '' when it has none */
  readonly session: string;
  open: boolean;
  /** last entry of the replay buffer that it was given */
  position: number;
}

export type DecidedEntry = Extract<AppliedEntry, { type: 'end' | 'abort' }>;

/** A decided cell, for duplicates of its request and clients that come back. */
export interface Decided {
  readonly cell: Cell;
  readonly entry: DecidedEntry;
}

/** How many decided cells are remembered by kernel. */
export const DECIDED_KEPT = 64;

export class LiveKernel {
  meta: KernelMeta;
  readonly id: string;
  readonly session: number;
  readonly members = new Map<number, Member>();
  nextMember = 1;
  /** its group exists */
  created = false;
  /** no new work; its replicas are being removed */
  closing = false;
  /** its log is on no host: it begins anew from the store */
  restoring = false;
  /** and with empty state, as its user asked */
  beginsEmpty = false;
  /** its log is being begun on another host: nothing goes into the old one meanwhile */
  moving = false;
  /** up to this index its log is in the store for sure */
  savedIndex = 0;
  /** index of its last RESET, 0 for none */
  resetAt = 0;
  restarting = false;
  /** the RESET of a restart is not applied yet */
  resetDue = false;
  /** a replica has been ready at least once */
  everReady = false;
  failedStarts = 0;
  lastFailure = '';
  /** told under its first cell; '' for nothing */
  notice = '';

  /** open cells, oldest first */
  readonly cells = new Map<number, Cell>();
  /** open and decided cells by session and msg_id */
  readonly known = new Map<string, Cell>();
  readonly decided = new Map<number, Decided>();
  running: Cell | undefined;
  /** core has chosen its executor; its START waits for the decision on the running cell */
  deferred: Cell | undefined;
  nextCell = 0;
  nextAttempt = 1;
  count = 0;
  epoch = 0;
  /** member of the last START, 0 before the first */
  executor = 0;
  appliedIndex = 0;
  /** highest index that any member told of */
  heardIndex = 0;
  /** cells in the log that are asked for, since a gateway before this one proposed them */
  readonly unknown = new Set<number>();
  /** requests that the log had before, until it is known what became of them */
  readonly dropped: Cell[] = [];
  /** what agents were told of replies that have left, by index */
  toldReplied = 0;
  executed = 0;

  /** by member: outputs up to this one were with the clients of a gateway before this one */
  readonly seenBefore = new Map<number, number>();

  readonly links = new Set<ClientLink>();
  /** where clients that left were, by session */
  readonly positions = new Map<string, number>();
  readonly replay = new ReplayBuffer();
  readonly streams = new OutputStreams();
  /** who asked what on shell and control, by msg_id */
  readonly asked = new Map<string, { link: ClientLink; channel: 'shell' | 'control' }>();
  /** messages for its process from before there is one */
  readonly held: { channel: 'shell' | 'control' | 'stdin'; message: JupyterMessage }[] = [];
  pendingInput: { member: number; message: JupyterMessage } | undefined;
  /** content of the last kernel_info_reply */
  info: JupyterMessage | undefined;

  lastActivityMs: number;
  unreplicated: readonly Unreplicated[] = [];
  pinned: readonly string[] = [];
  stateBytes = 0;
  savedMs = 0;
  lostQuorum = false;
  /** by host: what it was taken over from while fewer than a majority had told of it */
  minority: Map<string, KernelReport> | undefined;
  /** starts of replicas that wait until a majority has told */
  readonly heldStarts: StartContainer[] = [];

  constructor(meta: KernelMeta) {
    this.meta = meta;
    this.id = meta.kernel;
    this.session = meta.session;
    this.lastActivityMs = meta.createdAt;
  }

  /** A member that nothing is known of yet, with a number that none had. */
  addMember(host: string, container: number, joined: boolean): Member {
    const member: Member = {
      ...{ member: this.nextMember++, host, container, joined },
      ...{ leaving: false, ready: false, readyFrom: 0, position: undefined },
      startedAt: performance.now(),
    };
    this.members.set(member.member, member);
    return member;
  }

  /** It has a process for its cells only. */
  get visits(): boolean {
    return this.meta.visits === true;
  }

  /** A host that is up has a log of it which takes entries. */
  hasLog(isUp: (host: string) => boolean): boolean {
    if (this.moving) return false;
    return [...this.members.values()].some(({ joined, host }) => joined && isUp(host));
  }

  memberOfContainer(container: number): Member | undefined {
    for (const member of this.members.values()) if (member.container === container) return member;
    return undefined;
  }

  /** The replica that clients' messages go to: the executor, else the first that is ready. */
  front(): Member | undefined {
    const executor = this.members.get(this.executor);
    if (executor?.ready === true) return executor;
    for (const member of this.members.values()) if (member.ready) return member;
    return undefined;
  }

  /** Replies of all cells that the log decided up to this index have left. */
  replied(): number {
    // Cells of a gateway before this one, which it is about to answer.
    if (this.unknown.size + this.dropped.length > 0) return this.toldReplied;
    let until = this.appliedIndex;
    for (const { decidedAt } of this.cells.values())
      if (decidedAt > 0) until = Math.min(until, decidedAt - 1);
    this.toldReplied = Math.max(this.toldReplied, until);
    return this.toldReplied;
  }

  /** A cell has ended whose outputs are yet to come from this replica. */
  waitsFor(member: number): boolean {
    for (const { state, executor } of this.cells.values())
      if (state === 'deciding' && executor === member) return true;
    return false;
  }

  /** Waiting cells, oldest first. */
  waiting(): Cell[] {
    return [...this.cells.values()].filter(({ state }) => state === 'waiting');
  }

  get state(): 'starting' | 'idle' | 'busy' | 'restarting' | 'dead' {
    if (this.closing) return 'dead';
    if (this.restarting) return 'restarting';
    if (!this.everReady) return 'starting';
    return this.cells.size > 0 ? 'busy' : 'idle';
  }
}

export function cellKey(session: string, msgId: string): string {
  return `${session}\0${msgId}`;
}
