import type { Entry, HardState, Message, Snapshot } from '../../core/raft/index.ts';
import type { JupyterMessage } from '../jupyter/message.ts';
import type { Blob, LogEntry } from '../log/entries.ts';
import type {
  AgentFault,
  AgentNotice,
  KernelPosition,
  KernelReport,
  MemberAddress,
} from '../wire/messages.ts';

/** How the parts of an agent meet. Each is made with the others' interfaces, never their classes. */

/** Durable logs of all groups on this host. */
export interface LogStore {
  kernels(): Promise<readonly string[]>;
  load(kernel: string): Promise<StoredGroup | undefined>;
  /** First state of a group: its identity, and a snapshot or nothing. Durable when it resolves. */
  create(kernel: string, group: StoredGroup): Promise<void>;
  /**
   * One Ready, made durable as a whole; synced when `mustSync`. Writes of several groups that are
   * asked for in one turn of the loop share one batch and one sync. A failure is for good: the
   * group must stop. Writes of one group are asked for one after the other.
   */
  write(kernel: string, update: StoredUpdate): Promise<void>;
  remove(kernel: string): Promise<void>;
  close(): Promise<void>;
}

export interface StoredGroup {
  /** what the controller keeps beside the log, as JSON: own member id, addresses of members… */
  identity: string;
  hardState: HardState;
  snapshot: Snapshot | undefined;
  entries: readonly Entry[];
}

export interface StoredUpdate {
  identity?: string;
  hardState?: HardState;
  snapshot?: Snapshot;
  /** `snapshot` came from the leader: it replaces the whole log, entries after it too */
  restored?: boolean;
  /** in place of those stored at and after the first of them */
  entries?: readonly Entry[];
  /** entries up to here are not needed any more */
  compactTo?: number;
  mustSync: boolean;
}

/** The other agents. Sending never waits and may lose; the Raft groups above bear that. */
export interface Peers {
  readonly host: string;
  sendRaft(to: string, kernel: string, messages: readonly Message[]): void;
  /** Asks another agent to propose; rejects `peer-unreachable` after a time limit. */
  forward(to: string, kernel: string, entries: readonly LogEntry[]): Promise<ForwardAnswer>;
  /** performance.now() of the last word heard; -Infinity for none */
  lastContact(host: string): number;
}

export interface ForwardAnswer {
  ok: boolean;
  /** why not: 'not-leader', 'unknown-kernel', or one of the refusals of core/raft */
  code: string;
  /** host of the leader it knows, '' for none */
  leader: string;
}

/** Blobs of state that are too large for an entry, by content, in files of this host. */
export interface Blobs {
  /** folder of a kernel, where runtimes put and read files named by hash */
  directory(kernel: string): string;
  /** Durable here and on so many of `hosts` that `quorum` hold each, this host included. */
  replicate(
    kernel: string,
    blobs: readonly Blob[],
    hosts: readonly string[],
    quorum: number,
  ): Promise<void>;
  /** Fetches what is missing here from any of `hosts`; verified. Rejects `blob-lost`. */
  ensure(kernel: string, blobs: readonly Blob[], hosts: readonly string[]): Promise<void>;
  /** Removes files of the kernel that are not in `keep` and were not touched for a while. */
  collect(kernel: string, keep: ReadonlySet<string>): Promise<void>;
  remove(kernel: string): Promise<void>;
}

/** One kernel on this host: Raft member, state and process. Made by the agent, run by itself. */
export interface Replica {
  readonly kernel: string;
  readonly member: number;
  /** `from`: host that sent them, where a member may be whose coming is not in the log here yet. */
  step(messages: readonly Message[], from: string): void;
  /** One raft tick; cheap when the group rests. */
  tick(): void;
  /** A host is known gone: groups led from there do not wait for their election. */
  hostGone(host: string): void;
  /** Resolves when committed here; forwards to the leader. Refusals are NbosErrors. */
  propose(entries: readonly LogEntry[]): Promise<void>;
  /** For a peer that forwards: proposes only if this member leads. */
  proposeHere(entries: readonly LogEntry[]): Promise<ForwardAnswer>;
  changeMembers(add: MemberAddress | undefined, remove: number | undefined): Promise<void>;
  toKernel(channel: 'shell' | 'control' | 'stdin', message: JupyterMessage): void;
  interrupt(): Promise<void>;
  resendOutputs(from: number): void;
  outputsSeen(upTo: number): void;
  /** Of a kernel that visits: it goes on from here. Starts its process, where there is none. */
  wake(): void;
  /** Ends the process and starts none by itself; resolves once it has ended. */
  rest(): Promise<void>;
  /** Resolves once all that its log holds now is in the store, and the log says so. */
  save(): Promise<void>;
  report(): KernelReport;
  position(): KernelPosition;
  fault(fault: AgentFault): void;
  /** Lets go of the process but leaves log and files (agent ends); or removes all of it. */
  stop(how: 'leave' | 'purge'): Promise<void>;
}

/** A notice to the gateway with its binary frames; kept until there is a link, in order. */
export type Tell = (notice: AgentNotice, frames?: readonly Uint8Array[]) => void;
