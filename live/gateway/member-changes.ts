import type { Logger } from 'pino';
import type { MemberAddress } from '../wire/messages.ts';
import type { Hosts } from './hosts.ts';
import type { LiveKernel } from './kernel.ts';
import type { Agents } from './links.ts';
import { askedToChange } from './members.ts';

export interface MemberChangesOptions {
  links: Agents;
  hosts: Hosts;
  log: Logger;
  /** ms that a change of members may take before it is asked for again */
  changeMs: number;
}

const RETRY_MS = 500;

/** Changes of the members of Raft groups, one after the other in each group. */
export class MemberChanges {
  readonly #options: MemberChangesOptions;
  readonly #last = new WeakMap<LiveKernel, Promise<void>>();

  constructor(options: MemberChangesOptions) {
    this.#options = options;
  }

  inTurn(kernel: LiveKernel, work: () => Promise<void>): Promise<void> {
    const before = this.#last.get(kernel) ?? Promise.resolve();
    const next = before.catch(() => undefined).then(work);
    this.#last.set(kernel, next);
    return next;
  }

  /** Asks until it is done; false when it is not wanted any more. */
  async make(
    kernel: LiveKernel,
    change: { add?: MemberAddress; remove?: number },
    wanted: () => boolean,
  ): Promise<boolean> {
    const { links, hosts, log, changeMs } = this.#options;
    const old = kernel.members.get(change.remove ?? -1) ?? { leaving: false };
    for (let attempt = 0; ; attempt++) {
      if (kernel.closing || !wanted()) {
        old.leaving = false;
        return false;
      }
      const voters = askedToChange(kernel, hosts, change.remove);
      const asked = voters[attempt % Math.max(1, voters.length)];
      if (asked !== undefined) {
        try {
          old.leaving = true;
          const request = { t: 'change-members' as const, kernel: kernel.id, ...change };
          await links.request(asked.host, request, changeMs);
          return true;
        } catch (error) {
          log.debug({ err: error, kernel: kernel.id, change }, 'members not changed yet');
        }
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}
