/**
 * Syncs of large files take a thread of the pool for seconds, and Raft's writes need one too: so
 * few of them run at a time in a process.
 */
const MOST_AT_ONCE = 2;

let running = 0;
const waiting: (() => void)[] = [];

/** Runs `sync` when its turn has come. */
export async function inDiskTurn<Result>(sync: () => Promise<Result>): Promise<Result> {
  if (running >= MOST_AT_ONCE) await new Promise<void>((go) => waiting.push(go));
  else running++;
  try {
    return await sync();
  } finally {
    const next = waiting.shift();
    // The turn goes on to who waits.
    if (next === undefined) running--;
    else next();
  }
}
