import { type BarMeasure, barsFigure, type Figure } from './figures/index.ts';
import { BASELINE, HEADLINE, type Measure } from './headline.ts';
import { loadRun } from './run-data.ts';
import { runFigures } from './run-figures.ts';
import { bootstrapInterval, type Interval, tInterval } from './statistics.ts';
import type { Summary } from './store.ts';
import type { Findings, ResultRow, Table } from './study.ts';

/** The rows that differ in nothing but their seed. */
export interface Group {
  readonly trace: string;
  readonly policy: string;
  readonly cluster: string;
  readonly options: string;
  readonly part: string;
  readonly rows: readonly ResultRow[];
}

export function groupsOf(rows: readonly ResultRow[]): Group[] {
  const groups = new Map<string, ResultRow[]>();
  for (const row of rows) {
    const key = [
      row.matrix,
      row.trace.label,
      row.policy.label,
      row.cluster.label,
      row.options.label,
    ].join('\0');
    const group = groups.get(key);
    if (group) group.push(row);
    else groups.set(key, [row]);
  }
  return [...groups.values()].map((members) => {
    const { matrix, trace, policy, cluster, options } = members[0]!;
    return {
      part: matrix,
      trace: trace.label,
      policy: policy.label,
      cluster: cluster.label,
      options: options.label,
      rows: members,
    };
  });
}

/**
 * Finds the run of `policy` on the same trace, cluster and seed, with the same options unless
 * `sameOptions` is false.
 */
export function partnerFinder(rows: readonly ResultRow[], policy = BASELINE, sameOptions = true) {
  const key = (row: ResultRow) =>
    [
      row.matrix,
      row.trace.label,
      row.cluster.label,
      sameOptions ? row.options.label : '',
      row.seed,
    ].join('\0');
  const partners = new Map<string, Summary>();
  for (const row of rows) if (row.policy.label === policy) partners.set(key(row), row.summary);
  return (row: ResultRow): Summary | undefined => partners.get(key(row));
}

export interface Intervals {
  /** Student's t: for a reader who expects it */
  readonly t: Interval;
  readonly bootstrap: Interval;
  readonly min: number;
  readonly max: number;
}

/** A measure over the seeds of a group; runs in which it cannot be told are left out. */
export function measureGroup(
  group: Group,
  measure: Measure,
  partner: (row: ResultRow) => Summary | undefined,
): Intervals {
  const values = group.rows
    .map((row) => measure.of(row.summary, partner(row)))
    .filter((value) => Number.isFinite(value));
  const min = values.length > 0 ? Math.min(...values) : Number.NaN;
  const max = values.length > 0 ? Math.max(...values) : Number.NaN;
  return { t: tInterval(values), bootstrap: bootstrapInterval(values), min, max };
}

/** Mean and confidence interval of every headline measure of every group: intervals.csv. */
export function intervalTable(rows: readonly ResultRow[], measures = HEADLINE): Table {
  const partner = partnerFinder(rows);
  const lines: (string | number)[][] = [];
  for (const group of groupsOf(rows)) {
    for (const measure of measures) {
      const { t, bootstrap, min, max } = measureGroup(group, measure, partner);
      if (t.count === 0) continue;
      const { trace, policy, cluster, options } = group;
      const bounds = [bootstrap.low, bootstrap.high, t.low, t.high, min, max];
      const where = [trace, cluster, options, policy];
      lines.push([...where, measure.name, measure.unit, t.count, t.mean, ...bounds]);
    }
  }
  return {
    name: 'intervals',
    title: 'Means over seeds with 95 % confidence intervals',
    columns: [
      'trace',
      'cluster',
      'options',
      'policy',
      'measure',
      'unit',
      'seeds',
      'mean',
      'bootstrap_low',
      'bootstrap_high',
      't_low',
      't_high',
      'min',
      'max',
    ],
    rows: lines,
  };
}

const BARS = ['provisioned_gpu_hours', 'delay_p50_ms', 'delay_p99_ms', 'immediate_share'] as const;
const MOST_GROUPS_IN_BARS = 8;
const MOST_RUNS_IN_FIGURES = 8;

/** Findings of an experiment that brings none of its own. */
export async function concludeByGroups(rows: readonly ResultRow[]): Promise<Findings> {
  const groups = groupsOf(rows);
  const settings = new Set(groups.map(settingOf));
  const figures: Figure[] = [];
  if (settings.size > 1 && settings.size <= MOST_GROUPS_IN_BARS) {
    figures.push(settingBars(rows, groups));
  }
  figures.push(...(await firstSeedFigures(rows)));
  return { tables: [intervalTable(rows)], figures, remarks: [] };
}

function settingOf(group: Group): string {
  return [group.trace, group.cluster, group.options].filter(Boolean).join(' · ');
}

function settingBars(rows: readonly ResultRow[], groups: readonly Group[]): Figure {
  const partner = partnerFinder(rows);
  const measures = HEADLINE.filter(({ name }) => (BARS as readonly string[]).includes(name));
  return barsFigure(
    'settings',
    'Headline measures by setting',
    'Each group is one trace, cluster and set of options. Bars are means over seeds, lines their 95 % confidence intervals.',
    measures.map(
      (measure): BarMeasure => ({
        title: measure.label,
        unit: measure.unit,
        values: groups.map((group) => ({
          group: settingOf(group),
          policy: group.policy,
          value: measureGroup(group, measure, partner).bootstrap,
        })),
      }),
    ),
  );
}

/** Figures of single runs: the first trace, cluster, options and seed, one curve a policy. */
export async function firstSeedFigures(rows: readonly ResultRow[]): Promise<Figure[]> {
  const first = rows[0];
  if (!first) return [];
  const shown = rows.filter(
    (row) =>
      row.matrix === first.matrix &&
      row.trace.label === first.trace.label &&
      row.cluster.label === first.cluster.label &&
      row.options.label === first.options.label &&
      row.seed === first.seed,
  );
  const runs = [];
  for (const row of shown.slice(0, MOST_RUNS_IN_FIGURES)) {
    runs.push(await loadRun(row.folder, row.policy.label));
  }
  return runFigures(runs);
}
