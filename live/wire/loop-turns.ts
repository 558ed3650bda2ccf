import { createHistogram, performance } from 'node:perf_hooks';

/**
 * Synchronous time, ns, of those turns of this process's event loop in which a message came in or a
 * tick was due: from the first of them until the loop has come to its end. Idle turns do not count.
 */
export const loopTurns = createHistogram();

let since = 0;

/** To be called first thing by whatever the loop calls; costs nothing but at a turn's first call. */
export function turnBegins(): void {
  if (since !== 0) return;
  since = performance.now();
  setImmediate(turnEnds);
}

function turnEnds(): void {
  loopTurns.record(Math.max(1, Math.round((performance.now() - since) * 1e6)));
  since = 0;
}
