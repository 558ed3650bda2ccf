import type { Logger } from 'pino';

/** ms of handling messages without a break; then others on the loop get their turn. */
const SLICE_MS = 2;

/** Hands each message of a socket to `take` until the socket is closed; `take` must not throw. */
export async function receiveAll(
  socket: AsyncIterable<Buffer[]>,
  take: (frames: Buffer[]) => void,
  log: Logger,
  closed: () => boolean,
): Promise<void> {
  let since = performance.now();
  try {
    for await (const frames of socket) {
      take(frames);
      if (performance.now() - since < SLICE_MS) continue;
      await new Promise(setImmediate);
      since = performance.now();
    }
  } catch (error) {
    if (!closed()) log.error({ err: error }, 'receiving ended');
  }
}
