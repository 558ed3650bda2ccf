import { formatDuration } from '../traces/duration.ts';
import { shortNumber, textTable } from '../traces/text-table.ts';
import type { ComparedMeasure, Comparison } from './compare.ts';
import type { Interval } from './statistics.ts';

/** Measures that a comparison shows on a terminal, in this order; compare.csv has them all. */
const SHOWN = [
  'provisioned_gpu_hours',
  'committed_gpu_hours',
  'saved_gpu_hours',
  'saved_pct',
  'delay_p50_ms',
  'delay_p95_ms',
  'delay_p99_ms',
  'tct_p50_ms',
  'tct_p95_ms',
  'tct_p99_ms',
  'immediate_share',
  'reuse_share',
  'migrations',
  'cost',
  'revenue',
  'margin',
];

/**
 * Measures as rows, policies as columns, ending with a newline. Several seeds show means with 95 %
 * intervals, and a second table has the differences to the first policy, seed by seed.
 */
export function comparisonText({ policies }: Comparison): string {
  const [first] = policies;
  if (first === undefined) return '';
  const shown = first.measures.filter(({ measure }) => SHOWN.includes(measure.name));
  const names = policies.map(({ policy }) => policy);
  const right = policies.map((_, column) => column + 1);
  const rowsOf = (cell: (measured: ComparedMeasure) => string): string[][] =>
    shown.map(({ measure }) => [
      measure.name === 'saved_pct' ? `${measure.label}, %` : measure.label,
      ...policies.map(({ measures }) =>
        cell(measures.find((other) => other.measure.name === measure.name)!),
      ),
    ]);
  const isRepeated = shown.some(({ value }) => value.count > 1);
  const values = rowsOf(
    ({ measure, value, isMarked }) => shownInterval(value, measure.unit) + (isMarked ? ' *' : ''),
  );
  const tables = [textTable(['measure', ...names], values, { right })];
  if (isRepeated && policies.length > 1) {
    const differences = rowsOf(({ measure, difference }) =>
      shownInterval(difference, measure.unit === '%' ? 'points' : measure.unit),
    );
    const rows = differences.map((row) => [row[0]!, ...row.slice(2)]);
    tables.push(
      textTable([`difference to ${first.policy}`, ...names.slice(1)], rows, { right }),
      `means over ${shown[0]!.value.count} seeds with 95 % intervals\n`,
    );
  }
  if (policies.some(({ measures }) => measures.some(({ isMarked }) => isMarked)))
    tables.push(
      '* completed busy GPU-hours differ by more than 1 % from those of reservation: ' +
        'not savings on the same work\n',
    );
  return tables.join('\n');
}

function shownInterval({ mean, low, high }: Interval, unit: string): string {
  if (!Number.isFinite(mean)) return '-';
  const value = shownMeasure(mean, unit);
  if (!Number.isFinite(low) || !Number.isFinite(high)) return value;
  return `${value} [${shownMeasure(low, unit)}, ${shownMeasure(high, unit)}]`;
}

function shownMeasure(value: number, unit: string): string {
  const sign = value < 0 ? '-' : '';
  if (unit === '%') return `${value.toFixed(1)} %`;
  if (unit === 'points') return `${value.toFixed(1)} points`;
  if (unit === '$') return `${sign}$${shortNumber(Math.abs(Math.round(value)))}`;
  if (unit === 's') return `${sign}${formatDuration(Math.abs(value) * 1_000)}`;
  return shortNumber(unit === 'GPU-hours' ? Math.round(value * 10) / 10 : value);
}
