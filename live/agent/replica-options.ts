import type { JupyterMessage } from '../jupyter/message.ts';
import type { KernelMeta } from '../log/entries.ts';
import type { MemberAddress } from '../wire/messages.ts';
import type { DeviceOwner } from './gpu/device-guard.ts';
import type { Asked, Taken } from './gpu/host-gpus.ts';
import { GROUP_LIMITS, type GroupLimits, type Logger } from './group-options.ts';
import type { KernelRuntime } from './kernel/runtime.ts';
import type { Blobs, LogStore, Peers, Tell } from './ports.ts';
import type { Saver } from './saver.ts';

export interface ReplicaLimits {
  readonly group: GroupLimits;
  /**
   * Without contact to a quorum for so long a running cell is paused; again so long: ended. Shorter
   * than the gateway's lease of a host by a beat and what clocks differ: the cell stands still
   * before its successor may start elsewhere.
   */
  readonly leaseMs: number;
  /** contact must have lasted so long before a paused cell goes on */
  readonly contactMs: number;
  /** a process that takes longer to take over changed state is ended and started anew */
  readonly applyMs: number;
  /** after a cell, until the process is asked what changed since */
  readonly collectAfterMs: number;
  /** between two such questions while something lives on in the process */
  readonly collectEveryMs: number;
  /** process starts that may fail in a row */
  readonly maxStarts: number;
  /** wait before a second start; doubled for each one after */
  readonly restartMs: number;
  /** a process that lived so long did not fail at its start */
  readonly healthyMs: number;
  /** an entry above that gets its larger parts moved into blobs */
  readonly entryBytes: number;
  /** messages for a process that is not up yet */
  readonly maxQueued: number;
  /** a cell whose devices are not free by then is yielded */
  readonly devicesMs: number;
}

export const REPLICA_LIMITS: ReplicaLimits = {
  group: GROUP_LIMITS,
  leaseMs: 1_000,
  contactMs: 150,
  applyMs: 60_000,
  collectAfterMs: 1_000,
  collectEveryMs: 2_000,
  maxStarts: 5,
  restartMs: 250,
  healthyMs: 10_000,
  entryBytes: 1_048_576,
  maxQueued: 256,
  devicesMs: 2_000,
};

/** An output with its number; see `output` on the wire. */
export interface Numbered {
  readonly seq: number;
  readonly after: number;
  readonly cell: number;
  readonly attempt: number;
  readonly message: JupyterMessage;
}

/** Outputs of one kernel on this host: numbered, and kept until nobody asks for them again. */
export interface ReplicaOutputs {
  readonly next: number;
  readonly first: number;
  readonly seen: number;
  advanceTo(next: number): void;
  add(cell: number, attempt: number, message: JupyterMessage): Numbered;
  outputsSeen(seq: number): void;
  decided(cell: number): void;
  resend(from: number, send: (output: Numbered) => void): Promise<void>;
  close(): Promise<void>;
}

/** Devices of the host, for one kernel; see DeviceGuard. */
export interface ReplicaDevices {
  /** As many as are booked, all or none. */
  take(cell: number, booked: readonly number[], asked: Asked): Taken;
  /** What the kernel's process calls a device. */
  nameOf(device: number): number;
  release(cell: number): void;
  /**
   * Lets a process use what the cell has taken, until it is released. Rejects `gpu-lease-failed`.
   * Undefined where nothing keeps processes from devices.
   */
  readonly open?: ((pid: number, devices: readonly number[]) => Promise<void>) | undefined;
  /** CUDA has started in the process with these devices visible. */
  bind(devices: readonly number[]): void;
  /** The process has ended, and what it held of them. */
  unbind(): void;
  /** Who is asked when another kernel needs what this one's process keeps. */
  own(owner: DeviceOwner): void;
  /** In each tick: the process to watch, 0 for none. */
  watch(pid: number, now: number): void;
  /** The replica is gone from this host. */
  forget(): void;
}

export interface ReplicaOptions {
  readonly kernel: string;
  readonly store: LogStore;
  readonly peers: Peers;
  readonly blobs: Blobs;
  readonly outputs: ReplicaOutputs;
  readonly devices: ReplicaDevices;
  readonly tell: Tell;
  readonly log: Logger;
  /** A new process for this kernel, not started; `first` may take a pooled one. */
  readonly makeRuntime: (meta: KernelMeta, niced: boolean, first: boolean) => KernelRuntime;
  /** a standby's process starts with less priority */
  readonly niced: boolean;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  /** ms on the clock of Peers.lastContact */
  readonly now: () => number;
  readonly limits: ReplicaLimits;
  /** brings its state to the store; undefined without one */
  readonly saver?: Saver | undefined;
}

/** What `start-replica` says of a replica that is new on this host. */
export interface NewReplica {
  readonly meta: KernelMeta;
  readonly member: number;
  readonly members: readonly MemberAddress[];
  readonly joins: boolean;
}
