import type { Host } from './books/host-book.ts';
import type { ResourceVector } from './resources.ts';

/** Less than 0 when `a` comes before `b`; total, with the id as the last tie-break. */
export type HostComparator = (a: Host, b: Host) => number;

/** What a search asks for. */
export interface HostQuery {
  /** only hosts with this much idle are offered; null: any */
  readonly need: Readonly<ResourceVector> | null;
  /** the caller's own rules, asked host by host */
  readonly accept: (host: Host) => boolean;
  /** only hosts whose subscribed GPU-millis and `claim` together are … */
  readonly claim: number;
  /** … at most this many times their GPU-millis are offered */
  readonly mostClaimed: number;
}

/** Numbers kept for each node: the largest idle of its subtree by dimension, … */
const IDLE_GPU = 0;
const IDLE_CPU = 1;
const IDLE_MEMORY = 2;
const IDLE_VRAM = 3;
/** … and what bounds the subscription ratio from below: least subscribed, largest spec GPUs. */
const LEAST_SUBSCRIBED = 4;
const LARGEST_SPEC = 5;
const BOUNDS = 6;

/** Hosts with this many idle GPUs or more share a level. */
const TOP_LEVEL = 31;

/**
 * The hosts that are up, as the leaves of a tree in the order of their ids. Each node holds bounds
 * of its subtree for pruning; per search order its best host; and, for best fit, the set of levels
 * of idle GPUs in it, apart for hosts with and without a prewarmed container. A change marks a
 * host; marks are worked off at the next search, so that hosts that change between searches cost
 * nothing more. Search and update take O(log hosts), plus the hosts that the caller refuses.
 */
export class HostIndex {
  private readonly comparators: readonly HostComparator[];
  private capacity = 16;
  /** owner of each leaf, up or not; undefined once it is gone */
  private owners: (Host | undefined)[] = [];
  /** owner of each leaf while it is up */
  private leaves: (Host | undefined)[] = [];
  private winners: (Host | undefined)[][] = [];
  private bounds = new Float64Array(0);
  private warmLevels = new Int32Array(0);
  private coldLevels = new Int32Array(0);
  private dirty: number[] = [];
  private marked = new Uint8Array(0);

  constructor(comparators: readonly HostComparator[]) {
    this.comparators = comparators;
    this.clear();
  }

  /** Gives a host its leaf; hosts must come in the order of their ids. */
  expect(host: Host): void {
    if (this.owners.length === this.capacity) this.compact();
    host.leaf = this.owners.length;
    this.owners.push(host);
  }

  /** The host is up: searches find it. */
  add(host: Host): void {
    this.leaves[host.leaf] = host;
    this.mark(host.leaf);
  }

  /** The host takes no work any more, for now or for good. */
  remove(host: Host): void {
    this.leaves[host.leaf] = undefined;
    this.mark(host.leaf);
  }

  /** The host is gone: its leaf may go to another. */
  retire(host: Host): void {
    this.remove(host);
    this.owners[host.leaf] = undefined;
    host.leaf = -1;
  }

  /** Tells that a key of the host may have changed. */
  touch(host: Host): void {
    if (host.leaf !== -1) this.mark(host.leaf);
  }

  /** Whether some host has `need` idle in each dimension, though perhaps not in all at once. */
  mayFit(need: Readonly<ResourceVector>): boolean {
    this.settle();
    return this.covers(1, need);
  }

  /** A lower bound of (subscribed GPUs + claim) / GPUs over all hosts; Infinity without hosts. */
  leastRatioWith(claim: number): number {
    this.settle();
    const spec = this.bounds[BOUNDS + LARGEST_SPEC]!;
    if (spec === 0) return Number.POSITIVE_INFINITY;
    return (this.bounds[BOUNDS + LEAST_SUBSCRIBED]! + claim) / spec;
  }

  /** The first host in that order that the query takes; undefined when there is none. */
  find(order: number, query: HostQuery): Host | undefined {
    this.settle();
    return this.search(order, query, 1, undefined);
  }

  /**
   * The host with fewest idle GPUs, then the lowest id, that the query takes; with `warmFirst`
   * those with a prewarmed container come before all others.
   */
  bestFit(query: HostQuery, warmFirst: boolean): Host | undefined {
    this.settle();
    const least = query.need === null ? 0 : levelOf(query.need.gpuMillis);
    for (const warm of warmFirst ? [true, false] : [undefined]) {
      for (let level = least; level <= TOP_LEVEL; level++) {
        const found = this.searchLevel(query, level, warm, 1, undefined);
        if (found !== undefined) return found;
      }
    }
    return undefined;
  }

  private search(
    order: number,
    query: HostQuery,
    node: number,
    best: Host | undefined,
  ): Host | undefined {
    const winners = this.winners[order]!;
    const winner = winners[node];
    if (winner === undefined) return best;
    if (best !== undefined && this.comparators[order]!(winner, best) >= 0) return best;
    if (!this.mayHold(node, query)) return best;
    if (node >= this.capacity) return query.accept(winner) ? winner : best;
    const left = 2 * node;
    const first = winners[left] === winner ? left : left + 1;
    const found = this.search(order, query, first, best);
    return this.search(order, query, first === left ? left + 1 : left, found);
  }

  /** Among the hosts of one level, from the lowest id on. `warm` undefined: warm or not. */
  private searchLevel(
    query: HostQuery,
    level: number,
    warm: boolean | undefined,
    node: number,
    best: Host | undefined,
  ): Host | undefined {
    if ((this.levelsOf(node, warm) & (1 << level)) === 0) return best;
    // Nothing of this level can have fewer idle GPUs: what is left has only higher ids.
    if (best !== undefined && best.idle.gpuMillis === level * 1000) return best;
    if (!this.mayHold(node, query)) return best;
    if (node >= this.capacity) {
      const host = this.leaves[node - this.capacity]!;
      const worse = best !== undefined && host.idle.gpuMillis >= best.idle.gpuMillis;
      return worse || !query.accept(host) ? best : host;
    }
    const found = this.searchLevel(query, level, warm, 2 * node, best);
    return this.searchLevel(query, level, warm, 2 * node + 1, found);
  }

  private levelsOf(node: number, warm: boolean | undefined): number {
    if (warm === undefined) return this.warmLevels[node]! | this.coldLevels[node]!;
    return warm ? this.warmLevels[node]! : this.coldLevels[node]!;
  }

  private mayHold(node: number, query: HostQuery): boolean {
    if (query.need !== null && !this.covers(node, query.need)) return false;
    const at = node * BOUNDS;
    const claimed = this.bounds[at + LEAST_SUBSCRIBED]! + query.claim;
    // A hair wider than exact, so that rounding never hides a host that `accept` would take.
    return claimed <= query.mostClaimed * this.bounds[at + LARGEST_SPEC]! * (1 + 1e-9);
  }

  private covers(node: number, need: Readonly<ResourceVector>): boolean {
    const { bounds } = this;
    const at = node * BOUNDS;
    return (
      bounds[at + IDLE_GPU]! >= need.gpuMillis &&
      bounds[at + IDLE_CPU]! >= need.cpuMillis &&
      bounds[at + IDLE_MEMORY]! >= need.memoryMb &&
      bounds[at + IDLE_VRAM]! >= need.vramMb
    );
  }

  private mark(leaf: number): void {
    if (this.marked[leaf] !== 0) return;
    this.marked[leaf] = 1;
    this.dirty.push(leaf);
  }

  private settle(): void {
    if (this.dirty.length === 0) return;
    for (const leaf of this.dirty) {
      this.marked[leaf] = 0;
      this.replay(leaf);
    }
    this.dirty = [];
  }

  /** Carries a changed leaf towards the root, as far as anything above changes. */
  private replay(leaf: number): void {
    const host = this.leaves[leaf];
    const owner = this.owners[leaf];
    let node = this.capacity + leaf;
    const before = this.winners[0]?.[node] ?? owner;
    this.setLeaf(node, host);
    for (const tree of this.winners) tree[node] = host;
    for (node >>= 1; node >= 1; node >>= 1) {
      if (!this.combine(node, host, before)) return;
    }
  }

  private setLeaf(node: number, host: Host | undefined): void {
    const { bounds } = this;
    const at = node * BOUNDS;
    const { idle } = host ?? { idle: NONE_IDLE };
    bounds[at + IDLE_GPU] = idle.gpuMillis;
    bounds[at + IDLE_CPU] = idle.cpuMillis;
    bounds[at + IDLE_MEMORY] = idle.memoryMb;
    bounds[at + IDLE_VRAM] = idle.vramMb;
    bounds[at + LEAST_SUBSCRIBED] = host?.subscribed.gpuMillis ?? Number.POSITIVE_INFINITY;
    bounds[at + LARGEST_SPEC] = host?.spec.gpuMillis ?? 0;
    const level = host === undefined ? 0 : 1 << levelOf(idle.gpuMillis);
    const warm = host !== undefined && host.pool.length > 0;
    this.warmLevels[node] = warm ? level : 0;
    this.coldLevels[node] = warm ? 0 : level;
  }

  /**
   * Renews a node from its children. False when it is as it was and its winners are not the host
   * that changed, in whose place `before` stood: then nothing above can differ either.
   */
  private combine(node: number, host: Host | undefined, before: Host | undefined): boolean {
    const left = 2 * node;
    const right = left + 1;
    let differs = this.combineBounds(node);
    for (let order = 0; order < this.winners.length; order++) {
      const tree = this.winners[order]!;
      const a = tree[left];
      const b = tree[right];
      const winner =
        a === undefined ? b : b === undefined || this.comparators[order]!(a, b) < 0 ? a : b;
      const old = tree[node];
      tree[node] = winner;
      if (winner !== old || winner === host || winner === before) differs = true;
    }
    return differs;
  }

  /** Whether a bound or a set of levels of the node has changed. */
  private combineBounds(node: number): boolean {
    const left = 2 * node;
    const { bounds, warmLevels, coldLevels } = this;
    let differs = false;
    for (let bound = 0; bound < BOUNDS; bound++) {
      const a = bounds[left * BOUNDS + bound]!;
      const b = bounds[(left + 1) * BOUNDS + bound]!;
      const value = bound === LEAST_SUBSCRIBED ? Math.min(a, b) : Math.max(a, b);
      if (value === bounds[node * BOUNDS + bound]) continue;
      bounds[node * BOUNDS + bound] = value;
      differs = true;
    }
    const warm = warmLevels[left]! | warmLevels[left + 1]!;
    const cold = coldLevels[left]! | coldLevels[left + 1]!;
    if (warm !== warmLevels[node] || cold !== coldLevels[node]) differs = true;
    warmLevels[node] = warm;
    coldLevels[node] = cold;
    return differs;
  }

  /** Makes room for another leaf: drops those of hosts that are gone, doubles when most are not. */
  private compact(): void {
    const kept = this.owners.filter((host) => host !== undefined);
    if (kept.length * 2 > this.capacity) this.capacity *= 2;
    const wasUp = new Set(this.leaves);
    this.clear();
    for (const host of kept) {
      this.expect(host);
      if (wasUp.has(host)) this.add(host);
    }
  }

  private clear(): void {
    this.owners = [];
    this.leaves = new Array(this.capacity).fill(undefined);
    this.winners = this.comparators.map(() => new Array(2 * this.capacity).fill(undefined));
    this.bounds = new Float64Array(2 * this.capacity * BOUNDS);
    this.warmLevels = new Int32Array(2 * this.capacity);
    this.coldLevels = new Int32Array(2 * this.capacity);
    this.marked = new Uint8Array(this.capacity);
    this.dirty = [];
    for (let node = 0; node < 2 * this.capacity; node++) this.setLeaf(node, undefined);
  }
}

const NONE_IDLE: Readonly<ResourceVector> = {
  cpuMillis: -1,
  memoryMb: -1,
  gpuMillis: -1,
  vramMb: -1,
};

/** Whole idle GPUs, the top level and above as one. */
function levelOf(gpuMillis: number): number {
  return Math.min(TOP_LEVEL, Math.floor(gpuMillis / 1000));
}
