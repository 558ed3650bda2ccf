import type { Host } from './books/host-book.ts';
import type { ResourceVector } from './resources.ts';

/** Less than 0 when `a` comes before `b`; total, with the id as the last tie-break. */
export type HostComparator = (a: Host, b: Host) => number;

/**
 * The hosts that are up, searchable in several orders: one winner tree per order over common leaves,
 * each node holding its subtree's best host, with the largest idle vector of the subtree for
 * pruning. A change marks a host; marks are worked off at the next search, so that hosts that change
 * between searches cost nothing more. Search and update take O(log hosts) comparisons, plus the
 * hosts that the caller refuses.
 */
export class HostIndex {
  private readonly comparators: readonly HostComparator[];
  private capacity = 16;
  private leaves: (Host | undefined)[] = new Array(this.capacity).fill(undefined);
  private winners: (Host | undefined)[][];
  private idleGpu = new Float64Array(2 * this.capacity).fill(-1);
  private idleCpu = new Float64Array(2 * this.capacity).fill(-1);
  private idleMemory = new Float64Array(2 * this.capacity).fill(-1);
  private idleVram = new Float64Array(2 * this.capacity).fill(-1);
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
    if (host.leaf !== -1 && this.marked[host.leaf] === 0) this.mark(host.leaf);
  }

  /** Whether some host has `need` idle in each dimension, though perhaps not in all at once. */
  mayFit(need: Readonly<ResourceVector>): boolean {
    this.settle();
    return this.covers(1, need);
  }

  /**
   * The first host in order `order` that `accept` takes; undefined when none does. With `need`, only
   * hosts with that much idle are offered.
   */
  find(
    order: number,
    need: Readonly<ResourceVector> | null,
    accept: (host: Host) => boolean,
  ): Host | undefined {
    this.settle();
    return this.search(order, 1, need, accept, undefined);
  }

  private search(
    order: number,
    node: number,
    need: Readonly<ResourceVector> | null,
    accept: (host: Host) => boolean,
    best: Host | undefined,
  ): Host | undefined {
    const winner = this.winners[order]![node];
    if (winner === undefined) return best;
    if (best !== undefined && this.comparators[order]!(winner, best) >= 0) return best;
    if (need !== null && !this.covers(node, need)) return best;
    if (node >= this.capacity) return accept(winner) ? winner : best;
    const left = 2 * node;
    const first = this.winners[order]![left] === winner ? left : left + 1;
    const found = this.search(order, first, need, accept, best);
    return this.search(order, first === left ? left + 1 : left, need, accept, found);
  }

  private covers(node: number, need: Readonly<ResourceVector>): boolean {
    return (
      this.idleGpu[node]! >= need.gpuMillis &&
      this.idleCpu[node]! >= need.cpuMillis &&
      this.idleMemory[node]! >= need.memoryMb &&
      this.idleVram[node]! >= need.vramMb
    );
  }

  private mark(leaf: number): void {
    if (this.marked[leaf] !== 0) return;
    this.marked[leaf] = 1;
    this.dirty.push(leaf);
  }

  private settle(): void {
    for (const leaf of this.dirty) {
      this.marked[leaf] = 0;
      this.replay(leaf);
    }
    this.dirty.length = 0;
  }

  private replay(leaf: number): void {
    const host = this.leaves[leaf];
    let node = this.capacity + leaf;
    this.idleGpu[node] = host === undefined ? -1 : host.idle.gpuMillis;
    this.idleCpu[node] = host === undefined ? -1 : host.idle.cpuMillis;
    this.idleMemory[node] = host === undefined ? -1 : host.idle.memoryMb;
    this.idleVram[node] = host === undefined ? -1 : host.idle.vramMb;
    for (const tree of this.winners) tree[node] = host;
    for (node >>= 1; node >= 1; node >>= 1) this.combine(node);
  }

  private combine(node: number): void {
    const left = 2 * node;
    const right = left + 1;
    this.idleGpu[node] = Math.max(this.idleGpu[left]!, this.idleGpu[right]!);
    this.idleCpu[node] = Math.max(this.idleCpu[left]!, this.idleCpu[right]!);
    this.idleMemory[node] = Math.max(this.idleMemory[left]!, this.idleMemory[right]!);
    this.idleVram[node] = Math.max(this.idleVram[left]!, this.idleVram[right]!);
    for (let order = 0; order < this.winners.length; order++) {
      const tree = this.winners[order]!;
      const a = tree[left];
      const b = tree[right];
      tree[node] =
        a === undefined ? b : b === undefined || this.comparators[order]!(a, b) < 0 ? a : b;
    }
  }

  private grow(): void {
    this.capacity *= 2;
    this.leaves.length = this.capacity;
    this.leaves.fill(undefined, this.capacity / 2);
    this.winners = this.comparators.map(() => new Array(2 * this.capacity).fill(undefined));
    this.idleGpu = new Float64Array(2 * this.capacity).fill(-1);
    this.idleCpu = new Float64Array(2 * this.capacity).fill(-1);
    this.idleMemory = new Float64Array(2 * this.capacity).fill(-1);
    this.idleVram = new Float64Array(2 * this.capacity).fill(-1);
    this.marked = new Uint8Array(this.capacity);
    this.dirty = [];
    for (let leaf = 0; leaf < this.used; leaf++) this.mark(leaf);
  }
}
