import type { Container } from './books/container-book.ts';
import { type Execution, type ExecutionBook, newExecutionBook } from './books/execution-book.ts';
import type { Host } from './books/host-book.ts';
import type { Session } from './books/session-book.ts';
import { type HostBounds, hostBoundsOf, hostTypesOf } from './config/config.ts';
import type { Config, HostType } from './config/options.ts';
import type { Effect, FactKind } from './effects.ts';
import { HostIndex } from './host-index.ts';
import { HOST_ORDERS, type HostOrder } from './host-orders.ts';
import type { Placement } from './placements/placement.ts';
import type { Policy, PolicyState } from './policies/policy.ts';
import { newTotals, type Totals } from './record/totals.ts';
import { byExpectedTime, bySubmission, type ExecutionComparator, WaitQueue } from './wait-queue.ts';

/** Samples of demanded / busy GPUs and the holds of the autoscaler. Plain data. */
export interface Scaling {
  /** number of the last scaling round whose sample was taken */
  lastTick: number;
  /** newest last */
  samples: number[];
  limit: number;
  /** round since which hosts exceed the limit; -1 when they do not */
  holdSinceTick: number;
  /** moment of the earliest scaling timer that is set; Infinity for none */
  armedAt: number;
  /** something that scaling depends on has changed */
  dirty: boolean;
  /** least subscription limit that would admit some refused work; Infinity for none */
  wantedLimit: number;
  /** hosts that are being given back but count until they are gone */
  releasing: number;
  /** round before which no host is asked for, because the last request failed; 0 for none */
  heldOffUntilTick: number;
}

/** Arrivals and holding times, for pools sized by Little's law. Two half-windows. Plain data. */
export interface PoolEstimate {
  windowStart: number;
  arrivals: number;
  heldMs: number;
  completed: number;
  previousArrivals: number;
  previousHeldMs: number;
  previousCompleted: number;
}

/** Everything that core knows. The books are plain data; index and queues are rebuilt from them. */
export interface State {
  readonly config: Config;
  readonly policy: Policy;
  readonly policyState: PolicyState;
  readonly placement: Placement;
  readonly hostTypes: readonly HostType[];
  readonly bounds: HostBounds;
  /** whether `fact` effects are wanted, and for which cell refusals are explained */
  readonly facts: boolean;
  readonly explain: { readonly session: number; readonly cell: number } | null;

  now: number;
  effects: Effect[];

  readonly hosts: Host[];
  /** ids of hosts that are up (not draining), pending ones, draining ones, in order of arrival */
  readonly up: number[];
  readonly pending: number[];
  readonly draining: number[];
  readonly hostsOfType: number[];
  readonly containers: Map<number, Container>;
  nextContainer: number;
  readonly sessions: (Session | undefined)[];
  readonly executions: ExecutionBook;
  readonly totals: Totals;
  readonly scaling: Scaling;
  readonly pool: PoolEstimate;
  /** ids of sessions whose replicas wait for hosts, oldest first */
  readonly placementQueue: number[];
  policyTimerArmed: boolean;
  /** work starts when the moment ends, with what has arrived in it, by slot */
  held: boolean;
  readonly fresh: number[];
  /** claims on hosts have shrunk in this step: refused work may fit now */
  relieved: boolean;

  readonly index: HostIndex;
  readonly orders: Readonly<Record<HostOrder, number>>;
  readonly queue: WaitQueue;
  /** executions that waited too long and hold a host's reservation */
  reservations: number;
}

export interface CoreOptions {
  readonly facts?: boolean;
  readonly explain?: { readonly session: number; readonly cell: number } | null;
}

export function newState(
  config: Config,
  policy: Policy,
  placement: Placement,
  options: CoreOptions,
): State {
  const policyState = policy.state?.() ?? {};
  const used = ordersUsed(policy, placement);
  const orders = Object.fromEntries(
    Object.keys(HOST_ORDERS).map((name) => [name, used.indexOf(name as HostOrder)]),
  ) as Record<HostOrder, number>;
  const hostTypes = hostTypesOf(config);
  return {
    config,
    policy,
    policyState,
    placement,
    hostTypes,
    bounds: hostBoundsOf(config),
    facts: options.facts ?? false,
    explain: options.explain ?? null,
    now: 0,
    effects: [],
    hosts: [],
    up: [],
    pending: [],
    draining: [],
    hostsOfType: hostTypes.map(() => 0),
    containers: new Map(),
    nextContainer: 0,
    sessions: [],
    executions: newExecutionBook(),
    totals: newTotals(),
    scaling: {
      lastTick: 0,
      samples: [],
      limit: config.maxSubscriptionRatio,
      holdSinceTick: -1,
      armedAt: Number.POSITIVE_INFINITY,
      dirty: true,
      wantedLimit: Number.POSITIVE_INFINITY,
      releasing: 0,
      heldOffUntilTick: 0,
    },
    pool: {
      windowStart: 0,
      arrivals: 0,
      heldMs: 0,
      completed: 0,
      previousArrivals: 0,
      previousHeldMs: 0,
      previousCompleted: 0,
    },
    placementQueue: [],
    policyTimerArmed: false,
    held: false,
    fresh: [],
    relieved: false,
    index: new HostIndex(used.map((name) => HOST_ORDERS[name])),
    orders,
    queue: new WaitQueue(queueComparator(config, policy, policyState)),
    reservations: 0,
  };
}

/** Only the orders that are searched: each costs time whenever a host changes. */
function ordersUsed(policy: Policy, placement: Placement): readonly HostOrder[] {
  const commits = policy.commit === 'placement';
  const own = commits ? placement.commitOrder : placement.claimOrder;
  const used = new Set<HostOrder>(own === undefined ? [] : [own]);
  // Replicas on hosts that are released move to the least subscribed one.
  if (policy.container === 'session') used.add('least-subscribed');
  return [...used];
}

function queueComparator(
  config: Config,
  policy: Policy,
  policyState: PolicyState,
): ExecutionComparator {
  const { order } = policy;
  if (config.queueOrder === 'sjf') return byExpectedTime;
  if (config.queueOrder !== 'policy' || order === undefined) return bySubmission;
  return (a, b) => order(viewOf(a), viewOf(b), policyState) || bySubmission(a, b);
}

/** What a policy sees of an execution; `now` adds the run time under way. */
export function viewOf(execution: Execution, now = -1) {
  const running = execution.state === 'running' && now >= 0;
  return {
    id: execution.id,
    session: execution.session,
    cell: execution.cell,
    submittedAtMs: execution.submittedAt,
    expectedMs: execution.expectedMs,
    gpuMillis: execution.need.gpuMillis,
    servedMs: execution.servedMs + (running ? now - execution.executedAt : 0),
    host: execution.host,
  };
}

/** Records a fact, when facts are wanted. */
export function fact(
  state: State,
  kind: FactKind,
  host: number,
  session: number,
  cell: number,
  gpuMillis: number,
  detail: string,
): void {
  if (!state.facts) return;
  state.effects.push({ kind: 'fact', fact: kind, host, session, cell, gpuMillis, detail });
}

/** Takes `value` out of a small list, keeping the order of the rest. */
export function removeFrom(list: number[], value: number): boolean {
  const at = list.indexOf(value);
  if (at === -1) return false;
  list.splice(at, 1);
  return true;
}
