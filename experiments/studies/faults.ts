import { groupsOf, intervalTable, measureGroup, partnerFinder } from '../conclude.ts';
import { barsFigure } from '../figures/index.ts';
import { HEADLINE, type Measure, summaryValue } from '../headline.ts';
import type { Matrix, OptionSet } from '../matrix.ts';
import type { Findings, ResultRow, Study } from '../study.ts';
import {
  CLUSTER,
  commandOf,
  excerpt,
  policies,
  type StudyOptions,
  seedsUpTo,
} from './workloads.ts';

const SEEDS = 5;

/** Rates far above those of a healthy cluster, so that 17.5 hours show their effect. */
const KINDS: readonly OptionSet[] = [
  { label: 'none', config: {} },
  { label: 'host loss', config: { hostLossPerDay: 0.5 } },
  { label: 'device excluded', config: { deviceExcludedPerDay: 1 } },
  { label: 'container crash', config: { containerCrashPerDay: 2 } },
  { label: 'slow start', config: { slowStartShare: 0.2 } },
  { label: 'store failure', config: { storeFailureShare: 0.2 } },
  { label: 'no host comes up', config: { scaleOutFailureShare: 0.3 } },
  { label: 'start fails', config: { containerFailureShare: 0.1 } },
  { label: 'replica yields', config: { yieldShare: 0.2 } },
];

/** Every kind of fault under every policy. */
export function faultStudy(options: StudyOptions = {}): Study {
  const matrix: Matrix = {
    name: 'faults',
    traces: [excerpt(options)],
    policies: policies('reservation', 'batch-fcfs', 'notebookos', 'lcp'),
    clusters: [CLUSTER],
    options: KINDS,
    seeds: seedsUpTo(options.seeds ?? SEEDS),
    resample: true,
    cells: 'none',
  };
  return {
    name: 'faults',
    title: 'Faults',
    matrices: [matrix],
    command: commandOf('faults', options),
    conclude,
  };
}

const NOT_COMPLETED: Measure = {
  name: 'not_completed_pct',
  label: 'cells aborted, rejected or unfinished',
  unit: '%',
  of: (run) => 100 * (1 - summaryValue(run, 'completed') / summaryValue(run, 'cells')),
};

const LOST: Measure = {
  name: 'lost_gpu_hours',
  label: 'run time lost to faults',
  unit: 'GPU-hours',
  of: (run) => summaryValue(run, 'lost_gpu_hours'),
};

const SHOWN = ['delay_p95_ms', 'provisioned_gpu_hours'];

async function conclude(rows: readonly ResultRow[]): Promise<Findings> {
  const partner = partnerFinder(rows);
  const groups = groupsOf(rows);
  const measures = [NOT_COMPLETED, LOST, ...HEADLINE.filter(({ name }) => SHOWN.includes(name))];
  const settings = KINDS.slice(1).map(({ label, config }) => `${label}: ${words(config)}`);
  return {
    tables: [intervalTable(rows, [NOT_COMPLETED, LOST, ...HEADLINE])],
    figures: [
      barsFigure(
        'faults',
        'What each kind of fault costs',
        'Each group is one kind of fault at a rate far above that of a healthy cluster. Bars are means over seeds, lines their 95 % confidence intervals.',
        measures.map((measure) => ({
          title: measure.label,
          unit: measure.unit,
          values: groups.map((group) => ({
            group: group.options,
            policy: group.policy,
            value: measureGroup(group, measure, partner).bootstrap,
          })),
        })),
      ),
    ],
    remarks: [`Rates: ${settings.join('; ')}.`],
  };
}

function words(config: object): string {
  return Object.entries(config)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}
