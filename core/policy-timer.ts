import { NbosError } from './errors.ts';
import { type State, viewOf } from './state.ts';
import { serveWaiting } from './waiting.ts';

/** The policy's own timer: fires on multiples of its period while work runs or waits. */

/** Sets the timer when there is work and none is set; called after every step. */
export function armPolicyTimer(state: State): void {
  const { everyMs, onTimer } = state.policy;
  if (everyMs === undefined || onTimer === undefined || state.policyTimerArmed) return;
  if (state.totals.running === 0 && state.queue.size === 0) return;
  state.policyTimerArmed = true;
  const at = (Math.floor(state.now / everyMs) + 1) * everyMs;
  state.effects.push({ kind: 'set-timer', timer: 'policy', key: 0, at });
}

/** Asks the policy what to do and does it. */
export function runPolicyTimer(state: State): void {
  const { policy, now } = state;
  state.policyTimerArmed = false;
  if (policy.onTimer === undefined) return;
  const running = state.executions.slots
    .filter((execution) => execution.state === 'running')
    .sort((a, b) => a.id - b.id)
    .map((execution) => viewOf(execution, now));
  let gpuMillis = 0;
  let idleGpuMillis = 0;
  for (const id of state.up) {
    gpuMillis += state.hosts[id]!.spec.gpuMillis;
    idleGpuMillis += state.hosts[id]!.idle.gpuMillis;
  }
  const waiting = state.queue.inOrder().map((execution) => viewOf(execution));
  const actions = policy.onTimer(
    { nowMs: now, running, waiting, gpuMillis, idleGpuMillis },
    state.policyState,
  );
  for (const action of actions) suspend(state, action.execution);
  // The policy may have changed what its order depends on.
  state.queue.sortAgain();
  serveWaiting(state, null);
}

function suspend(state: State, id: number): void {
  const { policy } = state;
  if (policy.suspends !== true) {
    throw new NbosError(
      'policy-failed',
      `onTimer() of policy ${policy.name} suspends execution ${id}, but the policy does not say so`,
      'Set `suspends: true`.',
    );
  }
  const execution = state.executions.slots.find((candidate) => candidate.id === id);
  if (execution === undefined || execution.state !== 'running') {
    throw new NbosError(
      'policy-failed',
      `onTimer() of policy ${policy.name} suspends execution ${id}, which does not run`,
      'Suspend only executions in `view.running`.',
    );
  }
  execution.state = 'suspending';
  state.effects.push({ kind: 'suspend', execution: execution.slot, ticket: execution.ticket });
}
