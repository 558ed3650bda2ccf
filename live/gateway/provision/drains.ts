import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { z } from 'zod';
import { drainGoesOn } from '../../../core/moves.ts';
import { writeWholeFile } from '../../../traces/output-file.ts';
import type { CoreLoop } from '../core-loop.ts';
import type { Hosts, LiveHost } from '../hosts.ts';

const ASK_MS = 250;
const FILE = 'drained-hosts.json';
const DRAINED = z.object({ v: z.literal(1), hosts: z.array(z.string()) });

/**
 * Hosts that an operator has taken out of service. Core is asked to empty them again and again,
 * since a replica that runs a cell or has nowhere to go moves later.
 */
export class Drains {
  readonly #ids = new Set<string>();
  readonly #loop: CoreLoop;
  readonly #hosts: Hosts;
  readonly #timer: NodeJS.Timeout;
  onChanged: (ids: readonly string[]) => void = () => undefined;

  constructor(loop: CoreLoop, hosts: Hosts) {
    this.#loop = loop;
    this.#hosts = hosts;
    this.#timer = setInterval(() => this.#askAgain(), ASK_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** Whether it gets no work. One that has replicas yet needs a place, so that they can leave. */
  keepsOut({ id, hello }: LiveHost): boolean {
    return this.#ids.has(id) && (hello === undefined || hello.kernels.length === 0);
  }

  /** What was so before. */
  recall(ids: readonly string[]): void {
    for (const id of ids) this.#ids.add(id);
  }

  begin(host: LiveHost): void {
    this.#ids.add(host.id);
    this.onChanged([...this.#ids]);
    this.#ask(host, true);
  }

  end(host: LiveHost): void {
    this.#ids.delete(host.id);
    this.onChanged([...this.#ids]);
    this.#ask(host, false);
  }

  #askAgain(): void {
    for (const id of this.#ids) {
      const host = this.#hosts.get(id);
      if (host === undefined || host.number === -1) continue;
      if (drainGoesOn(this.#loop.core.state, host.number)) this.#ask(host, true);
    }
  }

  #ask({ number }: LiveHost, on: boolean): void {
    if (number !== -1) this.#loop.post({ kind: 'drain-requested', host: number, on });
  }
}

/** Keeps in a file which hosts are out of service. Without it they are all in service again. */
export function rememberDrains(folder: string, drains: Drains, log: Logger): void {
  const path = join(folder, FILE);
  try {
    drains.recall(DRAINED.parse(JSON.parse(readFileSync(path, 'utf8'))).hosts);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT') log.warn({ err: error, path }, 'hosts out of service are not known');
  }
  drains.onChanged = (hosts) => {
    try {
      writeWholeFile(path, `${JSON.stringify({ v: 1, hosts })}\n`);
    } catch (error) {
      log.warn({ err: error, path }, 'hosts out of service were not written down');
    }
  };
}
