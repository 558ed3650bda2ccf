import type { StartEntry } from '../log/entries.ts';
import type { KernelLog } from '../log/kernel-log.ts';
import type { Group } from './group.ts';
import type { CellRunner, RunnerOf } from './replica-cell.ts';
import type { CollectorOf, ReplicaCollector } from './replica-collect.ts';
import type { AbortElsewhere } from './replica-elsewhere.ts';
import type { LeaseOf } from './replica-fence.ts';
import type { ReplicaOptions } from './replica-options.ts';
import type { ReplicaProcess } from './replica-process.ts';
import type { ReplicaState } from './replica-state.ts';

/** The parts of one replica, as those that follow its cells see them. */
export interface Joints {
  readonly options: ReplicaOptions;
  readonly process: ReplicaProcess;
  readonly state: ReplicaState;
  readonly elsewhere: AbortElsewhere;
  log(): KernelLog;
  group(): Group;
  runner(): CellRunner;
  collector(): ReplicaCollector;
  /** A fresh process, from the state in the log. */
  restart(): void;
}

export function isInForce(log: KernelLog, { cell, attempt, epoch }: StartEntry): boolean {
  const start = log.running?.start;
  return start?.cell === cell && start.attempt === attempt && start.epoch === epoch;
}

export function runnerOf(joints: Joints): RunnerOf {
  const { options, process, state, elsewhere, log, group, collector } = joints;
  return {
    process,
    devices: options.devices,
    devicesMs: options.limits.devicesMs,
    now: options.now,
    propose: (entries) => group().propose(entries),
    inForce: (start) => isInForce(log(), start),
    complete: async (delta) => {
      const { n } = collector();
      return { n, delta: await state.fitting(collector().complete(delta)) };
    },
    save: (delta) => state.save(delta),
    unchanged: (problem) => state.unchanged(problem),
    survivors: () => state.survivors(),
    isSettled: () => !collector().isAhead && log().pinned.length === 0,
    restart: joints.restart,
    warn: (error, message) => warn(joints, error, message),
    abortElsewhere: (entry) => void elsewhere.ask(entry, group().members),
  };
}

export function collectorOf(joints: Joints): CollectorOf {
  const { options, process, state, log, group, runner } = joints;
  return {
    process,
    limits: options.limits,
    now: options.now,
    log,
    member: () => group().member,
    idle: () => runner().current === undefined,
    fitting: (delta) => state.fitting(delta),
    save: (delta) => state.save(delta),
    propose: (entries) => group().propose(entries),
    warn: (error, message) => warn(joints, error, message),
  };
}

export function leaseOf({ options, process, state, group, runner, restart }: Joints): LeaseOf {
  const { kernel, peers, tell } = options;
  return {
    runner: runner(),
    process,
    peers,
    voterHosts: () => group().voterHosts,
    survivors: () => state.survivors(),
    onEnded: () => {
      restart();
      tell({ t: 'process-died', kernel, member: group().member, exit: 'fenced' });
    },
  };
}

function warn({ options }: Joints, error: unknown, message: string): void {
  options.log.warn({ kernel: options.kernel, err: error }, message);
}
