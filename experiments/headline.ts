import type { Summary } from './store.ts';

/** A measure of a run, alone or against the run of the baseline on the same trace and draws. */
export interface Measure {
  /** column of the tables of an experiment */
  readonly name: string;
  readonly label: string;
  readonly unit: string;
  /** NaN where it cannot be told */
  readonly of: (run: Summary, baseline: Summary | undefined) => number;
}

/** The policy that savings are measured against, wherever it takes part. */
export const BASELINE = 'reservation';

export function summaryValue(summary: Summary | undefined, column: string): number {
  const value = summary?.[column];
  return typeof value === 'number' ? value : Number.NaN;
}

function plain(name: string, label: string, unit: string, factor = 1): Measure {
  return { name, label, unit, of: (run) => factor * summaryValue(run, name) };
}

function percentage(name: string, label: string): Measure {
  return { name, label, unit: '%', of: (run) => 100 * summaryValue(run, name) };
}

/** (baseline - run) / baseline, %. */
function lower(column: string, name: string, label: string): Measure {
  return {
    name,
    label,
    unit: '%',
    of: (run, baseline) => {
      const base = summaryValue(baseline, column);
      return base > 0 ? (100 * (base - summaryValue(run, column))) / base : Number.NaN;
    },
  };
}

export const SAVED: Measure = {
  name: 'saved_gpu_hours',
  label: 'GPU-hours saved against reservation',
  unit: 'GPU-hours',
  of: (run, baseline) =>
    summaryValue(baseline, 'provisioned_gpu_hours') - summaryValue(run, 'provisioned_gpu_hours'),
};

export const SAVED_SHARE = lower(
  'provisioned_gpu_hours',
  'saved_pct',
  'GPU-hours saved against reservation',
);

export const COST_LOWER = lower('cost', 'cost_lower_pct', "provider's cost below reservation's");

/** What tables and reports show first, in this order. */
export const HEADLINE: readonly Measure[] = [
  plain('provisioned_gpu_hours', 'GPU-hours provisioned', 'GPU-hours'),
  plain('committed_gpu_hours', 'GPU-hours committed', 'GPU-hours'),
  SAVED,
  SAVED_SHARE,
  plain('delay_p50_ms', 'interactivity delay, median', 's', 1e-3),
  plain('delay_p95_ms', 'interactivity delay, p95', 's', 1e-3),
  plain('delay_p99_ms', 'interactivity delay, p99', 's', 1e-3),
  plain('tct_p50_ms', 'task completion time, median', 's', 1e-3),
  plain('tct_p95_ms', 'task completion time, p95', 's', 1e-3),
  plain('tct_p99_ms', 'task completion time, p99', 's', 1e-3),
  percentage('immediate_share', 'cells that got GPUs immediately'),
  percentage('reuse_share', 'cells that reused the executor'),
  plain('migrations', 'migrations', ''),
  plain('cold_starts', 'cold starts', ''),
  percentage('utilization', 'committed / provisioned GPU-hours'),
  plain('subscription_ratio_max', 'largest subscription ratio', ''),
  plain('cost', "provider's cost", '$'),
  plain('revenue', 'revenue', '$'),
  percentage('margin', 'margin'),
  COST_LOWER,
];

/** More than this share of difference in completed work makes savings incomparable. */
export const BUSY_TOLERANCE = 0.01;

/** Whether two runs completed different amounts of work, so that what one saved is not comparable. */
export function isBusyDifferent(run: Summary, baseline: Summary | undefined): boolean {
  const base = summaryValue(baseline, 'busy_gpu_hours_drained');
  return Math.abs(summaryValue(run, 'busy_gpu_hours_drained') - base) > BUSY_TOLERANCE * base;
}
