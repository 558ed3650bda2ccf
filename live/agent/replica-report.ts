import type { KernelMeta } from '../log/entries.ts';
import type { KernelLog } from '../log/kernel-log.ts';
import type { KernelPosition, KernelReport } from '../wire/messages.ts';
import type { Group } from './group.ts';
import type { ReplicaOutputs } from './replica-options.ts';
import type { ReplicaProcess } from './replica-process.ts';
import { unreplicatedWith } from './replica-table.ts';

/** Where a replica stands, for the beats of its agent. */
export function positionOf(group: Group, process: ReplicaProcess): KernelPosition {
  const { kernel, member, node, applied } = group;
  const learner = node.config.learners.includes(member);
  const role = learner ? 'learner' : node.role === 'pre-candidate' ? 'candidate' : node.role;
  return { kernel, member, role, applied, process: process.state, pid: process.pid };
}

/** All that a replica knows of its kernel; `meta` for one whose log has not come yet. */
export function reportOf(
  group: Group,
  process: ReplicaProcess,
  log: KernelLog,
  meta: KernelMeta,
  { first, next, seen }: ReplicaOutputs,
): KernelReport {
  const { epoch, executor, nextCell, nextAttempt, count, decided, pinned, stateBytes } = log;
  return {
    ...positionOf(group, process),
    meta: log.meta ?? meta,
    members: group.members,
    leader: group.node.leader,
    epoch,
    executor,
    nextCell,
    nextAttempt,
    count,
    ...(log.resetAt > 0 ? { resetAt: log.resetAt } : {}),
    open: log.openCells(),
    decided: [...decided],
    outputs: { first, next, seen },
    unreplicated: unreplicatedWith(log.unreplicated, process.failed),
    pinned,
    stateBytes,
  };
}
