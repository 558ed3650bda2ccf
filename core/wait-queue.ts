import type { Execution } from './books/execution-book.ts';
import { assert } from './errors.ts';
import type { ResourceVector } from './resources.ts';

export type ExecutionComparator = (a: Execution, b: Execution) => number;

/** Waiting executions with one and the same need, in queue order from `head` on. */
export interface WaitClass {
  readonly need: Readonly<ResourceVector>;
  readonly gpuType: string;
  entries: Execution[];
  head: number;
  /** position of the next candidate in the pass under way; -1 once the class is blocked */
  cursor: number;
}

/** What one attempt to serve an execution came to. */
export type Served =
  | 'served'
  /** nothing of the same need can be served either */
  | 'blocked-class'
  /** only this one cannot */
  | 'blocked-self';

/**
 * The executions that wait for GPUs, grouped by need: a pass after a release looks at one candidate
 * per distinct need, not at every waiting execution. The order within and across classes is one
 * total comparator.
 */
export class WaitQueue {
  size = 0;
  gpuMillis = 0;
  readonly compare: ExecutionComparator;
  private readonly classes = new Map<string, WaitClass>();

  constructor(compare: ExecutionComparator) {
    this.compare = compare;
  }

  add(execution: Execution): void {
    const key = classKey(execution);
    let group = this.classes.get(key);
    if (group === undefined) {
      const { need, gpuType } = execution;
      group = { need, gpuType, entries: [], head: 0, cursor: -1 };
      this.classes.set(key, group);
    }
    const at = position(group, execution, this.compare);
    if (at === group.entries.length) group.entries.push(execution);
    else group.entries.splice(at, 0, execution);
    this.size++;
    this.gpuMillis += execution.need.gpuMillis;
  }

  remove(execution: Execution): void {
    const key = classKey(execution);
    const group = this.classes.get(key);
    const at = group === undefined ? -1 : position(group, execution, this.compare) - 1;
    assert(group?.entries[at] === execution, 'a waiting execution is not where its order says');
    if (at === group.head) {
      group.head++;
      // Amortised: the consumed prefix is cut once it is at least half of the list.
      if (group.head * 2 >= group.entries.length) {
        group.entries = group.entries.slice(group.head);
        if (group.cursor !== -1) group.cursor = Math.max(0, group.cursor - group.head);
        group.head = 0;
      }
    } else {
      group.entries.splice(at, 1);
    }
    if (group.head === group.entries.length) this.classes.delete(key);
    this.size--;
    this.gpuMillis -= execution.need.gpuMillis;
  }

  /** The execution that comes first of all; undefined when none waits. */
  first(): Execution | undefined {
    let first: Execution | undefined;
    for (const group of this.classes.values()) {
      const head = group.entries[group.head]!;
      if (first === undefined || this.compare(head, first) < 0) first = head;
    }
    return first;
  }

  /** The one submitted earliest, whatever the order of the queue. */
  oldest(): Execution | undefined {
    let oldest: Execution | undefined;
    for (const group of this.classes.values()) {
      for (let at = group.head; at < group.entries.length; at++) {
        const entry = group.entries[at]!;
        if (oldest === undefined || comesEarlier(entry, oldest)) oldest = entry;
        if (this.compare === bySubmission) break;
      }
    }
    return oldest;
  }

  /** All, in queue order. */
  inOrder(): Execution[] {
    const all: Execution[] = [];
    for (const group of this.classes.values()) {
      for (let at = group.head; at < group.entries.length; at++) all.push(group.entries[at]!);
    }
    return all.sort(this.compare);
  }

  /** Restores the order after what it depends on has changed. */
  sortAgain(): void {
    for (const group of this.classes.values()) {
      group.entries = group.entries.slice(group.head).sort(this.compare);
      group.head = 0;
    }
  }

  /**
   * Tries candidates in queue order until each class is blocked or exhausted. `mayServe` skips
   * whole classes; `serve` must remove what it serves. With `strict` nothing overtakes the head.
   * With `before`, only what comes before that execution is tried.
   */
  pass(
    mayServe: (group: WaitClass) => boolean,
    serve: (execution: Execution) => Served,
    strict: boolean,
    before: Execution | null = null,
  ): void {
    for (const group of this.classes.values()) group.cursor = group.head;
    for (;;) {
      let best: WaitClass | undefined;
      let candidate: Execution | undefined;
      for (const group of this.classes.values()) {
        if (group.cursor === -1 || group.cursor >= group.entries.length) continue;
        const entry = group.entries[group.cursor]!;
        if (candidate !== undefined && this.compare(entry, candidate) >= 0) continue;
        if (!strict && !mayServe(group)) {
          group.cursor = -1;
          continue;
        }
        best = group;
        candidate = entry;
      }
      if (best === undefined || candidate === undefined) return;
      if (before !== null && this.compare(candidate, before) > 0) return;
      const outcome = serve(candidate);
      if (outcome !== 'served' && strict) return;
      if (outcome === 'blocked-class') best.cursor = -1;
      else if (outcome === 'blocked-self') best.cursor++;
      else if (best.cursor < best.head) best.cursor = best.head;
    }
  }
}

function classKey(execution: Execution): string {
  const { gpuMillis, cpuMillis, memoryMb, vramMb } = execution.need;
  return `${gpuMillis},${cpuMillis},${memoryMb},${vramMb},${execution.gpuType}`;
}

/** Index just behind the last entry that does not come after `execution`. */
function position(group: WaitClass, execution: Execution, compare: ExecutionComparator): number {
  let low = group.head;
  let high = group.entries.length;
  if (high > low && compare(group.entries[high - 1]!, execution) <= 0) return high;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compare(group.entries[middle]!, execution) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function comesEarlier(a: Execution, b: Execution): boolean {
  return bySubmission(a, b) < 0;
}

/** First in, first out: by (submission, id). */
export function bySubmission(a: Execution, b: Execution): number {
  return a.submittedAt - b.submittedAt || a.id - b.id;
}

/** Shortest job first: by (expected run time, id); those of unknown length last. */
export function byExpectedTime(a: Execution, b: Execution): number {
  const left = a.expectedMs < 0 ? Number.MAX_SAFE_INTEGER : a.expectedMs;
  const right = b.expectedMs < 0 ? Number.MAX_SAFE_INTEGER : b.expectedMs;
  return left - right || a.id - b.id;
}
