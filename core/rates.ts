import type { Execution } from './books/execution-book.ts';
import type { Host } from './books/host-book.ts';
import { NbosError } from './errors.ts';
import type { State } from './state.ts';

/** Work per wall time: the host type's speed times the policy's own rate. */
export function rateOf(state: State, execution: Execution, host: Host): number {
  const type = state.hostTypes[host.type]!;
  const { rate } = state.policy;
  if (rate === undefined) return type.speed;
  const own = rate(
    {
      session: execution.session,
      cell: execution.cell,
      gpuMillis: execution.need.gpuMillis,
      hostType: type.name,
      coRunners: host.running - 1,
    },
    state.policyState,
  );
  if (!(own > 0 && Number.isFinite(own))) {
    throw new NbosError(
      'policy-failed',
      `rate() of policy ${state.policy.name} returned ${own}`,
      'It must return a finite number above 0.',
    );
  }
  return type.speed * own;
}

/** Tells the driver of the new rates of what runs on a host, after `except` came or went. */
export function updateRates(state: State, host: Host, except: Execution): void {
  for (const id of host.containers) {
    const { session } = state.containers.get(id)!;
    const execution = state.executions.slots[state.sessions[session]!.active];
    if (execution === undefined || execution === except) continue;
    if (execution.state !== 'running' || execution.container !== id) continue;
    const rate = rateOf(state, execution, host);
    if (rate === execution.rate) continue;
    execution.rate = rate;
    state.effects.push({
      kind: 'set-rate',
      execution: execution.slot,
      ticket: execution.ticket,
      rate,
    });
  }
}
