import type { Logger } from 'pino';
import type { KernelMeta } from '../log/entries.ts';
import type { KernelStore } from '../stores/kernel-store.ts';
import type { KeyPair } from '../wire/keys.ts';
import type { HostAddress, MemberAddress } from '../wire/messages.ts';
import type { Nearby } from '../wire/nearby.ts';
import type { Gatekeeper } from '../wire/zap.ts';
import type { GpuAccess } from './gpu/access.ts';
import type { KernelRuntime, RuntimeFactory } from './kernel/runtime.ts';
import type { Blobs, LogStore, Peers, Replica, Tell } from './ports.ts';
import type { Saver } from './saver.ts';

export interface AgentLimits {
  /** ms between beats, to the gateway and to each other agent */
  beatMs: number;
  /** ms between raft ticks */
  tickMs: number;
  /** ms of silence after which another host counts as gone */
  hostGoneMs: number;
  /** ms for a proposal that another agent was asked for */
  forwardMs: number;
  /** ms without its agent after which a kernel's process ends itself */
  orphanMs: number;
  /** notices and bytes kept for the gateway while there is no link to it */
  heldNotices: number;
  heldBytes: number;
  /** ms of one turn of the loop that are worth a line in the log */
  slowTurnMs: number;
}

export const AGENT_LIMITS: AgentLimits = {
  beatMs: 250,
  tickMs: 50,
  hostGoneMs: 1_750,
  forwardMs: 5_000,
  orphanMs: 15_000,
  heldNotices: 10_000,
  heldBytes: 64 * 2 ** 20,
  slowTurnMs: 100,
};

/** What a host has to give. */
export interface Capacity {
  gpus: number;
  cpuMillis: number;
  memoryMb: number;
  vramMb: number;
}

/** Addresses of a host among others. */
export interface Reach {
  /** address to listen on */
  listen: string;
  /** 0: the port of before if it is free, else any */
  port: number;
  /** address by which others know it */
  advertise: string;
  /** 0: the one that is listened on */
  advertisePort: number;
}

export const LOOPBACK: Reach = {
  listen: '127.0.0.1',
  port: 0,
  advertise: '127.0.0.1',
  advertisePort: 0,
};

/** What one replica is made with. */
export interface ReplicaParts {
  kernel: string;
  store: LogStore;
  peers: Peers;
  blobs: Blobs;
  tell: Tell;
  log: Logger;
  niced: boolean;
  /** folder for outputs that do not fit into memory */
  outputs: string;
  gpus: number;
  gpuAccess: GpuAccess | undefined;
  saver: Saver | undefined;
  /** A process that is not started; the first one may be a pooled one. */
  makeRuntime(meta: KernelMeta, niced: boolean, first: boolean): KernelRuntime;
}

/** A replica that is new on its host. */
export interface FreshReplica {
  meta: KernelMeta;
  member: number;
  members: readonly MemberAddress[];
  joins: boolean;
}

/**
 * Makes a replica and starts it; without `fresh` from what the store has. Resolves once its Raft
 * member exists; its process is started behind that.
 */
export type OpenReplica = (
  parts: ReplicaParts,
  fresh: FreshReplica | undefined,
) => Promise<Replica>;

export interface AgentOptions {
  /** id of this host */
  host: string;
  /** DATA/hosts/ID: log, blobs, outputs */
  folder: string;
  /** 0700, with a short path: folders of processes with their sockets */
  runtimeDir: string;
  gateway: { endpoint: string; key: string };
  keys: KeyPair;
  /** what else of the system is in this process; undefined for nothing */
  nearby?: Nearby | undefined;
  /** agents that may connect */
  allowed: Gatekeeper;
  /** folder that its kernels work in, when the gateway is to compare it with the others' */
  workspace?: string;
  /** where other agents are heard and how they reach it; the loopback when left out */
  reach?: Reach | undefined;
  /** Who else belongs to the system: what was remembered, then what the gateway says. */
  onHosts?: ((hosts: readonly HostAddress[], from: 'memory' | 'gateway') => void) | undefined;
  /** The gateway does not let this host in; it is asked again. */
  onRefused?: ((why: string) => void) | undefined;
  capacity: Capacity;
  /** how kernels reach the GPUs of `capacity`; undefined where nothing keeps them from any */
  gpuAccess?: GpuAccess | undefined;
  runtimes: RuntimeFactory;
  openReplica: OpenReplica;
  /** where state outlives the hosts that have it; undefined for nowhere */
  store?: KernelStore | undefined;
  log: Logger;
  limits?: Partial<AgentLimits>;
}

export interface Agent {
  readonly host: string;
  /** tcp endpoint for other agents */
  readonly peer: string;
  /** Resolves when the gateway has been greeted for the first time. */
  greeted(): Promise<void>;
  /** What is worth counting: links refused, messages dropped, syncs, the longest turn. */
  figures(): AgentFigures;
  /** Ends processes and links; logs and blobs stay. */
  close(): Promise<void>;
  /** Ends links at once and leaves processes alone, as when it is killed. */
  leave(): Promise<void>;
}

export interface AgentFigures {
  refused: number;
  dropped: number;
  syncs: number;
  kernels: number;
  /** of the loop since the last call, ms */
  slowestTurnMs: number;
}
