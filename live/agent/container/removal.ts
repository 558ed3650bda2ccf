import type Docker from 'dockerode';
import type { Log } from '../kernel/bare-kernel.ts';
import { type Engine, statusOf } from './engine.ts';

const EVERY_MS = 5_000;
/** An engine that hangs for longer is left to the next agent of its host, ms. */
const GIVE_UP_MS = 30 * 60_000;

/** Ends a container, whatever it does, and removes it; nothing when there is none. */
export async function removed(container: Docker.Container): Promise<void> {
  try {
    await removedOnce(container);
  } catch {
    // One that was paused at that very moment cannot take note of its end.
    await container.unpause().catch(() => undefined);
    await removedOnce(container);
  }
}

async function removedOnce(container: Docker.Container): Promise<void> {
  try {
    await container.remove({ force: true, v: true });
  } catch (error) {
    // Another request removes it at this moment, or has.
    if (statusOf(error) !== 404 && statusOf(error) !== 409) throw error;
  }
}

/**
 * Removes a container that its engine had no answer about, in the background, until it is gone.
 * `mayComeMs`: for so long it may yet be made, after a request that was not waited for.
 */
export function removeLater(
  engine: Engine,
  log: Log,
  name: string,
  mayComeMs = 0,
  everyMs = EVERY_MS,
): void {
  const from = performance.now();
  const attempt = async (): Promise<void> => {
    const what = 'removal of a container';
    const isGone = await engine
      .ask(what, (docker) => removed(docker.getContainer(name)))
      .then(
        () => true,
        () => false,
      );
    const tookMs = performance.now() - from;
    if (isGone && tookMs >= mayComeMs) return;
    if (tookMs > GIVE_UP_MS) log.warn({ container: name }, 'a container is left');
    else setTimeout(() => void attempt(), everyMs).unref();
  };
  void attempt();
}
