import { isVoter } from './configuration.ts';
import { type MemberId, NOBODY } from './entry.ts';
import type { Member } from './member.ts';
import type { Progress } from './progress.ts';
import type { Refusal } from './proposals.ts';

/**
 * Starts handing the office to `target`: proposals are refused from now on, the target is brought
 * up to date and told to campaign at once. It is given up after electionTicks (thesis, 3.10).
 */
export function startTransfer(m: Member, target: MemberId): Refusal | undefined {
  if (m.role !== 'leader') return 'not-leader';
  if (target === m.id || !isVoter(m.config, target)) return 'not-a-voter';
  if (m.transferee !== NOBODY) return 'transferring';
  m.transferee = target;
  m.transferTicks = 0;
  sendTimeoutNow(m, target, m.progress.get(target)!);
  return undefined;
}

/** Tells a member to campaign, if its log is as long as ours. */
export function sendTimeoutNow(m: Member, to: MemberId, progress: Progress): boolean {
  if (progress.match !== m.log.last) return false;
  m.send({ type: 'timeout-now', from: m.id, to, term: m.term });
  return true;
}
