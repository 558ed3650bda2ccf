import type { Config, HostType } from '../core/config/options.ts';
import type { Policy } from '../core/policies/policy.ts';
import { gpuTimeOf } from '../traces/measures.ts';
import { peakReservedGpus } from '../traces/sample.ts';
import type { Trace } from '../traces/trace.ts';

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

/** What can be told before a run about load that the cluster cannot carry; one sentence each. */
export function overloadWarnings(
  trace: Trace,
  policy: Policy,
  config: Config,
  hostTypes: readonly HostType[],
): string[] {
  const warnings: string[] = [];
  const gpus = gpuCapacity(config, hostTypes);
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
