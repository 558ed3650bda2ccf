import type { PartialConfig } from '../core/config/options.ts';
import type { Policy } from '../core/policies/policy.ts';
import { configFor, resolvePolicy } from '../sim/policy-file.ts';
import { type RunResult, type SimulateOptions, simulate as simulateRun } from '../sim/simulate.ts';

export interface SimulateRequest extends Omit<SimulateOptions, 'policy' | 'config'> {
  /** name of a built-in policy, path of a policy file, or a policy */
  readonly policy: string | Policy;
  /** options over the policy's defaults */
  readonly config?: PartialConfig | undefined;
}

/**
 * Replays a trace under a policy in this process. Throws what the simulator throws, and
 * `policy-unknown`, `policy-invalid`, `config-bad-value`.
 */
export async function simulate(request: SimulateRequest): Promise<RunResult> {
  const { policy: given, config, ...rest } = request;
  const policy = typeof given === 'string' ? (await resolvePolicy(given)).policy : given;
  return simulateRun({ ...rest, policy, config: configFor(policy, config ?? {}) });
}
