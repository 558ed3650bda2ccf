import type { KernelReport } from '../wire/messages.ts';
import type { CoreLoop } from './core-loop.ts';
import type { LiveKernel, Member } from './kernel.ts';
import type { Replicas } from './replicas.ts';
import { hasMajority, latestOf, type Report, reportsOf } from './reports.ts';

/**
 * A kernel that was taken over from fewer hosts than a majority: its members may be others by now,
 * so none is started or removed until a majority has told. True from then on.
 */
export function hearOf(
  kernel: LiveKernel,
  { host, report }: Report,
  { loop, replicas }: { loop: CoreLoop; replicas: Replicas },
): boolean {
  const { minority } = kernel;
  if (minority === undefined) return true;
  minority.set(host, report);
  const reports = reportsOf(minority);
  if (!hasMajority(reports)) return false;
  const best = latestOf(reports);
  kernel.minority = undefined;
  kernel.lostQuorum = false;
  takeNumbers(kernel, best);
  for (const member of [...kernel.members.values()]) {
    if (best.members.some((each) => each.member === member.member)) continue;
    const { container } = member;
    replicas.leave(kernel, member);
    if (container !== -1) loop.post({ kind: 'container-lost', container });
  }
  for (const { member, host } of best.members)
    if (!kernel.members.has(member)) kernel.members.set(member, memberOf(member, host));
  for (const each of reports)
    if (each.host !== host) replicas.reported(kernel, each.host, each.report);
  replicas.startHeld(kernel);
  return true;
}

function takeNumbers(kernel: LiveKernel, best: KernelReport): void {
  const highest = Math.max(0, ...best.members.map(({ member }) => member));
  kernel.nextMember = Math.max(kernel.nextMember, highest + 1);
  kernel.nextCell = Math.max(kernel.nextCell, best.nextCell);
  kernel.heardIndex = Math.max(kernel.heardIndex, best.applied);
  if (best.applied <= kernel.appliedIndex) return;
  kernel.appliedIndex = best.applied;
  kernel.executor = best.executor;
  kernel.count = best.count;
}

/** In the group; core has no container for it yet. */
function memberOf(member: number, host: string): Member {
  return {
    ...{ member, host, container: -1, ready: false, joined: true, leaving: false, readyFrom: 0 },
    position: undefined,
    startedAt: performance.now(),
  };
}
