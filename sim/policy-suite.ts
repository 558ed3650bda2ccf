import type { PartialConfig } from '../core/config/options.ts';
import { NbosError } from '../core/errors.ts';
import type { ExecutionView, Policy } from '../core/policies/policy.ts';
import { vector } from '../core/resources.ts';
import { TraceBuilder } from '../traces/build.ts';
import type { Trace } from '../traces/trace.ts';
import { configFor } from './policy-file.ts';
import { type RunResult, simulate } from './simulate.ts';

/** What a check found: '' when all is well. */
export interface SuiteOutcome {
  readonly check: string;
  readonly fault: string;
}

interface Check {
  readonly name: string;
  /** Returns '' or the fault. */
  readonly run: (policy: Policy, signal: AbortSignal | undefined) => Promise<string> | string;
}

/**
 * The suite that every policy passes, built in or a stranger's: small workloads drain, twice alike,
 * with the invariants of the books checked after every step, under contention and faults too.
 */
export async function runPolicySuite(
  policy: Policy,
  signal?: AbortSignal,
): Promise<SuiteOutcome[]> {
  const outcomes: SuiteOutcome[] = [];
  for (const { name, run } of CHECKS) {
    let fault: string;
    try {
      fault = await run(policy, signal);
    } catch (error) {
      if (signal?.aborted) throw error;
      fault = error instanceof NbosError ? `${error.code}: ${error.message}` : String(error);
    }
    outcomes.push({ check: name, fault });
  }
  return outcomes;
}

const MINUTE_MS = 60_000;
const GPU = vector(4_000, 16_000, 1_000, 16_000);

function gpus(count: number) {
  const { cpuMillis, memoryMb, gpuMillis, vramMb } = GPU;
  const share = Math.max(1, count);
  return vector(cpuMillis * share, memoryMb * share, gpuMillis * count, vramMb * count);
}

/** `sessions` notebooks of `cells` cells each; GPU counts go round through `sizes`. */
function workload(sessions: number, cells: number, sizes: readonly number[]): Trace {
  const builder = new TraceBuilder();
  for (let s = 0; s < sessions; s++) {
    const id = `s${s}`;
    const startMs = s * 20_000;
    const session = builder.addSession({ id, startMs, endMs: startMs + 90 * MINUTE_MS });
    for (let c = 0; c < cells; c++)
      builder.addCell({
        session,
        submitMs: startMs + 2 * MINUTE_MS + c * 5 * MINUTE_MS,
        durationMs: (1 + ((s + c) % 4)) * MINUTE_MS,
        shape: gpus(sizes[(s + c) % sizes.length]!),
      });
  }
  return builder.build({ name: 'suite', source: 'policy suite', licence: 'MIT' });
}

function play(
  policy: Policy,
  trace: Trace,
  signal: AbortSignal | undefined,
  layer: PartialConfig,
): Promise<RunResult> {
  const config = configFor(policy, { hosts: 6, minHosts: 1, bufferHosts: 1 }, layer);
  return simulate({ trace, policy, config, check: true, signal });
}

/** Every cell is answered, and each of those not completed for a reason that `may` allows. */
function allAnswered({ summary, warnings }: RunResult, may: readonly string[] = []): string {
  const stuck = warnings.find((warning) => warning.includes('cannot drain'));
  if (stuck !== undefined) return stuck;
  for (const state of ['aborted', 'rejected', 'unfinished'])
    if (Number(summary[state]) > 0 && !may.includes(state))
      return `${summary[state]} of ${summary['cells']} cells ended ${state}`;
  return '';
}

const CHECKS: readonly Check[] = [
  {
    name: 'its configuration is complete and legal',
    run: (policy) => {
      configFor(policy);
      return '';
    },
  },
  {
    name: 'a quiet workload is completed, cell by cell',
    run: async (policy, signal) => allAnswered(await play(policy, workload(3, 4, [1]), signal, {})),
  },
  {
    name: 'contention: more work than GPUs drains',
    run: async (policy, signal) => {
      const hosts = Math.max(3, policy.defaults.replicas ?? 1);
      return allAnswered(await play(policy, workload(30, 4, [8, 8, 4, 1]), signal, { hosts }));
    },
  },
  {
    name: 'cells at their trace times (open loop) drain',
    run: async (policy, signal) =>
      allAnswered(await play(policy, workload(8, 5, [4, 8]), signal, { loop: 'open' })),
  },
  {
    name: 'shares of a GPU, and cells without any',
    run: async (policy, signal) =>
      allAnswered(await play(policy, workload(6, 4, [0.25, 0, 0.5, 1]), signal, {})),
  },
  {
    name: 'a fixed cluster is enough',
    run: async (policy, signal) =>
      allAnswered(await play(policy, workload(6, 3, [2, 4]), signal, { fixed: true })),
  },
  {
    name: 'lost hosts and crashed containers leave no cell unanswered',
    run: async (policy, signal) => {
      const faults = { hostLossPerDay: 40, containerCrashPerDay: 40, slowStartShare: 0.2 };
      const result = await play(policy, workload(8, 4, [1, 4]), signal, faults);
      return allAnswered(result, ['aborted', 'rejected']);
    },
  },
  {
    name: 'twice the same run gives twice the same summary',
    run: async (policy, signal) => {
      const trace = workload(10, 4, [8, 4, 1]);
      const [one, two] = [
        await play(policy, trace, signal, {}),
        await play(policy, trace, signal, {}),
      ];
      const first = JSON.stringify(one.summary);
      return first === JSON.stringify(two.summary) ? '' : 'the two summaries differ';
    },
  },
  {
    name: 'a cut run counts every cell',
    run: async (policy, signal) => {
      const result = await play(policy, workload(8, 4, [8]), signal, { untilMs: 15 * MINUTE_MS });
      const { cells, completed, aborted, rejected, unfinished } = result.summary;
      const sum = Number(completed) + Number(aborted) + Number(rejected) + Number(unfinished);
      return sum === Number(cells) ? '' : `${sum} of ${cells} cells are accounted for`;
    },
  },
  { name: 'order compares consistently', run: consistentOrder },
  { name: 'rate is a positive number', run: positiveRate },
];

/**
 * `order` must be a number, 0 against itself and the opposite when swapped, or sorting is
 * undefined.
 */
function consistentOrder(policy: Policy): string {
  const { order } = policy;
  if (order === undefined) return '';
  const views = [0, 1, 2, 3, 4, 5].map(
    (id): ExecutionView => ({
      id,
      session: id % 3,
      cell: id,
      submittedAtMs: id * 1_000,
      expectedMs: id === 5 ? -1 : (id % 4) * MINUTE_MS,
      gpuMillis: 1_000 * (1 + (id % 3)),
      servedMs: (id % 2) * 30_000,
      host: -1,
    }),
  );
  const state = policy.state?.() ?? {};
  for (const a of views)
    for (const b of views) {
      const forth = order(a, b, state);
      const back = order(b, a, state);
      if (!Number.isFinite(forth)) return `order gave ${forth}`;
      if (Math.sign(forth) !== -Math.sign(back))
        return `order(a, b) is ${forth}, order(b, a) is ${back}`;
    }
  return '';
}

function positiveRate(policy: Policy): string {
  const { rate } = policy;
  if (rate === undefined) return '';
  const state = policy.state?.() ?? {};
  for (const coRunners of [0, 1, 7])
    for (const gpuMillis of [0, 500, 1_000, 8_000]) {
      const hostType = 'default';
      const value = rate({ session: 0, cell: 0, gpuMillis, hostType, coRunners }, state);
      if (!(Number.isFinite(value) && value > 0)) return `rate gave ${value}`;
    }
  return '';
}
