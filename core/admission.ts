import type { Execution } from './books/execution-book.ts';
import { devicesServe, type Host } from './books/host-book.ts';
import type { Session } from './books/session-book.ts';
import type { HostType } from './config/options.ts';
import { canCommit } from './ledger.ts';
import type { Refusal } from './reasons.ts';
import { fitsIn, type ResourceVector } from './resources.ts';
import type { State } from './state.ts';
import { exceedsLimit, ratioWith } from './subscription.ts';

/** Whether a replica of the session, or one on its way, is on the host. */
export function holdsReplica(session: Session, host: number): boolean {
  for (const replica of session.replicas) {
    if (replica.host === host && replica.state !== 'missing') return true;
  }
  for (const migration of session.migrations) if (migration.host === host) return true;
  return false;
}

function suits(host: Host, need: Readonly<ResourceVector>, gpuType: string): boolean {
  return (
    host.state === 'up' && fitsIn(need, host.spec) && (gpuType === '' || gpuType === host.gpuType)
  );
}

/** Whether a replica of the session may be placed on the host. */
export function admitsReplica(state: State, host: Host, session: Session): boolean {
  if (!suits(host, session.need, session.gpuType) || holdsReplica(session, host.id)) return false;
  if (state.policy.commit === 'placement') return canCommit(state, host, session.need, -1);
  return !exceedsLimit(state, host, session.need);
}

/** Whether a replica may be moved to the host and run this execution there. */
export function admitsMigration(
  state: State,
  host: Host,
  session: Session,
  execution: Execution,
): boolean {
  return (
    canCommit(state, host, execution.need, execution.id) &&
    suits(host, session.need, session.gpuType) &&
    !holdsReplica(session, host.id) &&
    !exceedsLimit(state, host, session.need)
  );
}

/** Whether a container for this execution alone may be placed on the host. */
export function admitsExecution(state: State, host: Host, execution: Execution): boolean {
  return (
    canCommit(state, host, execution.need, execution.id) &&
    (execution.gpuType === '' || execution.gpuType === host.gpuType)
  );
}

/** Whether some host type could ever hold it. */
export function couldEverFit(
  state: State,
  need: Readonly<ResourceVector>,
  gpuType: string,
): boolean {
  return state.hostTypes.some((type) => typeHolds(type, need, gpuType));
}

/** Whether an empty host of the type can hold it. */
export function typeHolds(
  type: HostType,
  need: Readonly<ResourceVector>,
  gpuType: string,
): boolean {
  return (
    need.gpuMillis <= type.gpus * 1000 &&
    need.cpuMillis <= type.cpuMillis &&
    need.memoryMb <= type.memoryMb &&
    need.vramMb <= type.vramMb &&
    (gpuType === '' || gpuType === type.gpuType)
  );
}

/**
 * Why the host cannot serve the execution now, for `explain`; null when it can. `asMigration`: as
 * the target of a migration, else as the host of a replica or container that is there or needs
 * none.
 */
export function refusalOf(
  state: State,
  host: Host,
  session: Session,
  execution: Execution,
  asMigration: boolean,
): Refusal | null {
  const { need } = execution;
  if (host.state === 'draining' || host.state === 'releasing') return 'draining';
  if (host.state !== 'up') return 'not-up';
  if (execution.gpuType !== '' && execution.gpuType !== host.gpuType) return 'gpu-type';
  if (!fitsIn(need, host.spec)) return 'too-small';
  if (need.gpuMillis > host.idle.gpuMillis) return 'idle-gpus';
  if (need.cpuMillis > host.idle.cpuMillis) return 'idle-cpu';
  if (need.memoryMb > host.idle.memoryMb) return 'idle-memory';
  if (need.vramMb > host.idle.vramMb) return 'idle-vram';
  if (state.config.deviceIds && !devicesServe(host, need.gpuMillis)) return 'idle-devices';
  if (host.reservedFor !== -1 && host.reservedFor !== execution.id) return 'reserved';
  if (asMigration) {
    if (holdsReplica(session, host.id)) return 'replica-present';
    if (ratioWith(state, host, session.need) > state.scaling.limit) return 'subscription-limit';
  } else {
    const at = session.replicas.findIndex((replica) => replica.host === host.id);
    if (at !== -1 && (execution.yielded & (1 << at)) !== 0) return 'yielded';
  }
  return null;
}
