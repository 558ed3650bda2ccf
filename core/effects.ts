import type { Execution } from './books/execution-book.ts';
import type { TimerKind } from './events.ts';
import type { Reason } from './reasons.ts';

/**
 * What must be done. `step` returns effects in the order in which they must be performed; the list
 * and everything in it is valid until the next step, so a driver that keeps one copies it. A
 * driver answers each effect that names an outcome with exactly one of its outcome events, unless
 * a later effect (`stop-container`, `abort`, `release-host`) made it pointless.
 */
export type Effect =
  | ProvisionHost
  | ReleaseHost
  | StartContainer
  | StopContainer
  | JoinReplica
  | Execute
  | SetRate
  | Suspend
  | Abort
  | SetTimer
  | WriteCheckpoint
  | Reply
  | Fact;

/** Outcome: `host-up` or `host-failed`. */
export interface ProvisionHost {
  kind: 'provision-host';
  host: number;
  /** index into the configured host types */
  type: number;
}
/** Outcome: `host-released`. Nothing of ours runs on it any more. */
export interface ReleaseHost {
  kind: 'release-host';
  host: number;
}
/** Outcome: `container-started` or `container-failed`. */
export interface StartContainer {
  kind: 'start-container';
  container: number;
  host: number;
  /** session it is for; -1 for the prewarm pool */
  session: number;
  /**
   * 'cold': from nothing; 'prewarmed': a started container is taken; 'same': it last ran this
   * session
   */
  start: 'cold' | 'prewarmed' | 'same';
  /** execution and attempt it is for (the key of its draw), or -1 */
  cell: number;
  attempt: number;
}
export interface StopContainer {
  kind: 'stop-container';
  container: number;
  host: number;
}
/** A started container becomes a replica of a running kernel. Outcome: `replica-joined`. */
export interface JoinReplica {
  kind: 'join-replica';
  container: number;
  host: number;
  session: number;
  /** whether it goes through Raft (three commits) or only reads the kernel's checkpoint */
  commits: boolean;
  readState: boolean;
  /** cell for which it is done, or -1; with `attempt` the key of its draws */
  cell: number;
  attempt: number;
}
/** Outcome: `execution-released` then `execution-replied`; or `execution-yielded`. */
export interface Execute {
  kind: 'execute';
  execution: number;
  ticket: number;
  session: number;
  cell: number;
  attempt: number;
  /** index of the replica, 0 for policies without replicas */
  replica: number;
  container: number;
  host: number;
  gpuMillis: number;
  /** leased device ids as a bit set; 0 with `deviceIds` off */
  devices: number;
  /** members that must agree; 0 where there is no election */
  voters: number;
  readState: boolean;
  loadDevice: boolean;
  unloadDevice: boolean;
  /** 'critical' holds the GPUs until it is done */
  writeState: 'none' | 'background' | 'critical';
  /** run time received before, when it goes on after a suspension; else 0 */
  servedMs: number;
  /** work per wall time */
  rate: number;
}
/** The rate of a running execution has changed. */
export interface SetRate {
  kind: 'set-rate';
  execution: number;
  ticket: number;
  rate: number;
}
/** Outcome: `execution-suspended`, unless it is released first. */
export interface Suspend {
  kind: 'suspend';
  execution: number;
  ticket: number;
}
/** The execution under this ticket is void: its executor is lost. No outcome. */
export interface Abort {
  kind: 'abort';
  execution: number;
  ticket: number;
}
/** Outcome: `timer` at that moment. */
export interface SetTimer {
  kind: 'set-timer';
  timer: TimerKind;
  key: number;
  at: number;
}
/** The state of an idle kernel goes to the store before its containers stop. */
export interface WriteCheckpoint {
  kind: 'write-checkpoint';
  session: number;
}
/** An execution has ended, in whatever way. `execution` is the book's own record. */
export interface Reply {
  kind: 'reply';
  session: number;
  cell: number;
  status: 'completed' | 'aborted' | 'rejected';
  execution: Readonly<Execution>;
}
/** Something for the record; only when facts are asked for. */
export interface Fact {
  kind: 'fact';
  fact: FactKind;
  host: number;
  session: number;
  cell: number;
  gpuMillis: number;
  detail: Reason | string;
}

export type FactKind =
  | 'host-up'
  | 'host-down'
  | 'reserve'
  | 'unreserve'
  | 'commit'
  | 'release'
  | 'keep'
  | 'refuse'
  | 'wait'
  | 'migrate'
  | 'replica-lost'
  | 'suspend'
  | 'reject';
