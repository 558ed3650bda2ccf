import type { Logger } from 'pino';
import type { Cell, LiveKernel } from './kernel.ts';
import type { Agents } from './links.ts';

/** Asks the host of its executor; what does not arrive there is not tried again. */
export function interruptCell(
  { links, log }: { links: Agents; log: Logger },
  kernel: LiveKernel,
  { executor }: Cell,
): void {
  const found = kernel.members.get(executor);
  if (found === undefined) return;
  const { host, member } = found;
  links
    .request(host, { t: 'interrupt', kernel: kernel.id, member })
    .catch((error) => log.warn({ err: error, kernel: kernel.id }, 'not interrupted'));
}
