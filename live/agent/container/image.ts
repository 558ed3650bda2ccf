import type { ImageInspectInfo } from 'dockerode';
import { NbosError } from '../../../core/errors.ts';
import type { Log } from '../kernel/bare-kernel.ts';
import { type Engine, imageMissing } from './engine.ts';

/** A registry that sends nothing for so long does not come back, ms. */
const STALL_MS = 60_000;
const PROGRESS_EVERY_MS = 5_000;
/** The part before the first slash names a registry: quay.io/…, localhost:5000/…. */
const OF_REGISTRY = /^([^/]*[.:][^/]*|localhost)\//;

/** What a registry says to those whom it does not know. */
const UNKNOWN_USER = /no basic auth credentials|unauthorized|denied|authentication required/i;
/** Hosts of one process that want the same image of the same engine wait for one pull. */
const pulls = new Map<string, Promise<void>>();

interface Progress {
  id?: string;
  status?: string;
  progressDetail?: { current?: number; total?: number };
  error?: string;
}

/**
 * The image of a host's kernels, pulled when it is not there and its name begins with a registry;
 * `note` is told how far that is. Rejects `image-missing`, and as Engine.ask.
 */
export async function imageOf(
  engine: Engine,
  image: string,
  log: Log,
  note: (text: string) => void = () => {},
): Promise<ImageInspectInfo> {
  const look = (): Promise<ImageInspectInfo> =>
    engine.ask(`image ${image}`, (docker) => docker.getImage(image).inspect(), { image });
  try {
    return await look();
  } catch (error) {
    const missing = error instanceof NbosError && error.code === 'image-missing';
    if (!missing || !OF_REGISTRY.test(image)) throw error;
  }
  const key = `${engine.place} ${image}`;
  const pulling = pulls.get(key) ?? pull(engine, image, log, note).finally(() => pulls.delete(key));
  pulls.set(key, pulling);
  await pulling;
  return look();
}

async function pull(
  engine: Engine,
  image: string,
  log: Log,
  note: (text: string) => void,
): Promise<void> {
  log.info({ image }, 'pulling the image of kernels');
  note(`pulling ${image}`);
  const what = `pull of ${image}`;
  const layers = new Map<string, { current: number; total: number }>();
  let saidAt = 0;
  let stalled: NodeJS.Timeout | undefined;
  let stream: NodeJS.ReadableStream | undefined;
  try {
    const coming = await engine.ask(what, (docker) => docker.pull(image), { ms: STALL_MS });
    stream = coming;
    await new Promise<void>((resolve, reject) => {
      const stall = (): void => reject(new Error(`nothing came for ${STALL_MS} ms`));
      stalled = setTimeout(stall, STALL_MS);
      let broken = '';
      const ended = (error: Error | null): void => {
        if (error !== null || broken !== '') reject(error ?? new Error(broken));
        else resolve();
      };
      engine.docker.modem.followProgress(coming, ended, (event: Progress) => {
        stalled?.refresh();
        broken ||= event.error ?? '';
        const { current, total } = event.progressDetail ?? {};
        const again = /^Retrying/.test(event.status ?? '') ? `; a layer broke off` : '';
        if (event.id !== undefined && current !== undefined && total !== undefined)
          layers.set(event.id, { current, total });
        if (performance.now() - saidAt < PROGRESS_EVERY_MS) return;
        saidAt = performance.now();
        const { doneMb, ofMb } = megabytes([...layers.values()]);
        log.info({ image, doneMb, ofMb }, 'pulling the image of kernels');
        note(`pulling ${image}: ${doneMb} of ${ofMb} MB${again}`);
      });
    });
  } catch (error) {
    (stream as { destroy?: () => void } | undefined)?.destroy?.();
    const { message, hint } = imageMissing(engine.place, image);
    const reason = (error as Error).message;
    const registry = OF_REGISTRY.exec(image)?.[1];
    const login = `Get it on the engine's machine: docker login ${registry}; docker pull ${image}.`;
    throw new NbosError(
      'image-missing',
      `${message}: ${reason}`,
      UNKNOWN_USER.test(reason) ? login : hint,
    );
  } finally {
    clearTimeout(stalled);
  }
}

function megabytes(layers: readonly { current: number; total: number }[]) {
  const sum = (key: 'current' | 'total'): number =>
    Math.round(layers.reduce((all, layer) => all + layer[key], 0) / 1e6);
  return { doneMb: sum('current'), ofMb: sum('total') };
}
