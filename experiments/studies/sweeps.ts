import type { PartialConfig } from '../../core/config/options.ts';
import { type Group, groupsOf, measureGroup, partnerFinder } from '../conclude.ts';
import { curvesFigure, type Figure } from '../figures/index.ts';
import { HEADLINE } from '../headline.ts';
import type { Matrix } from '../matrix.ts';
import type { ResultRow, Table } from '../study.ts';
import {
  CLUSTER,
  excerpt,
  excerptOfMonth,
  NO_OPTIONS,
  policies,
  type StudyOptions,
  seedsUpTo,
} from './workloads.ts';

/** A parameter varied over a range, and the policies that it matters to. */
export interface Sweep {
  readonly name: string;
  readonly title: string;
  readonly axis: string;
  readonly values: readonly number[];
  readonly policies: readonly string[];
  /** the option that takes the values; none for what varies the workload */
  readonly config?: (value: number) => PartialConfig;
}

export const SWEEPS: readonly Sweep[] = [
  {
    name: 'scale-out-factor',
    title: 'Scale-out factor f',
    axis: 'f: hosts wanted = ceil(f x load / GPUs of a host) + buffer',
    values: [1, 1.05, 1.1, 1.25, 1.5, 2],
    policies: ['notebookos', 'lcp'],
    // l stays above f, as by default: below it a host would be released as soon as it is added.
    config: (f) => ({ scaleOutFactor: f, scaleInFactor: f + 0.05 }),
  },
  {
    name: 'subscription-cap',
    title: 'Cap of the subscription limit',
    axis: 'maxSubscriptionRatio',
    values: [1, 2, 3, 5, 7],
    policies: ['notebookos'],
    config: (maxSubscriptionRatio) => ({ maxSubscriptionRatio }),
  },
  {
    name: 'replicas',
    title: 'Replicas of a kernel',
    axis: 'replicas',
    values: [1, 3, 5],
    policies: ['notebookos'],
    config: (replicas) => ({ replicas }),
  },
  {
    name: 'prewarm',
    title: 'Prewarmed containers a host',
    axis: 'prewarmPerHost (pool: minimum a host)',
    values: [0, 1, 2, 4, 8],
    policies: ['notebookos', 'lcp'],
    config: (prewarmPerHost) => ({ prewarmPerHost }),
  },
  {
    name: 'gap-scale',
    title: 'Think time',
    axis: 'think times of the trace, multiplied by',
    values: [0.5, 0.75, 1, 1.5, 2],
    policies: ['notebookos', 'lcp'],
  },
];

/** Each sweep is two products: reservation needs no value of most options, and refuses some. */
export function sweepMatrices(options: StudyOptions, seeds: number): Matrix[] {
  const shared = { clusters: [CLUSTER], seeds: seedsUpTo(seeds), resample: true } as const;
  return SWEEPS.flatMap((sweep): Matrix[] => {
    const { name, values, config } = sweep;
    if (config === undefined) {
      const traces = values.map((value) => ({
        label: String(value),
        spec: excerptOfMonth(options, { gapScale: value }),
      }));
      const names = policies('reservation', ...sweep.policies);
      return [{ ...shared, name, traces, policies: names, options: NO_OPTIONS, cells: 'none' }];
    }
    const traces = [excerpt(options)];
    const settings = values.map((value) => ({ label: String(value), config: config(value) }));
    const base = policies('reservation');
    return [
      { ...shared, name, traces, policies: base, options: NO_OPTIONS, cells: 'none' },
      {
        ...shared,
        name,
        traces,
        policies: policies(...sweep.policies),
        options: settings,
        cells: 'none',
      },
    ];
  });
}

const SHOWN = ['saved_pct', 'immediate_share', 'delay_p50_ms', 'delay_p95_ms'];
const MEASURES = HEADLINE.filter(({ name }) => SHOWN.includes(name));

interface Measured {
  readonly sweep: Sweep;
  readonly groups: readonly Group[];
  readonly partner: ReturnType<typeof partnerFinder>;
}

function measured(rows: readonly ResultRow[]): Measured[] {
  return SWEEPS.map((sweep) => {
    const mine = rows.filter((row) => row.matrix === sweep.name);
    return {
      sweep,
      groups: groupsOf(mine).filter((group) => group.policy !== 'reservation'),
      partner: partnerFinder(mine, 'reservation', sweep.config === undefined),
    };
  });
}

function settingOf({ sweep }: Measured, group: Group): number {
  return Number(sweep.config === undefined ? group.trace : group.options);
}

/** sweeps.csv: one row a parameter, value, policy and measure. */
export function sweepTable(rows: readonly ResultRow[]): Table {
  const lines = measured(rows).flatMap((part) =>
    part.groups.flatMap((group) =>
      MEASURES.map((measure) => {
        const { mean, low, high, count } = measureGroup(group, measure, part.partner).bootstrap;
        const what = [part.sweep.name, settingOf(part, group), group.policy];
        return [...what, measure.name, measure.unit, count, mean, low, high];
      }),
    ),
  );
  return {
    name: 'sweeps',
    title: 'Main parameters (means over seeds, 95 % confidence intervals)',
    columns: ['parameter', 'value', 'policy', 'measure', 'unit', 'seeds', 'mean', 'low', 'high'],
    rows: lines,
  };
}

export function sweepFigures(rows: readonly ResultRow[]): Figure[] {
  return measured(rows)
    .filter(({ groups }) => groups.length > 0)
    .map((part) =>
      curvesFigure(
        `sweep-${part.sweep.name}`,
        part.sweep.title,
        'All other options at their defaults. Bands are 95 % confidence intervals over seeds.',
        { label: part.sweep.axis },
        MEASURES.map((measure) => ({
          title: measure.label,
          unit: measure.unit,
          values: part.groups.map((group) => ({
            policy: group.policy,
            x: settingOf(part, group),
            value: measureGroup(group, measure, part.partner).bootstrap,
          })),
        })),
      ),
    );
}
