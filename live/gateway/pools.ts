import type { Logger } from 'pino';
import type { Container } from '../../core/books/container-book.ts';
import type { StartContainer, StopContainer } from '../../core/effects.ts';
import type { CoreLoop } from './core-loop.ts';
import type { Hosts } from './hosts.ts';
import type { KernelSpecs } from './kernel-service.ts';
import type { Agents } from './links.ts';

export interface PoolsOptions {
  loop: CoreLoop;
  hosts: Hosts;
  links: Agents;
  specs: () => Promise<KernelSpecs>;
  log: Logger;
  startMs: number;
}

/**
 * Seed of Python's hashes in processes that are started before it is known whose they become; a
 * kernel that is to take one has the same.
 */
export const POOLED_HASH_SEED = 0;

/** Processes of the default kernelspec, started ahead as core's pool says. */
export class Pools {
  readonly #options: PoolsOptions;
  /** containers with a process that was started ahead, or is being */
  readonly #there = new Set<number>();

  constructor(options: PoolsOptions) {
    this.#options = options;
  }

  /** What agents call the process in core's container; another gateway's names are others. */
  nameOf(container: number): string {
    return `p${this.#options.loop.epochMs}-${container}`;
  }

  /** The same, of a process that is taken now. */
  take(container: number): string {
    this.#there.delete(container);
    return this.nameOf(container);
  }

  has(container: number): boolean {
    return this.#there.has(container);
  }

  /** undefined for a process that nothing is to come of. */
  #containerOf(pooled: string): Container | undefined {
    const { epochMs, core } = this.#options.loop;
    const [epoch, number = -1] = pooled.slice(1).split('-').map(Number);
    const known = core.state.containers.get(number);
    const isKept = known?.role === 'pool' || this.#there.has(number);
    return epoch === epochMs && isKept ? known : undefined;
  }

  start({ container, host }: StartContainer): void {
    const { hosts, loop, log } = this.#options;
    const id = hosts.byNumber(host)?.id ?? '';
    this.#there.add(container);
    this.#ask(id, container).catch((error) => {
      log.warn({ err: error, host: id }, 'no pooled process');
      this.#there.delete(container);
      loop.post({ kind: 'container-failed', container });
    });
  }

  /**
   * A container has come back to core's pool: the process in it is its kernel's, and another one
   * beside it is for whoever gets the container next. Without it that one starts from nothing.
   */
  startSpare({ id: container, host }: Container): void {
    const { hosts, log } = this.#options;
    const id = hosts.byNumber(host)?.id;
    if (id === undefined || this.#there.has(container)) return;
    this.#there.add(container);
    this.#ask(id, container).catch((error) => {
      this.#there.delete(container);
      log.warn({ err: error, host: id }, 'no pooled process');
    });
  }

  async #ask(host: string, container: number): Promise<void> {
    const { links, specs, startMs } = this.#options;
    const { specs: known, default: usual } = await specs();
    const argv = (known[usual]?.spec['argv'] ?? []) as readonly string[];
    const pooled = this.nameOf(container);
    await links.request(host, { t: 'start-pooled', pooled, spec: usual, argv }, startMs);
  }

  stop({ container, host }: StopContainer): void {
    this.#there.delete(container);
    const id = this.#options.hosts.byNumber(host)?.id;
    if (id !== undefined) this.#end(id, this.nameOf(container));
  }

  #end(host: string, pooled: string): void {
    const { links, log } = this.#options;
    links
      .request(host, { t: 'stop-pooled', pooled })
      .catch((error) => log.debug({ err: error, host }, 'a pooled process was not stopped'));
  }

  ready(host: string, pooled: string): void {
    const known = this.#containerOf(pooled);
    if (known === undefined) this.#end(host, pooled);
    else if (known.role === 'pool' && known.state === 'starting')
      this.#options.loop.post({ kind: 'container-started', container: known.id });
  }

  /** It did not start, or is gone. One that has had kernels is of use without it. */
  failed(pooled: string): void {
    const known = this.#containerOf(pooled);
    if (known === undefined) return;
    this.#there.delete(known.id);
    if (known.lastSession === -1)
      this.#options.loop.post({ kind: 'container-lost', container: known.id });
  }

  /** What an agent has: strangers' end, and what core counts on and is not there is lost. */
  reported(host: string, names: readonly string[]): void {
    for (const pooled of names)
      if (this.#containerOf(pooled) === undefined) this.#end(host, pooled);
    const { loop, hosts } = this.#options;
    const { containers } = loop.core.state;
    const number = hosts.get(host)?.number ?? -1;
    for (const id of [...(loop.core.state.hosts[number]?.pool ?? [])]) {
      const isThere = names.includes(this.nameOf(id));
      if (!isThere && containers.get(id)?.role === 'pool') this.failed(this.nameOf(id));
    }
  }
}
