import type { Host } from './books/host-book.ts';
import type { ResourceVector } from './resources.ts';

/** Less than 0 when `a` comes before `b`; total, with the id as the last tie-break. */
export type HostComparator = (a: Host, b: Host) => number;

/** Numbers kept for each node: the largest idle of its subtree by dimension, … */
const IDLE_GPU = 0;
const IDLE_CPU = 1;
const IDLE_MEMORY = 2;
const IDLE_VRAM = 3;
/** … and what bounds the subscription ratio from below: least subscribed, largest spec GPUs. */
const LEAST_SUBSCRIBED = 4;
const LARGEST_SPEC = 5;
const BOUNDS = 6;

/**
 * The hosts that are up, searchable in several orders: one winner tree per order over common leaves,
 * each node holding its subtree's best host, with bounds of the subtree for pruning. A change marks a
 * host; marks are worked off at the next search, so that hosts that change between searches cost
 * nothing more. Search and update take O(log hosts) comparisons, plus the hosts that the caller
 * refuses.
 */
export class HostIndex {
  private readonly comparators: readonly HostComparator[];
  private capacity = 16;
  private leaves: (Host | undefined)[] = new Array(this.capacity).fill(undefined);
  private winners: (Host | undefined)[][];
  /** BOUNDS numbers a node */
  private bounds = emptyBounds(this.capacity);
  private readonly freeLeaves: number[] = [];
  private used = 0;
  private dirty: number[] = [];
  private marked = new Uint8Array(this.capacity);

  constructor(comparators: readonly HostComparator[]) {
    this.comparators = comparators;
    this.winners = comparators.map(() => new Array(2 * this.capacity).fill(undefined));
  }

  add(host: Host): void {
    let leaf = this.freeLeaves.pop();
    if (leaf === undefined) {
      if (this.used === this.capacity) this.grow();
      leaf = this.used++;
    }
    host.leaf = leaf;
    this.leaves[leaf] = host;
    this.mark(leaf);
  }

  remove(host: Host): void {
    this.leaves[host.leaf] = undefined;
    this.mark(host.leaf);
    this.freeLeaves.push(host.leaf);
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

  /**
   * The first host in order `order` that `accept` takes; undefined when none does. With `need`, only
   * hosts with that much idle are offered; with `claim`, only hosts whose subscribed GPUs and it
   * together are at most `most` times their GPUs.
   */
  find(
    order: number,
    need: Readonly<ResourceVector> | null,
    accept: (host: Host) => boolean,
    claim = 0,
    most = Number.POSITIVE_INFINITY,
  ): Host | undefined {
    this.settle();
    return this.search({ order, need, accept, claim, most }, 1, undefined);
  }

  /** A lower bound of (subscribed GPUs + claim) / GPUs over all hosts; Infinity without hosts. */
  leastRatioWith(claim: number): number {
    this.settle();
    const spec = this.bounds[BOUNDS + LARGEST_SPEC]!;
    return spec === 0
      ? Number.POSITIVE_INFINITY
      : (this.bounds[BOUNDS + LEAST_SUBSCRIBED]! + claim) / spec;
  }

  private search(query: Query, node: number, best: Host | undefined): Host | undefined {
    const winners = this.winners[query.order]!;
    const winner = winners[node];
    if (winner === undefined) return best;
    if (best !== undefined && this.comparators[query.order]!(winner, best) >= 0) return best;
    if (query.need !== null && !this.covers(node, query.need)) return best;
    const at = node * BOUNDS;
    const claimed = this.bounds[at + LEAST_SUBSCRIBED]! + query.claim;
    // A hair wider than exact, so that rounding never hides a host that `accept` would take.
    if (claimed > query.most * this.bounds[at + LARGEST_SPEC]! * (1 + 1e-9)) return best;
    if (node >= this.capacity) return query.accept(winner) ? winner : best;
    const left = 2 * node;
    const first = winners[left] === winner ? left : left + 1;
    const found = this.search(query, first, best);
    return this.search(query, first === left ? left + 1 : left, found);
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
    let node = this.capacity + leaf;
    const before = this.winners[0]?.[node];
    this.setLeaf(node * BOUNDS, host);
    for (const tree of this.winners) tree[node] = host;
    for (node >>= 1; node >= 1; node >>= 1) {
      if (!this.combine(node, host, before)) return;
    }
  }

  private setLeaf(at: number, host: Host | undefined): void {
    const { bounds } = this;
    bounds[at + IDLE_GPU] = host === undefined ? -1 : host.idle.gpuMillis;
    bounds[at + IDLE_CPU] = host === undefined ? -1 : host.idle.cpuMillis;
    bounds[at + IDLE_MEMORY] = host === undefined ? -1 : host.idle.memoryMb;
    bounds[at + IDLE_VRAM] = host === undefined ? -1 : host.idle.vramMb;
    bounds[at + LEAST_SUBSCRIBED] =
      host === undefined ? Number.POSITIVE_INFINITY : host.subscribed.gpuMillis;
    bounds[at + LARGEST_SPEC] = host === undefined ? 0 : host.spec.gpuMillis;
  }

  /**
   * Renews a node from its children. False when it is as it was and its winners are not the host
   * that changed, in whose place `before` stood: then nothing above can differ either.
   */
  private combine(node: number, host: Host | undefined, before: Host | undefined): boolean {
    const left = 2 * node;
    const right = left + 1;
    const { bounds } = this;
    const at = node * BOUNDS;
    let differs = false;
    for (let bound = 0; bound < BOUNDS; bound++) {
      const a = bounds[left * BOUNDS + bound]!;
      const b = bounds[right * BOUNDS + bound]!;
      const value = bound === LEAST_SUBSCRIBED ? Math.min(a, b) : Math.max(a, b);
      if (value === bounds[at + bound]) continue;
      bounds[at + bound] = value;
      differs = true;
    }
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

  private grow(): void {
    this.capacity *= 2;
    this.leaves.length = this.capacity;
    this.leaves.fill(undefined, this.capacity / 2);
    this.winners = this.comparators.map(() => new Array(2 * this.capacity).fill(undefined));
    this.bounds = emptyBounds(this.capacity);
    this.marked = new Uint8Array(this.capacity);
    this.dirty = [];
    for (let leaf = 0; leaf < this.used; leaf++) this.mark(leaf);
  }
}

interface Query {
  readonly order: number;
  readonly need: Readonly<ResourceVector> | null;
  readonly accept: (host: Host) => boolean;
  readonly claim: number;
  readonly most: number;
}

function emptyBounds(capacity: number): Float64Array {
  const bounds = new Float64Array(2 * capacity * BOUNDS);
  for (let at = 0; at < bounds.length; at += BOUNDS) {
    bounds.fill(-1, at, at + LEAST_SUBSCRIBED);
    bounds[at + LEAST_SUBSCRIBED] = Number.POSITIVE_INFINITY;
  }
  return bounds;
}
