import type { Message } from '../../core/raft/index.ts';
import type {
  AbortEntry,
  CellTimings,
  KernelMeta,
  LogEntry,
  SubmitEntry,
  Unreplicated,
} from '../log/entries.ts';

/**
 * Everything said between gateway and agents and among agents. A message is a JSON head, `t` names
 * its kind, followed by binary frames where the kind has them. Every link begins with `hello`,
 * which carries the format's version; a newer one is refused with a message.
 */
export const WIRE_FORMAT = 1;

/** A replica's Raft member and the host it is on. */
export interface MemberAddress {
  member: number;
  host: string;
}

// Gateway → agent: requests, each answered by {ok: true, …} or {ok: false, code, message}.

export type GatewayRequest =
  /** `members`: all first members with their hosts, or the current ones when `joins`. Answered once
   * the Raft member exists; `replica-ready` or `replica-failed` follows when its process is usable. */
  | {
      t: 'start-replica';
      meta: KernelMeta;
      member: number;
      members: readonly MemberAddress[];
      joins: boolean;
      /** a standby's process starts with less priority */
      niced: boolean;
      /** pooled process to take, or '' */
      pooled: string;
    }
  /** Ends the process of a kernel that visits; its log rests. Answered once it has ended. */
  | { t: 'rest-replica'; kernel: string; member: number }
  /**
   * Answered once all that its log holds now is in the store, and the log says so. Rejects as the
   * store says, and when there is none.
   */
  | { t: 'save-replica'; kernel: string; member: number }
  /** Ends process and Raft member, and removes its files; `closed`: the kernel is no more at all. */
  | { t: 'stop-replica'; kernel: string; member: number; closed?: true }
  /** Answered when committed (or refused); forwarded to the leader by the agent asked. */
  | { t: 'propose'; kernel: string; entries: readonly LogEntry[] }
  /** Adds `member` as learner, waits until it has caught up, promotes it, then removes `replaces`. */
  | { t: 'change-members'; kernel: string; add?: MemberAddress; remove?: number }
  /**
   * What this host has of the log is all of it from now on, in a group of one member numbered `as`.
   * Answered once that member exists.
   */
  | { t: 'recover-replica'; kernel: string; member: number; as: number }
  /**
   * Begins a kernel anew, whose logs are gone, as a group of this one member: with what the store
   * has of it, see Beginning. Answered by RestoreAnswer once the member exists; `replica-ready` or
   * `replica-failed` follows.
   */
  | ({ t: 'restore-replica'; pooled: string } & Beginning)
  /** Answered by StoredKernel, or nothing when the store has no such kernel. */
  | { t: 'stored-kernel'; kernel: string }
  /** Answered by WorkspaceSight: whether a file of that name, a mark of `nbos doctor`, is seen. */
  | { t: 'see-workspace'; mark: string }
  /** interrupt_request on control, SIGINT when it is not answered. */
  | { t: 'interrupt'; kernel: string; member: number }
  | { t: 'start-pooled'; pooled: string; spec: string; argv: readonly string[] }
  | { t: 'stop-pooled'; pooled: string }
  /** Sends again the outputs of the kernel numbered `from` and later, as `output`. */
  | { t: 'resend-outputs'; kernel: string; from: number }
  | { t: 'report' }
  | { t: 'fault'; fault: AgentFault };

/** How a kernel is to begin anew. */
export interface Beginning {
  meta: KernelMeta;
  member: number;
  /** highest index of the lost log that anybody knows of */
  beyond: number;
  /** index of its last RESET: what was saved before it is not the kernel's any more */
  after: number;
  /** with empty state, whatever the store has */
  empty: boolean;
  /** cells that have not started and will be asked for again */
  waiting: readonly number[];
}

/** What became of it. */
export interface Begun {
  /** index of the lost log at which its table was saved, -1 when the state is empty */
  index: number;
  /** name of the store, '' for none */
  store: string;
}

export interface RestoreAnswer extends Begun {
  report: KernelReport;
}

/** What is known of a kernel for sure, also of one that only the store knows. */
export type StoredKernel = Pick<
  KernelReport,
  'meta' | 'applied' | 'epoch' | 'executor' | 'nextCell' | 'nextAttempt' | 'count'
> &
  Partial<Pick<KernelReport, 'members' | 'unreplicated' | 'pinned' | 'stateBytes' | 'resetAt'>>;

/** Whether a host sees a file in the folder that its kernels work in; unknown: it is not there. */
export interface WorkspaceSight {
  sees: 'yes' | 'no' | 'unknown';
}

export type AgentFault =
  | { kind: 'kill-replica'; kernel: string; member: number }
  | { kind: 'fail-next'; kernel: string }
  | { kind: 'yield-next'; kernel: string; times: number }
  | { kind: 'disconnect'; forMs: number }
  | { kind: 'slow'; delayMs: number; forMs: number }
  | { kind: 'disk-full'; forMs: number };

// Gateway → agent, without an answer.

export type GatewayNotice =
  /** First word to an agent that said hello: who else there is. Sent again when that changes. */
  | { t: 'hosts'; hosts: readonly HostAddress[] }
  /** A client's message for the kernel's process. Frames: header, parent, metadata, content, buffers… */
  | { t: 'to-kernel'; kernel: string; member: number; channel: 'shell' | 'control' | 'stdin' }
  /**
   * All clients have outputs up to this number; the agent may forget those of ended cells. The
   * replies of cells that the log decided up to index `replied` have left.
   */
  | { t: 'outputs-seen'; kernel: string; upTo: number; replied?: number }
  | { t: 'gateway-beat'; at: number };

export interface HostAddress {
  host: string;
  /** tcp endpoint of its peer socket */
  peer: string;
  /** its CURVE public key, Z85 */
  key: string;
}

// Agent → gateway.

/** What was said in one turn of the agent's loop, in order; none of it has frames. */
export interface ManyNotices {
  t: 'many';
  notices: readonly AgentNotice[];
}

export type AgentNotice =
  | AgentHello
  | { t: 'agent-beat'; at: number; positions: readonly KernelPosition[] }
  | { t: 'replica-ready'; kernel: string; member: number; pid: number; startMs: number }
  | { t: 'replica-failed'; kernel: string; member: number; code: string; message: string }
  /** Its process is gone; the agent starts it again and `replica-ready` follows. */
  | { t: 'process-died'; kernel: string; member: number; exit: string }
  | { t: 'pooled-ready'; pooled: string }
  | { t: 'pooled-failed'; pooled: string; message: string }
  /** An entry was applied. Every member says it; the first one counts. */
  | { t: 'applied'; kernel: string; member: number; index: number; entry: AppliedEntry }
  /**
   * The target could not take it: no GPU, or told to. Nothing of it ran. Told by every member once
   * the YIELD is committed; the first one counts.
   */
  | { t: 'yielded'; kernel: string; cell: number; attempt: number; member: number }
  /**
   * A message on iopub, in order, each once. `seq` counts per kernel across cells and executors;
   * of this replica nothing lies between it and `after`. `cell` is -1 when its parent is not a cell's request. Frames as of `to-kernel`.
   */
  | {
      t: 'output';
      kernel: string;
      member: number;
      seq: number;
      after: number;
      cell: number;
      attempt: number;
    }
  /** An answer on shell or control, or a question on stdin. */
  | { t: 'from-kernel'; kernel: string; member: number; channel: 'shell' | 'control' | 'stdin' }
  | { t: 'lost-quorum'; kernel: string; member: number }
  | {
      t: 'kernel-state';
      kernel: string;
      unreplicated: readonly Unreplicated[];
      pinned: readonly string[];
      stateBytes: number;
      savedMs: number;
    };

/** Entries as the gateway needs them: states and bodies of requests left out. */
export type AppliedEntry =
  | { type: 'create'; meta: KernelMeta }
  | { type: 'submit'; cell: number; session: string; msgId: string; duplicate: boolean }
  | {
      type: 'start';
      cell: number;
      attempt: number;
      epoch: number;
      executor: number;
      won: boolean;
      /** the cell that runs instead, when it lost to one */
      running?: number;
    }
  | {
      type: 'end';
      cell: number;
      attempt: number;
      /** false when something else had decided the cell before */
      won: boolean;
      executor: number;
      reply: { content: string; metadata: string };
      lastOutput: number;
      timings: CellTimings;
    }
  | { type: 'abort'; won: boolean; entry: AbortEntry }
  | { type: 'reset'; epoch: number }
  | { type: 'other' };

export interface AgentHello {
  t: 'hello';
  v: number;
  host: string;
  pid: number;
  peer: string;
  key: string;
  /** that it holds `key`; see keyProof */
  proof?: string;
  /** folder that its kernels work in, where that must be looked at */
  workspace?: string;
  gpus: number;
  cpuMillis: number;
  memoryMb: number;
  vramMb: number;
  /** why nothing keeps kernels from its GPUs, where something could */
  unguardedGpus?: string;
  kernels: readonly KernelReport[];
  pooled: readonly string[];
}

export type ProcessState = 'starting' | 'ready' | 'behind' | 'dead' | 'resting';

export interface KernelPosition {
  kernel: string;
  member: number;
  role: 'leader' | 'follower' | 'learner' | 'candidate';
  applied: number;
  /**
   * of the process: starting, ready (usable and in step), behind (being brought in step), dead;
   * resting: there is to be none until the gateway asks for it
   */
  process: ProcessState;
  pid: number;
  /** where the kernel's state in the store stands; only of the leader, and where there is a store */
  store?: { saved: boolean; since: number; bytes: number };
}

/** All that an agent knows of a kernel: from these a gateway without any memory goes on. */
export interface KernelReport extends KernelPosition {
  meta: KernelMeta;
  members: readonly MemberAddress[];
  leader: number;
  epoch: number;
  /** member of the last START, 0 before the first */
  executor: number;
  nextCell: number;
  nextAttempt: number;
  /** last execution count given */
  count: number;
  /** index of its last RESET, where there was one */
  resetAt?: number;
  /** accepted and undecided, oldest first */
  open: readonly OpenCell[];
  /** the latest decided ones, for clients that missed the reply; at most 64 */
  decided: readonly DecidedCell[];
  outputs: { first: number; next: number; seen: number; replied?: number };
  unreplicated: readonly Unreplicated[];
  pinned: readonly string[];
  stateBytes: number;
}

export interface OpenCell {
  submit: SubmitEntry;
  /** 0 until a START is committed */
  attempt: number;
  executor: number;
  devices: readonly number[];
  count: number;
}

export interface DecidedCell {
  cell: number;
  session: string;
  msgId: string;
  /** header of the request as JSON text, the parent of a late reply */
  header: string;
  count: number;
  /** its request said `stop_on_error: false`: cells behind it run although it failed */
  goesOn?: boolean;
  /** index in the log at which it was decided */
  at?: number;
  entry: Extract<AppliedEntry, { type: 'end' | 'abort' }>;
}

// Agent ↔ agent.

export type PeerMessage =
  /** `proof`: that it holds `key`, as of AgentHello */
  | { t: 'peer-hello'; v: number; host: string; key?: string; proof?: string }
  | { t: 'peer-beat'; at: number; echo: number; resting: readonly string[] }
  /** Messages of several Raft groups in one frame's worth; payload bytes follow as frames. */
  | { t: 'raft'; groups: readonly { kernel: string; messages: readonly Message[] }[] }
  | { t: 'forward'; id: number; kernel: string; entries: readonly LogEntry[] }
  /** `leader`: the host it knows of, '' for none */
  | { t: 'forwarded'; id: number; ok: boolean; code: string; leader: string }
  /**
   * Which of these does the other side not have? What it has it keeps for a while. `folder` has
   * them as files: who is on the same disk links them in instead of having them sent.
   */
  | { t: 'offer-blobs'; id: number; kernel: string; hashes: readonly string[]; folder?: string }
  /** `far`: none of the files in `folder` could be reached */
  | { t: 'wanted-blobs'; id: number; missing: readonly string[]; far?: boolean }
  /** One frame: the chunk at `offset`. */
  | { t: 'blob'; kernel: string; hash: string; offset: number; total: number }
  /** The chunk is written, the next may come: at most a window of them is on the way. */
  | { t: 'blob-ack'; kernel: string; hash: string; offset: number }
  | { t: 'blob-stored'; kernel: string; hash: string; ok: boolean; message: string }
  /** Answered by chunks, or `blob-stored` with ok false when it is not there. */
  | { t: 'want-blob'; kernel: string; hash: string };
