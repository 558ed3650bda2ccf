import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { CoreLoop } from '../core-loop.ts';
import type { Hosts, LiveHost } from '../hosts.ts';
import type { KernelTable } from '../kernel-table.ts';
import type { Drains } from './drains.ts';
import type { KnownHosts, Provisioner } from './provisioner.ts';

export interface ProvisioningOptions {
  loop: CoreLoop;
  hosts: Hosts;
  table: KernelTable;
  drains: Drains;
  log: Logger;
  /** undefined where hosts are as many as they are: those that are wanted are waited for */
  provisioner: ((hosts: KnownHosts) => Provisioner) | undefined;
  /** hosts at once */
  most: number;
  /** resolves when it is known which hosts have kernels */
  recovered: () => Promise<void>;
  /** ms for which that is waited for */
  recoveryMs: number;
  /** ms until a host that is asked for must be there */
  provisionMs: number;
  /** ms that a host that is given back may take to be rid of its replicas, and then to go */
  releaseMs: number;
  /** ms before the first attempt after one that failed; the next ones wait twice as long each */
  backoffMs: number;
}

const LOOK_MS = 50;
const MOST_BACKOFF_MS = 60_000;

/** Has hosts come when core asks for them and go when it gives them back. */
export class Provisioning {
  readonly #options: ProvisioningOptions;
  readonly #provisioner: Provisioner | undefined;
  readonly #closing = new AbortController();
  /** hosts that are on their way out */
  readonly #leaving = new Set<string>();
  #failures = 0;
  #ready: Promise<void> | undefined;

  constructor(options: ProvisioningOptions) {
    this.#options = options;
    const { hosts, drains } = options;
    hosts.accepts = (host) => !this.#leaving.has(host.id) && !drains.keepsOut(host);
    this.#provisioner = options.provisioner?.({
      free: () => hosts.free().map(({ id }) => id),
      silent: () => this.#silent(),
      isHeard: (id) => hosts.isHeard(id),
      described: () =>
        hosts
          .all()
          .map(({ id, number, note }) => `${id} ${number === -1 ? `(${note})` : 'is in use'}`)
          .join(', '),
    });
  }

  close(): void {
    this.#closing.abort('closing');
  }

  /** Known hosts first; where hosts join, there may be more than are known. */
  #silent(): string[] {
    const { hosts, drains, most } = this.#options;
    const known = hosts.all().map(({ id }) => id);
    const others = Array.from({ length: most }, (_, at) => `h${at + 1}`);
    const ids = [...new Set([...known, ...others])].slice(0, Math.max(most, known.length));
    return ids.filter((id) => !hosts.isHeard(id) && !this.#leaving.has(id) && !drains.has(id));
  }

  /** Core asks for a host. */
  wanted(number: number): void {
    const { hosts, loop, log } = this.#options;
    hosts.wanted(number);
    if (this.#provisioner === undefined) return;
    this.#bring(number, this.#provisioner).catch((error) => {
      if (this.#closing.signal.aborted) return;
      this.#failures++;
      log.warn({ err: error, attempts: this.#failures }, 'no further host');
      if (hosts.withdraw(number)) loop.post({ kind: 'host-failed', host: number });
    });
  }

  async #bring(number: number, provisioner: Provisioner): Promise<void> {
    const { hosts, recovered, recoveryMs, provisionMs, backoffMs } = this.#options;
    const closing = { signal: this.#closing.signal };
    // Hosts that a gateway before this one had are there already, and will say so.
    this.#ready ??= Promise.race([recovered(), sleep(recoveryMs, undefined, closing)]);
    await this.#ready;
    if (!hosts.isWanted(number)) return;
    if (this.#failures > 0)
      await sleep(
        Math.min(MOST_BACKOFF_MS, backoffMs * 2 ** (this.#failures - 1)),
        undefined,
        closing,
      );
    const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(provisionMs)]);
    while (hosts.isWanted(number)) {
      await provisioner.enable(signal);
      // Another number that is wanted may have got it.
      hosts.match();
    }
    this.#failures = 0;
  }

  /** Core gives a host back. */
  released(number: number): void {
    const { loop, hosts, log } = this.#options;
    const host = hosts.byNumber(number);
    if (host === undefined) {
      loop.post({ kind: 'host-released', host: number });
      return;
    }
    this.#release(number, host).catch((error) => {
      if (!this.#closing.signal.aborted) log.error({ err: error, host: host.id }, 'not released');
    });
  }

  async #release(number: number, host: LiveHost): Promise<void> {
    const { loop, hosts, log, releaseMs } = this.#options;
    const until = performance.now() + releaseMs;
    while (this.#kernelsOn(host).length > 0 && performance.now() < until)
      await sleep(LOOK_MS, undefined, { signal: this.#closing.signal });
    // Lost meanwhile: core knows.
    if (host.number !== number) return;
    hosts.unbind(host);
    const kernels = this.#kernelsOn(host);
    if (kernels.length > 0) {
      // It may be the last to have them: once it has reported, it is offered again.
      log.warn({ host: host.id, kernels }, 'a host was not rid of its replicas in time: it stays');
      loop.post({ kind: 'host-released', host: number });
      return;
    }
    this.#leaving.add(host.id);
    try {
      const limit = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(releaseMs)]);
      await this.#provisioner?.disable(host.id, limit);
    } catch (error) {
      log.warn({ err: error, host: host.id }, 'a host that is not needed any more was not ended');
    }
    this.#leaving.delete(host.id);
    loop.post({ kind: 'host-released', host: number });
  }

  /** ids of kernels that have a member of their log there */
  #kernelsOn({ id }: LiveHost): string[] {
    return [...this.#options.table]
      .filter((kernel) => [...kernel.members.values()].some(({ host }) => host === id))
      .map((kernel) => kernel.id);
  }

  /** A host is heard and core has no use for it; with kernels on it, it is offered. */
  idle(host: LiveHost): void {
    const { drains, hosts, loop } = this.#options;
    if (this.#provisioner === undefined || this.#leaving.has(host.id)) return;
    if (host.hello!.kernels.length > 0) {
      loop.post({ kind: 'host-offered' });
      hosts.match();
    }
    if (host.number === -1 && !drains.has(host.id) && hosts.accepts(host))
      host.note = 'not needed now';
  }

  /** An operator wants the host to have work. */
  enable(host: LiveHost): void {
    const { hosts, loop } = this.#options;
    hosts.match();
    if (host.number === -1 && hosts.isHeard(host.id) && this.#provisioner !== undefined)
      loop.post({ kind: 'host-offered' });
  }
}
