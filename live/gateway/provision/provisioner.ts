/**
 * How hosts come and go when the scheduler asks for more or gives one back. Whatever it does, a
 * host counts as up once its agent has said hello, and it is given back only when no kernel has a
 * replica there.
 */
export interface Provisioner {
  /**
   * Brings one more host and resolves with its id once its agent is heard.
   * @throws NbosError provision-failed; also, soon, when the signal says so
   */
  enable(signal: AbortSignal): Promise<{ host: string }>;
  /** The host is not needed any more. @throws NbosError provision-failed, as above */
  disable(host: string, signal: AbortSignal): Promise<void>;
}

/** What a provisioner is told of the hosts that there are. */
export interface KnownHosts {
  /** ids of hosts whose agents are heard and that have no work, so that they could take some */
  free(): string[];
  /** ids of hosts that are known, not heard, and not kept out of service */
  silent(): string[];
  isHeard(host: string): boolean;
  /** one line about each host, for messages */
  described(): string;
}
