import type { PartialConfig } from '../config/options.ts';

/**
 * A scheduling policy: a literal of traits, defaults of its own for the options, and up to five
 * optional functions. Everything in it is pure: the same arguments give the same answer.
 */
export interface Policy {
  /** lower-case words joined by hyphens; what `--policy` takes */
  readonly name: string;
  /** one sentence for `nbos policy list` */
  readonly summary: string;
  /**
   * Options whose default differs from `OPTIONS`; a configuration file or `--set` overrides them.
   */
  readonly defaults: PartialConfig;

  /**
   * How long a container serves: a session, one execution, or one execution and back to the pool.
   */
  readonly container: 'session' | 'execution' | 'pool';
  /** When GPUs are committed: when the container is placed, or when an execution starts. */
  readonly commit: 'placement' | 'execution';
  /**
   * Whether the replicas of a kernel are kept in step through Raft (elections and state commits).
   */
  readonly replicated: boolean;
  /** Whether state is read before a cell, on the critical path. */
  readonly stateRead: 'never' | 'unless-warm' | 'always';
  /** Whether state is written after a cell; `critical` holds the GPUs until it is done. */
  readonly stateWrite: 'none' | 'background' | 'critical';
  /** Whether the model goes onto the device once per session or for each execution. */
  readonly deviceLoad: 'once' | 'each';
  /** Whether an execution that no replica can serve moves one to a host that can. */
  readonly migrates: boolean;
  /** Whether an execution commits its own cell's vector, or the session's. */
  readonly dynamicRequests: boolean;
  /** Who pays: the committed GPU-hours and standbys, or the reserved GPU-hours. */
  readonly billing: 'committed' | 'reserved';

  /** Order of waiting executions (with `queueOrder` 'policy'); ties fall to (submission, id). */
  readonly order?: (a: ExecutionView, b: ExecutionView, state: PolicyState) => number;
  /** Period of `onTimer`, ms. */
  readonly everyMs?: number;
  /** Called every `everyMs` while work runs or waits; returns what to do. */
  readonly onTimer?: (view: ClusterView, state: PolicyState) => readonly PolicyAction[];
  /** Plain data that the policy owns: inside snapshots, handed to every function, mutable there. */
  readonly state?: () => PolicyState;
  /** Work done per unit of wall time, multiplied with the host type's speed; default 1. */
  readonly rate?: (run: RateView, state: PolicyState) => number;
  /** Whether `onTimer` may suspend executions; the live system refuses such a policy. */
  readonly suspends?: boolean;
}

/** Plain JSON data. */
export type PolicyState = Record<string, unknown>;

export type PolicyAction = { readonly kind: 'suspend'; readonly execution: number };

/** What a policy sees of an execution that waits or runs. */
export interface ExecutionView {
  /** unique, grows with submission order */
  readonly id: number;
  readonly session: number;
  readonly cell: number;
  readonly submittedAtMs: number;
  /** run time that the client expects; -1 when it is not known (always so in the live system) */
  readonly expectedMs: number;
  readonly gpuMillis: number;
  /** run time received so far, ms of wall time on its devices */
  readonly servedMs: number;
  /** host it runs on, -1 while it waits */
  readonly host: number;
}

export interface ClusterView {
  readonly nowMs: number;
  /** in submission order */
  readonly running: readonly ExecutionView[];
  /** in queue order */
  readonly waiting: readonly ExecutionView[];
  /** GPUs of all hosts that are up, thousandths */
  readonly gpuMillis: number;
  readonly idleGpuMillis: number;
}

export interface RateView {
  readonly session: number;
  readonly cell: number;
  readonly gpuMillis: number;
  readonly hostType: string;
  /** other executions that run on the same host */
  readonly coRunners: number;
}
