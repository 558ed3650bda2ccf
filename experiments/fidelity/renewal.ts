/** A pool container that a cell took, some time after another session had left it. */
export interface Taken {
  readonly idleMs: number;
  /** whether a process was there for it again */
  readonly isReady: boolean;
}

/**
 * How long containers take until a process is there again, when all that is known is whether one
 * was, at some moment: as many values as were taken, of the distribution that makes what was found
 * most likely (isotonic regression of the shares that were ready, by pooling adjacent violators).
 * None where all were ready.
 */
export function renewalSamples(taken: readonly Taken[]): number[] {
  const sorted = taken.toSorted((a, b) => a.idleMs - b.idleMs);
  if (sorted.every(({ isReady }) => isReady)) return [];
  const blocks: { ready: number; count: number; sinceMs: number }[] = [];
  for (const { idleMs, isReady } of sorted) {
    let block = { ready: isReady ? 1 : 0, count: 1, sinceMs: idleMs };
    for (let last = blocks.at(-1); last !== undefined; last = blocks.at(-1)) {
      if (last.ready * block.count < block.ready * last.count) break;
      blocks.pop();
      const [ready, count] = [last.ready + block.ready, last.count + block.count];
      block = { ready, count, sinceMs: last.sinceMs };
    }
    blocks.push(block);
  }
  // What is ready at the first look may have been so from the start.
  blocks[0]!.sinceMs = 0;
  const longest = sorted.at(-1)!.idleMs;
  return sorted.map((_, index) => {
    const share = (index + 0.5) / sorted.length;
    return blocks.find(({ ready, count }) => ready / count >= share)?.sinceMs ?? longest;
  });
}
