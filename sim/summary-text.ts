import { formatDuration } from '../traces/duration.ts';
import { shortNumber, textTable } from '../traces/text-table.ts';

export type Summary = Readonly<Record<string, string | number>>;

/** What people look at first: label, column of summary.csv, how to write it. */
export const HEADLINES = [
  ['GPU-hours provisioned', 'provisioned_gpu_hours', 'number'],
  ['GPU-hours committed', 'committed_gpu_hours', 'number'],
  ['GPU-hours busy', 'busy_gpu_hours', 'number'],
  ['utilization', 'utilization', 'share'],
  ['interactivity delay p50', 'delay_p50_ms', 'time'],
  ['interactivity delay p95', 'delay_p95_ms', 'time'],
  ['interactivity delay p99', 'delay_p99_ms', 'time'],
  ['TCT p50', 'tct_p50_ms', 'time'],
  ['TCT p95', 'tct_p95_ms', 'time'],
  ['TCT p99', 'tct_p99_ms', 'time'],
  ['immediate', 'immediate_share', 'share'],
  ['executor reused', 'reuse_share', 'share'],
  ['migrations', 'migrations', 'number'],
  ['cost', 'cost', 'money'],
  ['revenue', 'revenue', 'money'],
  ['margin', 'margin', 'share'],
] as const;
export type Form = 'number' | 'share' | 'time' | 'money' | 'text';

/** A value of summary.csv for people; '' columns (no cells, no revenue) are a dash. */
export function shownValue(value: string | number | undefined, form: Form): string {
  if (value === undefined || value === '') return '-';
  if (typeof value === 'string' || form === 'text') return String(value);
  if (!Number.isFinite(value)) return '-';
  if (form === 'share') return `${fixed(100 * value)} %`;
  if (form === 'time') return formatDuration(value);
  if (form === 'money') {
    const dollars = Math.round(value);
    return `${dollars < 0 ? '-' : ''}$${shortNumber(Math.abs(dollars))}`;
  }
  return shortNumber(value);
}

function fixed(percent: number): string {
  return percent.toLocaleString('en-US', { minimumFractionDigits: 1, maximumFractionDigits: 1 });
}

const COUNTS = ['sessions', 'cells', 'completed', 'aborted', 'rejected', 'unfinished'] as const;

/** One run as a table of two columns. */
export function summaryText(summary: Summary): string {
  const counts = COUNTS.filter((name) => name === 'cells' || summary[name] !== 0);
  const rows = [
    ['trace', String(summary['trace'])],
    ['policy', String(summary['policy'])],
    ...counts.map((name) => [name, shownValue(summary[name], 'number')]),
    ...HEADLINES.map(([label, column, form]) => [label, shownValue(summary[column], form)]),
  ];
  return textTable(['measure', 'value'], rows, { right: [1] });
}
