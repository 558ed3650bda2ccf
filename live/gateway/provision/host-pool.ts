import { setTimeout as sleep } from 'node:timers/promises';
import { NbosError } from '../../../core/errors.ts';
import type { KnownHosts, Provisioner } from './provisioner.ts';

const LOOK_MS = 50;

/** Hosts whose agents are there all the time: some have work, the others wait until they do. */
export class HostPool implements Provisioner {
  readonly #hosts: KnownHosts;

  constructor(hosts: KnownHosts) {
    this.#hosts = hosts;
  }

  async enable(signal: AbortSignal): Promise<{ host: string }> {
    for (;;) {
      const [host] = this.#hosts.free();
      if (host !== undefined) return { host };
      if (signal.aborted)
        throw new NbosError(
          'provision-failed',
          `no further host is there in time: ${this.#hosts.described()}`,
          'Start the agent of another host (nbos agent), or enable one (nbos hosts enable HOST).',
        );
      await sleep(LOOK_MS);
    }
  }

  /** It stays connected; nothing is left to be done on it. */
  disable(): Promise<void> {
    return Promise.resolve();
  }
}
