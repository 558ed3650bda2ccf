import { randomInt } from 'node:crypto';
import { NbosError } from '../../core/errors.ts';
import type { OpenReplica, ReplicaParts } from './agent-options.ts';
import { DeviceGuard } from './gpu/device-guard.ts';
import { KernelOutputs } from './kernel/outputs.ts';
import type { Replica } from './ports.ts';
import { KernelReplica } from './replica.ts';
import {
  type NewReplica,
  REPLICA_LIMITS,
  type ReplicaLimits,
  type ReplicaOptions,
} from './replica-options.ts';

/** Integers below this are exact, and random enough for election times. */
const RANDOM_STEPS = 2 ** 47;

/** How an agent makes its replicas: with the real clock, and one book of the host's devices. */
export function replicaOpener(limits: Partial<ReplicaLimits> = {}): OpenReplica {
  let guard: DeviceGuard | undefined;
  return async (parts, fresh) => {
    guard ??= new DeviceGuard(parts.gpus, parts.gpuAccess, parts.log);
    const options = optionsOf(parts, guard, { ...REPLICA_LIMITS, ...limits });
    if (fresh !== undefined) return startReplica(options, fresh);
    const replica = await reopenReplica(options);
    if (replica !== undefined) return replica;
    throw new NbosError(
      'kernel-unknown',
      `this host has no log of kernel ${parts.kernel}`,
      'It may have moved; `nbos kernels` shows where its replicas are.',
    );
  };
}

function optionsOf(parts: ReplicaParts, guard: DeviceGuard, limits: ReplicaLimits): ReplicaOptions {
  const { kernel, store, peers, blobs, tell, log, niced, makeRuntime, saver } = parts;
  return {
    ...{ kernel, store, peers, blobs, tell, log, niced, limits, saver },
    devices: guard.devicesOf(kernel),
    outputs: new KernelOutputs(parts.outputs, 0),
    makeRuntime: (meta, nicedNow, first) => makeRuntime(meta, nicedNow, first),
    random: () => randomInt(RANDOM_STEPS) / RANDOM_STEPS,
    now: () => performance.now(),
  };
}

/** A replica that is new on this host. Resolves once its Raft member is durable and runs. */
export async function startReplica(options: ReplicaOptions, fresh: NewReplica): Promise<Replica> {
  const replica = new KernelReplica(options);
  await replica.open(fresh);
  return replica;
}

/** A replica whose log is on this host; undefined when there is none. Throws `log-corrupt`. */
export async function reopenReplica(options: ReplicaOptions): Promise<Replica | undefined> {
  const replica = new KernelReplica(options);
  return (await replica.open(undefined)) ? replica : undefined;
}
