import type { Config } from '../core/config/options.ts';
import type { Policy } from '../core/policies/policy.ts';
import { SUMMARY_COLUMNS } from '../core/record/columns.ts';
import { advanceTotals, type Totals } from '../core/record/totals.ts';
import type { State } from '../core/state.ts';
import type { Oracle } from '../traces/oracle.ts';
import { oracleGpuMs, oracleHostGpuMs } from '../traces/oracle.ts';
import type { Trace } from '../traces/trace.ts';
import type { Recorder } from './recorder.ts';

/** The row of summary.csv by column name; '' where there is nothing to measure. */
export type Summary = Record<string, string | number>;

const MS_PER_HOUR = 3_600_000;
const GPU_MS_PER_HOUR = 1000 * MS_PER_HOUR;
const DEFAULT_HOST_GPUS = 8;

export interface SummaryInput {
  readonly trace: Trace;
  readonly policy: Policy;
  readonly config: Config;
  readonly oracle: Oracle;
  readonly recorder: Recorder;
  readonly state: State;
  readonly horizonMs: number;
  /** when the run ended or was cut */
  readonly endMs: number;
  readonly submitted: number;
}

/** Computes every measure of DESIGN's headline list from what the recorder kept. */
export function summarize(input: SummaryInput): Summary {
  const { trace, policy, config, recorder, state, horizonMs, endMs } = input;
  const totals = { ...state.totals };
  advanceTotals(totals, endMs, config.replicas);
  const horizon = recorder.atHorizon ?? totals;
  const provisioned = horizon.provisionedGpuMs / GPU_MS_PER_HOUR;
  const committed = horizon.committedGpuMs / GPU_MS_PER_HOUR;
  const gpusPerHost = Math.max(1, state.hostTypes[0]!.gpus);
  const measures: Record<string, string | number | null> = {
    trace: trace.name,
    policy: policy.name,
    seed: config.seed,
    replicas: config.replicas,
    hosts_max: config.hosts,
    horizon_ms: horizonMs,
    drained_ms: endMs,
    sessions: openedSessions(state),
    cells: input.submitted,
    completed: recorder.statistics.completed,
    aborted: recorder.aborted,
    rejected: recorder.rejected,
    unfinished: recorder.unfinished,
    provisioned_gpu_hours: provisioned,
    reserved_gpu_hours: horizon.reservedGpuMs / GPU_MS_PER_HOUR,
    committed_gpu_hours: committed,
    busy_gpu_hours: recorder.busyGpuMsInHorizon / GPU_MS_PER_HOUR,
    busy_gpu_hours_drained: recorder.busyGpuMs / GPU_MS_PER_HOUR,
    demanded_gpu_hours: horizon.demandedGpuMs / GPU_MS_PER_HOUR,
    oracle_gpu_hours: oracleGpuMs(input.oracle, horizonMs) / MS_PER_HOUR,
    oracle_host_gpu_hours: oracleHostGpuMs(input.oracle, horizonMs, gpusPerHost) / MS_PER_HOUR,
    provisioned_gpu_hours_drained: totals.provisionedGpuMs / GPU_MS_PER_HOUR,
    committed_gpu_hours_drained: totals.committedGpuMs / GPU_MS_PER_HOUR,
    utilization: provisioned === 0 ? null : committed / provisioned,
    migrations: totals.migrations,
    drain_migrations: totals.drainMigrations,
    failed_migrations: totals.failedMigrations,
    cold_starts: totals.coldStarts,
    warm_starts: totals.warmStarts,
    scale_outs: totals.scaleOuts,
    scale_ins: totals.scaleIns,
    hosts_lost: totals.hostsLost,
    hosts_peak: totals.hostsPeak,
    subscription_ratio_mean: horizonMs === 0 ? null : horizon.ratioMs / horizonMs,
    subscription_ratio_max: totals.ratioMax,
    lost_gpu_hours: totals.lostGpuMs / GPU_MS_PER_HOUR,
    host_hours: horizon.hostMs / MS_PER_HOUR,
    ...recorder.statistics.measures(),
    ...money(policy, config, horizon),
  };
  const summary: Summary = {};
  for (const { name } of SUMMARY_COLUMNS) summary[name] = measures[name] ?? '';
  return summary;
}

/** Sessions that were opened before the run ended or was cut; all of them, when it was not. */
function openedSessions({ sessions }: State): number {
  return sessions.reduce((opened, session) => opened + (session === undefined ? 0 : 1), 0);
}

/** Cost, revenue and margin up to the horizon, in dollars. */
function money(policy: Policy, config: Config, horizon: Totals): Record<string, number | null> {
  const gpuHourCost = config.hostPricePerHour / DEFAULT_HOST_GPUS;
  const userPrice = config.userPriceFactor * gpuHourCost;
  const cost = horizon.priceMs / MS_PER_HOUR;
  const reserved = policy.billing === 'reserved';
  const billed = reserved ? horizon.reservedGpuMs : horizon.committedGpuMs;
  const standby = reserved ? 0 : horizon.standbyMs / MS_PER_HOUR;
  const revenue =
    (billed / GPU_MS_PER_HOUR) * userPrice + standby * config.standbyRate * gpuHourCost;
  return { cost, revenue, margin: revenue === 0 ? null : (revenue - cost) / revenue };
}
