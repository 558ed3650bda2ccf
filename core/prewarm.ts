import { type Container, newContainer } from './books/container-book.ts';
import type { Host } from './books/host-book.ts';
import { forgetContainer, startContainer, stopContainer } from './containers.ts';
import { removeFrom, type State } from './state.ts';

/**
 * Pools of started containers. `minimum` keeps n on each host, `fixed` n in the cluster,
 * `littles-law` arrivals per time x mean holding time, less those in use. A container that is taken
 * is replaced at once, except where it comes back after the execution (policies with a pool).
 */

function perHost(setting: number, host: Host): number {
  return setting === -1 ? Math.ceil(host.spec.gpuMillis / 1000) : setting;
}

function countsTaken(state: State): boolean {
  return state.policy.container === 'pool';
}

function pooled(state: State, host: Host): number {
  return host.pool.length + host.poolStarting + (countsTaken(state) ? host.poolTaken : 0);
}

/** Starts what the pool lacks, on this host or, for cluster-wide pools, where the pool is least. */
export function replenish(state: State, host: Host): void {
  const { prewarmPool, prewarmPerHost } = state.config;
  if (prewarmPool === 'none') return;
  if (prewarmPool === 'minimum') {
    const most = perHost(state.config.prewarmMaxPerHost, host);
    const want = Math.min(perHost(prewarmPerHost, host), most);
    for (let lack = want - pooled(state, host); lack > 0; lack--) startPoolContainer(state, host);
    return;
  }
  fillCluster(state);
}

function fillCluster(state: State): void {
  let lack = clusterTarget(state) - clusterPooled(state);
  while (lack-- > 0) {
    const least = leastPooledHost(state);
    if (least === undefined) return;
    startPoolContainer(state, least);
  }
}

function clusterPooled(state: State): number {
  let sum = 0;
  for (const id of state.up) sum += pooled(state, state.hosts[id]!);
  return sum;
}

function leastPooledHost(state: State): Host | undefined {
  let least: Host | undefined;
  for (const id of state.up) {
    const host = state.hosts[id]!;
    if (pooled(state, host) >= perHost(state.config.prewarmMaxPerHost, host)) continue;
    if (least === undefined || pooled(state, host) < pooled(state, least)) least = host;
  }
  return least;
}

/** How many containers a cluster-wide pool should hold now. */
function clusterTarget(state: State): number {
  if (state.config.prewarmPool === 'fixed') return state.config.prewarmFixed;
  rollWindow(state);
  const { pool, now, config } = state;
  const arrivals = pool.arrivals + pool.previousArrivals;
  const completed = pool.completed + pool.previousCompleted;
  if (completed === 0) return arrivals === 0 ? 0 : 1;
  const span = Math.min(now, now - pool.windowStart + config.prewarmWindowMs / 2);
  const perMs = arrivals / Math.max(1, span);
  const heldMs = (pool.heldMs + pool.previousHeldMs) / completed;
  const inUse = countsTaken(state) ? 0 : state.totals.running;
  return Math.max(0, Math.ceil(perMs * heldMs) - inUse);
}

/** Counts one execution that arrives (for Little's law), which may call for a larger pool. */
export function noteArrival(state: State): void {
  if (state.config.prewarmPool !== 'littles-law') return;
  rollWindow(state);
  state.pool.arrivals++;
  fillCluster(state);
}

/** Counts one execution that held its container for `heldMs`. */
export function noteHeld(state: State, heldMs: number): void {
  if (state.config.prewarmPool !== 'littles-law') return;
  rollWindow(state);
  state.pool.heldMs += heldMs;
  state.pool.completed++;
}

function rollWindow(state: State): void {
  const half = Math.max(1, Math.floor(state.config.prewarmWindowMs / 2));
  const { pool } = state;
  const passed = Math.floor((state.now - pool.windowStart) / half);
  if (passed <= 0) return;
  const stale = passed > 1;
  pool.previousArrivals = stale ? 0 : pool.arrivals;
  pool.previousHeldMs = stale ? 0 : pool.heldMs;
  pool.previousCompleted = stale ? 0 : pool.completed;
  pool.arrivals = 0;
  pool.heldMs = 0;
  pool.completed = 0;
  pool.windowStart += passed * half;
}

function startPoolContainer(state: State, host: Host): void {
  const container = newContainer(state.nextContainer++, host.id, 'pool');
  state.containers.set(container.id, container);
  host.poolStarting++;
  startContainer(state, container, 'cold', -1, 0);
}

/** A container of the pool has started. */
export function poolContainerStarted(state: State, container: Container): void {
  const host = state.hosts[container.host]!;
  host.poolStarting--;
  // A host that is about to go keeps no pool.
  if (host.state === 'up') shelve(state, host, container);
  else stopContainer(state, container);
}

/** Puts an idle container on the shelf; above the most that is kept, the least recent one stops. */
export function shelve(state: State, host: Host, container: Container): void {
  container.role = 'pool';
  container.session = -1;
  container.execution = -1;
  host.pool.push(container.id);
  state.totals.poolContainers++;
  state.index.touch(host);
  while (host.pool.length > perHost(state.config.prewarmMaxPerHost, host)) {
    const oldest = state.containers.get(host.pool[0]!)!;
    unshelve(state, host, oldest);
    stopContainer(state, oldest);
  }
}

/** Takes a container off the shelf. */
export function unshelve(state: State, host: Host, container: Container): void {
  if (!removeFrom(host.pool, container.id)) return;
  state.totals.poolContainers--;
  state.index.touch(host);
}

/**
 * A started container of the host's pool for this session: the one that ran it last, else the least
 * recently used. undefined when the pool is empty.
 */
export function takeFromPool(state: State, host: Host, session: number): Container | undefined {
  if (host.pool.length === 0) return undefined;
  let chosen = state.containers.get(host.pool[0]!)!;
  for (const id of host.pool) {
    const container = state.containers.get(id)!;
    if (container.lastSession === session) chosen = container;
  }
  unshelve(state, host, chosen);
  state.totals.warmStarts++;
  return chosen;
}

/** Forgets the pool of a host that is gone, with what is still starting for it. */
export function forgetPool(state: State, host: Host): void {
  while (host.pool.length > 0) {
    const container = state.containers.get(host.pool[0]!)!;
    unshelve(state, host, container);
    forgetContainer(state, container);
  }
  if (host.poolStarting === 0) return;
  host.poolStarting = 0;
  for (const container of [...state.containers.values()]) {
    if (container.host === host.id && container.role === 'pool') forgetContainer(state, container);
  }
}

/** Stops the pool of a host that is about to go. */
export function emptyPool(state: State, host: Host): void {
  while (host.pool.length > 0) {
    const container = state.containers.get(host.pool[0]!)!;
    unshelve(state, host, container);
    stopContainer(state, container);
  }
}
