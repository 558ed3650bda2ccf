import type { ResourceVector } from '../../core/resources.ts';

/** What a kernel's replicated log holds. Every entry is one JSON payload of the Raft log. */

export const ENTRY_FORMAT = 1;

export type LogEntry =
  | CreateEntry
  | SubmitEntry
  | StartEntry
  | YieldEntry
  | StateEntry
  | EndEntry
  | AbortEntry
  | SavedEntry
  | ResetEntry
  | AnnotateEntry;

export type LogEntryType = LogEntry['type'];

/** What stays the same in a kernel's life; its first entry, and in every snapshot. */
export interface KernelMeta {
  /** UUID that clients know the kernel by */
  kernel: string;
  /** kernelspec name */
  spec: string;
  language: string;
  /** argv with {connection_file} */
  argv: readonly string[];
  userId: string;
  /** of POST /api/sessions or KERNEL_*; may be annotated later */
  path: string;
  name: string;
  sessionType: string;
  /** id of the Jupyter session, '' for none */
  jupyterSession: string;
  /** KERNEL_* and kernelspec variables for the process, already validated */
  env: Readonly<Record<string, string>>;
  cwd: string;
  /** what its replicas subscribe to; a cell's default need */
  need: Readonly<ResourceVector>;
  gpuType: string;
  replicas: number;
  /** one PYTHONHASHSEED for all replicas */
  hashSeed: number;
  /** hex; blobs of state carry an HMAC-SHA256 under it */
  stateKey: string;
  /** ms since the epoch */
  createdAt: number;
  /** dense number of the kernel's session in the scheduler's events */
  session: number;
  /**
   * It has a process for its cells only; between them its log rests, without a process, on the host
   * of the last one.
   */
  visits?: true;
}

export interface CreateEntry {
  v: 1;
  type: 'create';
  meta: KernelMeta;
}

/** The client's request, accepted once committed. Duplicates of (session, msgId) are dropped. */
export interface SubmitEntry {
  v: 1;
  type: 'submit';
  /** counts up within the kernel, allocated by the gateway; each one leaves a gap before its own */
  cell: number;
  session: string;
  msgId: string;
  userId: string;
  /** ms since the epoch at the gateway */
  submittedAt: number;
  need: Readonly<ResourceVector>;
  /** the parts of the execute_request as JSON text; binary buffers in base64 */
  header: string;
  metadata: string;
  content: string;
  buffers: readonly string[];
}

/**
 * Wins when the cell is open, has no START in force, no other cell runs, `epoch` is not stale and
 * no START had this attempt or a later one; from then on the cell runs at most once. Only a YIELD
 * of that START lets another one win.
 */
export interface StartEntry {
  v: 1;
  type: 'start';
  cell: number;
  attempt: number;
  epoch: number;
  /** member id of the replica that runs it */
  executor: number;
  /** execution count that the cell gets */
  count: number;
  /** leased device ids of the executor's host */
  devices: readonly number[];
  /** number that the executor's next output gets at least: one past the latest that clients have */
  firstOutput?: number;
}

/** The executor could not take the cell and ran nothing of it: it waits for another START. */
export interface YieldEntry {
  v: 1;
  type: 'yield';
  cell: number;
  attempt: number;
  epoch: number;
}

/** Changes between cells: timers, threads, comms, late finds. */
export interface StateEntry {
  v: 1;
  type: 'state';
  epoch: number;
  /** member that proposes it; it must be the executor still */
  executor?: number;
  /** counts up in an epoch, so that a repeated one changes nothing */
  n?: number;
  delta: Delta;
}

export interface EndEntry {
  v: 1;
  type: 'end';
  cell: number;
  attempt: number;
  epoch: number;
  /** content, metadata of the execute_reply as JSON text */
  reply: { content: string; metadata: string };
  /** number of the last output of this cell, -1 for none; see `output` on the wire */
  lastOutput: number;
  /** `n` of the last STATE whose changes are in `delta`: one that comes later changes nothing */
  n?: number;
  delta: Delta;
  timings: CellTimings;
}

/** ms, measured on the executor's host. */
export interface CellTimings {
  /** START applied → execute_request sent (state brought up to date, devices leased) */
  prepareMs: number;
  /** execute_request sent → reply and idle */
  runMs: number;
  /** of `runMs`: collecting the changed state */
  captureMs: number;
  /** blobs on a quorum of hosts */
  saveMs: number;
}

export type AbortReason =
  | 'executor-died'
  | 'host-lost'
  | 'fenced'
  | 'interrupted'
  | 'stop-on-error'
  | 'kernel-restarted'
  | 'kernel-closed'
  | 'rejected'
  | 'drained';

export interface AbortEntry {
  v: 1;
  type: 'abort';
  cell: number;
  /** of the START in force; 0 when there is none: an ABORT of another attempt loses */
  attempt: number;
  epoch: number;
  reason: AbortReason;
  /** one sentence for the user */
  message: string;
}

/** The table as it was at this index of the log is in the store, with its blobs. */
export interface SavedEntry {
  v: 1;
  type: 'saved';
  index: number;
  /** of the store, claimed by this group: what it saved before counts no more */
  generation?: number;
}

/**
 * A user's restart: the state is empty again; cells that were open are aborted by it. `epoch` must
 * be a new one: a RESET of the current epoch is a repeated one and changes nothing.
 */
export interface ResetEntry {
  v: 1;
  type: 'reset';
  epoch: number;
}

/** Renamed notebook, moved path. */
export interface AnnotateEntry {
  v: 1;
  type: 'annotate';
  path?: string;
  name?: string;
  sessionType?: string;
  jupyterSession?: string;
}

/**
 * What changed in the kernel's state: a partial update of the table `unit → version`. A unit is the
 * names joined by shared mutable objects; the helper decides units and ids. Agents never look
 * inside a blob.
 */
export interface Delta {
  /** units that are new or changed, whole */
  units: readonly Unit[];
  /** ids of units that are no more */
  dropped: readonly string[];
  /** names that exist but cannot be carried, all of them, with the reason for the user */
  unreplicated: readonly Unreplicated[];
  /** why the kernel prefers its executor: live threads, open files…; empty when it does not */
  pinned: readonly string[];
  /** bytes of state after this delta, as the helper counts them */
  stateBytes: number;
}

export interface Unreplicated {
  name: string;
  reason: string;
}

/**
 * One unit at one version. `kind` tells the helper what it is: 'names' (bound names and their
 * objects), 'definition' (a function or class of __main__), 'ambient' (random state, cwd, imports…).
 */
export interface Unit {
  id: string;
  version: number;
  kind: string;
  /** names it binds; the helper removes a name that no unit binds any more */
  names: readonly string[];
  skeleton: Blob;
  buffers: readonly Blob[];
}

/** Bytes by content. Inline up to 64 KiB, else a file in the blob directory of each member's host. */
export interface Blob {
  /** hex of the content's SHA-256; the file's name */
  hash: string;
  bytes: number;
  /** hex HMAC-SHA256 of `hash` under the kernel's state key */
  mac: string;
  /** base64, when inline */
  inline?: string;
}
