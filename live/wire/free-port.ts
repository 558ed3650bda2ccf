import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { NbosError } from '../../core/errors.ts';

/** Below those that systems give out by themselves, so that nobody gets one before it is used. */
const FIRST = 20_000;
const COUNT = 10_000;
const MOST_TRIES = 100;

/** A TCP port of the loopback that nobody listens on now. Rejects `port-taken` when none is found. */
export async function freePort(): Promise<number> {
  for (let tried = 0; tried < MOST_TRIES; tried++) {
    const port = FIRST + randomInt(COUNT);
    if (await isFree(port)) return port;
  }
  throw new NbosError(
    'port-taken',
    `none of ${MOST_TRIES} ports from ${FIRST} to ${FIRST + COUNT - 1} is free`,
    'Name a free one.',
  );
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
