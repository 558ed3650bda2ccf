import type { ResourceVector } from './resources.ts';

/**
 * What happened: requests of clients, outcomes of effects, timers, changes of hosts. Every event
 * carries `at`, integer ms on the driver's clock, never less than that of the event before it.
 * `host`, `container`, `execution` are the numbers that effects handed out; `session` is a small
 * dense integer that the driver allocates. An outcome whose `ticket` or container is no longer
 * current is ignored, so a driver need not cancel what it has under way.
 */
export type Event =
  | ClusterStarted
  | HostUp
  | HostFailed
  | HostReleased
  | HostLost
  | HostOffered
  | DrainRequested
  | DeviceExcluded
  | DeviceRestored
  | SessionOpened
  | SessionClosed
  | CellSubmitted
  | ContainerStarted
  | ContainerFailed
  | ContainerLost
  | ReplicaJoined
  | ReplicaRecovering
  | SessionAdopted
  | ExecutionAdopted
  | ExecutionFailed
  | CellCancelled
  | MoveRequested
  | SessionPinned
  | ExecutionYielded
  | ExecutionReleased
  | ExecutionReplied
  | ExecutionSuspended
  | MomentEnded
  | TimerFired;

export type EventKind = Event['kind'];

/** The first event: asks for the initial hosts and arms the policy's timer. */
export interface ClusterStarted {
  kind: 'cluster-started';
  at: number;
}
export interface HostUp {
  kind: 'host-up';
  at: number;
  host: number;
}
/** A provisioned host will never come up. */
export interface HostFailed {
  kind: 'host-failed';
  at: number;
  host: number;
}
export interface HostReleased {
  kind: 'host-released';
  at: number;
  host: number;
}
/** A host and all that ran on it are gone. */
export interface HostLost {
  kind: 'host-lost';
  at: number;
  host: number;
}
/** A host is there beyond those that were asked for: core asks for it too, up to the maximum. */
export interface HostOffered {
  kind: 'host-offered';
  at: number;
}
/**
 * An operator takes a host out of service, or (`on` false) back into it. It gets no new work from
 * then on, its replicas move as they can, and it is released once it is empty. Replicas that run a
 * cell or have nowhere to go stay for now: the driver asks again until the host is released.
 */
export interface DrainRequested {
  kind: 'drain-requested';
  at: number;
  host: number;
  on: boolean;
}
/** A device must not be used; what runs on it is lost. */
export interface DeviceExcluded {
  kind: 'device-excluded';
  at: number;
  host: number;
  device: number;
  reason: 'fault' | 'foreign' | 'operator';
}
export interface DeviceRestored {
  kind: 'device-restored';
  at: number;
  host: number;
  device: number;
}
export interface SessionOpened {
  kind: 'session-opened';
  at: number;
  session: number;
  /** what its replicas subscribe to: the maximum over its cells */
  need: Readonly<ResourceVector>;
  /** GPU model it must have; '' is any */
  gpuType: string;
  /** for a kernel whose state cannot be replicated: 1; else the configured number */
  replicas?: number;
}
export interface SessionClosed {
  kind: 'session-closed';
  at: number;
  session: number;
}
export interface CellSubmitted {
  kind: 'cell-submitted';
  /** arrival at the scheduler */
  at: number;
  session: number;
  cell: number;
  /** when the client sent it; the hop until `at` is the step `gateway` */
  submittedAt: number;
  need: Readonly<ResourceVector>;
  /** run time if the client knows it, else -1; only queue orders read it */
  expectedMs: number;
  more?: boolean;
  /** runs elsewhere than the cell before it, if another replica can; for trying failovers */
  moves?: boolean;
}
export interface ContainerStarted {
  kind: 'container-started';
  at: number;
  container: number;
}
/** The container never started. */
export interface ContainerFailed {
  kind: 'container-failed';
  at: number;
  container: number;
}
/** A running container died. */
export interface ContainerLost {
  kind: 'container-lost';
  at: number;
  container: number;
}
/** A new replica has caught up with its kernel and the one it replaces has left. */
export interface ReplicaJoined {
  kind: 'replica-joined';
  at: number;
  container: number;
  /** how the time since `join-replica` divides; the two add up to it */
  migrationMs: number;
  stateReadMs: number;
}
/**
 * The replica takes part in its kernel's log, but its process does not run: not yet, or not again.
 * It counts for the majority and cannot lead, until `container-started` says that it runs.
 */
export interface ReplicaRecovering {
  kind: 'replica-recovering';
  at: number;
  container: number;
}
/**
 * A kernel that was there before this scheduler: a gateway without memory takes it over. Its hosts
 * must be up. What it lacks in replicas is placed as after a loss.
 */
export interface SessionAdopted {
  kind: 'session-adopted';
  at: number;
  session: number;
  need: Readonly<ResourceVector>;
  gpuType: string;
  /** by replica index; container numbers are the driver's choice, unused so far */
  replicas: readonly { container: number; host: number; state: 'ready' | 'recovering' }[];
  /** as of `session-opened`, which was of the scheduler before */
  replicaCount?: number;
  /** index of the last executor, -1 before the first cell */
  lastReplica: number;
  executed: number;
}
/**
 * A cell that runs already. The effect `execute` tells its execution and ticket; the driver must
 * not start it again. Its outcome events are as always.
 */
export interface ExecutionAdopted {
  kind: 'execution-adopted';
  at: number;
  session: number;
  cell: number;
  /** index of the replica that runs it; 0 where containers are of executions */
  replica: number;
  /** the container that runs it, where it is no replica's: a number unused so far, and its host */
  container?: number;
  host?: number;
  submittedAt: number;
  need: Readonly<ResourceVector>;
  attempt: number;
  /** the device ids that it holds, as a bit set; 0 with `deviceIds` off */
  devices: number;
}
/** The run ended without a result and must not run again: its executor's process is gone. */
export interface ExecutionFailed {
  kind: 'execution-failed';
  at: number;
  execution: number;
  ticket: number;
}
/** The client does not want a waiting cell any more. One that runs goes on to its own outcome. */
export interface CellCancelled {
  kind: 'cell-cancelled';
  at: number;
  session: number;
  cell: number;
}
/**
 * An operator moves a replica, `host` -1 for a host of the scheduler's choice. Without a legal
 * target nothing happens; `whyNotMoved` says why.
 */
export interface MoveRequested {
  kind: 'move-requested';
  at: number;
  session: number;
  replica: number;
  host: number;
}
/** The last executor holds what cannot be carried elsewhere: it is preferred, for a while. */
export interface SessionPinned {
  kind: 'session-pinned';
  at: number;
  session: number;
  pinned: boolean;
}
/** The replica that was told to execute cannot, and has yielded. */
export interface ExecutionYielded {
  kind: 'execution-yielded';
  at: number;
  execution: number;
  ticket: number;
}
/**
 * User code has ended and the devices are free (after the state write where GPUs are held for it).
 */
export interface ExecutionReleased {
  kind: 'execution-released';
  at: number;
  execution: number;
  ticket: number;
  more?: boolean;
  /** the parts of the time since `execute`; they add up to it */
  stateReadMs: number;
  electionMs: number;
  deviceLoadMs: number;
  runMs: number;
  deviceUnloadMs: number;
  stateCommitMs: number;
}
/** The reply has left; the kernel is free for its next cell. */
export interface ExecutionReplied {
  kind: 'execution-replied';
  at: number;
  execution: number;
  ticket: number;
  /** parts of the time since `execution-released` */
  stateCommitMs: number;
  replyMs: number;
}
/** A suspended execution has left its devices, its state is stored. */
export interface ExecutionSuspended {
  kind: 'execution-suspended';
  at: number;
  execution: number;
  ticket: number;
  /** parts of the time since `execute` until user code stopped */
  stateReadMs: number;
  electionMs: number;
  deviceLoadMs: number;
  runMs: number;
  /** from there until now */
  suspendMs: number;
}
/**
 * Ends a moment in which some `cell-submitted` or `execution-released` had `more`: so marked, they
 * do not start waiting work at once but all together here, in the order of the queue. A driver
 * marks them when other events of the same ms are at hand, so that the order of these does not
 * matter.
 */
export interface MomentEnded {
  kind: 'moment-ended';
  at: number;
}

export interface TimerFired {
  kind: 'timer';
  at: number;
  timer: TimerKind;
  key: number;
}

/**
 * Timers by what they drive; those of 'scaling' fire after all other events of their millisecond.
 */
export const TIMER_KINDS = ['scaling', 'empty-host', 'reclaim', 'policy', 'pin'] as const;
export type TimerKind = (typeof TIMER_KINDS)[number];
