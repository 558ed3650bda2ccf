import { resolvePolicy } from '../sim/policy-file.ts';
import { simulate } from '../sim/simulate.ts';
import { buildTrace } from './trace-source.ts';
import type { RunOne } from './worker-loop.ts';

/** Performs a planned run with the simulator. */
export const runOne: RunOne = async (run, folder, onProgress) => {
  const trace = await buildTrace(run.trace, run.seed, run.resample);
  const { policy } = await resolvePolicy(run.policy);
  const { summary, timings } = await simulate({
    trace,
    policy,
    config: run.config,
    out: folder,
    reports: run.reports,
    onProgress,
  });
  return { summary, timings };
};
