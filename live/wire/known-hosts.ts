import { type HostKeys, SHARED_KEYS } from './host-keys.ts';
import type { HostAddress } from './messages.ts';
import type { Gatekeeper } from './zap.ts';

/**
 * Which other hosts a host lets in: those that its keys' file names, and those of which the gateway
 * says that they belong to the system. The gateway's key is known, so nobody else can say it.
 */
export class KnownHosts implements Gatekeeper {
  readonly #names = new Map<string, string>();
  readonly #first: Record<string, string>;

  constructor({ hosts, host, pair }: HostKeys) {
    const own = host === '' ? { [SHARED_KEYS]: pair.publicKey } : {};
    this.#first = { ...hosts, ...own };
    this.learn([]);
  }

  /** All hosts that there are now. */
  learn(hosts: readonly HostAddress[]): void {
    this.#names.clear();
    const shared = this.#first[SHARED_KEYS];
    // Of the shared pair each host says its own name.
    for (const { host, key } of hosts) if (key !== shared) this.#names.set(key, host);
    for (const [name, key] of Object.entries(this.#first)) this.#names.set(key, name);
  }

  nameOf(publicKey: string): string | undefined {
    return this.#names.get(publicKey);
  }
}
