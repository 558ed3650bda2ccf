import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { hostTypesOf } from '../core/config/config.ts';
import type { Config } from '../core/config/options.ts';
import { SUMMARY_COLUMNS, TIMELINE_COLUMNS } from '../core/record/columns.ts';
import { type RunRecord, readReport, readRun } from '../traces/run-folder.ts';
import type { RunColumns, TimelineColumns } from './figures/data.ts';

/** A run folder as the figures want it. */
export interface LoadedRun extends RunColumns {
  readonly record: RunRecord;
  readonly config: Config;
}

/**
 * Reads a finished run folder; reports that the run did not keep come back empty. `label` is for
 * legends, by default the policy. Throws what `readRun` and `readReport` throw.
 */
export async function loadRun(folder: string, label?: string): Promise<LoadedRun> {
  const record = readRun(folder);
  const config = record['config'] as Config;
  const policy = String(record['policy']);
  const has = (name: string) =>
    existsSync(join(folder, name)) || existsSync(join(folder, `${name}.gz`));
  const { delaysMs, tctsMs } = has('cells.csv')
    ? await readDelays(folder)
    : { delaysMs: new Float64Array(0), tctsMs: new Float64Array(0) };
  const type = hostTypesOf(config)[0]!;
  const summary = has('summary.csv') ? await readSummary(folder) : {};
  const horizonMs = summary['horizon_ms'];
  const untilMs = typeof horizonMs === 'number' ? horizonMs : Number.POSITIVE_INFINITY;
  return {
    label: label ?? policy,
    policy,
    replicas: config.replicas,
    record,
    config,
    delaysMs,
    tctsMs,
    timeline: has('timeline.csv') ? await readTimeline(folder, untilMs) : NO_TIMELINE,
    summary,
    money: {
      costPerGpuHour: type.gpus > 0 ? type.pricePerHour / type.gpus : 0,
      userPriceFactor: config.userPriceFactor,
      standbyRate: config.standbyRate,
    },
  };
}

async function readDelays(
  folder: string,
): Promise<{ delaysMs: Float64Array; tctsMs: Float64Array }> {
  const table = await readReport(folder, 'cells.csv', ['status', 'delay_ms', 'tct_ms']);
  const status = table.texts('status');
  const completed = (values: Float64Array) =>
    values.filter((value, row) => status[row] === 'completed' && !Number.isNaN(value)).sort();
  return {
    delaysMs: completed(table.numbers('delay_ms')),
    tctsMs: completed(table.numbers('tct_ms')),
  };
}

/** Up to the horizon: what drains after it is in no sum of GPU-hours or money. */
async function readTimeline(folder: string, untilMs: number): Promise<TimelineColumns> {
  const names = TIMELINE_COLUMNS.map((column) => column.name);
  const table = await readReport(folder, 'timeline.csv', names);
  const times = table.numbers('time_ms');
  const after = times.findIndex((time) => time > untilMs);
  const end = after < 0 ? times.length : after;
  return timelineOf((name) => table.numbers(name).subarray(0, end));
}

function timelineOf(column: (name: string) => Float64Array): TimelineColumns {
  return {
    timeMs: column('time_ms'),
    provisionedGpus: column('provisioned_gpus'),
    reservedGpus: column('reserved_gpus'),
    committedGpus: column('committed_gpus'),
    demandedGpus: column('demanded_gpus'),
    subscriptionRatio: column('subscription_ratio'),
    subscriptionLimit: column('subscription_limit'),
    sessionsOpen: column('sessions_open'),
    executionsRunning: column('executions_running'),
    oracleGpus: column('oracle_gpus'),
    hosts: column('hosts'),
  };
}

const NO_TIMELINE = timelineOf(() => new Float64Array(0));

async function readSummary(folder: string): Promise<Record<string, string | number>> {
  const table = await readReport(folder, 'summary.csv');
  const summary: Record<string, string | number> = {};
  for (const { name, kind } of SUMMARY_COLUMNS) {
    if (table.rows === 0) break;
    summary[name] = kind === 'text' ? table.texts(name)[0]! : table.numbers(name)[0]!;
  }
  return summary;
}
