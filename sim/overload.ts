import { typeHolds } from '../core/admission.ts';
import type { Config, HostType } from '../core/config/options.ts';
import type { Policy } from '../core/policies/policy.ts';
import type { State } from '../core/state.ts';
import { gpuTimeOf } from '../traces/measures.ts';
import { peakReservedGpus } from '../traces/sample.ts';
import type { Trace } from '../traces/trace.ts';

/** How many sessions no host type can hold, because of the GPUs that they name. */
function sessionsWithoutHost(trace: Trace, hostTypes: readonly HostType[]): number {
  const { count, shape, gpuType } = trace.sessions;
  let unserved = 0;
  for (let session = 0; session < count; session++) {
    const name = trace.gpuTypes[gpuType[session]!]!;
    if (name === '') continue;
    const need = trace.shapes[shape[session]!]!;
    if (!hostTypes.some((type) => typeHolds(type, need, name))) unserved++;
  }
  return unserved;
}

/** Most GPUs that the configuration allows at once. */
function gpuCapacity(config: Config, hostTypes: readonly HostType[]): number {
  let left = config.hosts;
  let gpus = 0;
  for (const type of hostTypes) {
    const count = Math.min(left, type.maxHosts);
    gpus += count * type.gpus;
    left -= count;
  }
  return gpus;
}

/** Whether each open session has a cell that waits for GPUs or its kernel, and nothing runs. */
export function everyoneWaits(state: State): boolean {
  return state.sessions.every((session) => {
    if (session === undefined || session.state === 'closed') return true;
    const active = state.executions.slots[session.active];
    return active?.state === 'gpu-wait' || active?.state === 'kernel-wait';
  });
}

/** What can be told before a run about load that the cluster cannot carry; one sentence each. */
export function overloadWarnings(
  trace: Trace,
  policy: Policy,
  config: Config,
  hostTypes: readonly HostType[],
): string[] {
  const warnings: string[] = [];
  const gpus = gpuCapacity(config, hostTypes);
  const unserved = sessionsWithoutHost(trace, hostTypes);
  if (unserved > 0) {
    warnings.push(
      `${unserved} sessions ask for GPUs of a type that no host large enough has: ` +
        'their cells will be rejected',
    );
  }
  const busyGpuMs = gpuTimeOf(trace).busyGpuMs;
  const offered = trace.endMs === 0 ? 0 : busyGpuMs / (gpus * trace.endMs);
  if (offered > 1) {
    warnings.push(
      `the cells need ${offered.toFixed(2)} times the GPU time that ${config.hosts} hosts ` +
        `(${gpus} GPUs) have until the trace ends: the queue cannot drain by then`,
    );
  }
  if (policy.container === 'session' && policy.commit === 'placement') {
    const peak = peakReservedGpus(trace);
    if (peak > gpus) {
      warnings.push(
        `${policy.name} must hold ${peak} GPUs at the trace's peak, ${gpus} can be had: ` +
          'sessions will wait for others to close',
      );
    }
  }
  return warnings;
}
