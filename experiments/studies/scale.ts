import { groupsOf, intervalTable, measureGroup, partnerFinder } from '../conclude.ts';
import { curvesFigure } from '../figures/index.ts';
import { HEADLINE } from '../headline.ts';
import type { Matrix } from '../matrix.ts';
import type { Findings, ResultRow, Study } from '../study.ts';
import {
  commandOf,
  GPUS_PER_HOST,
  NO_OPTIONS,
  policies,
  type StudyOptions,
  seedsUpTo,
} from './workloads.ts';

const SIZES = [15, 30, 60, 120, 240, 480] as const;
const SEEDS = 3;

/** What a larger cluster gains at the same load per host. */
export function scaleStudy(options: StudyOptions = {}): Study {
  const matrices = SIZES.map(
    (hosts): Matrix => ({
      name: `hosts-${hosts}`,
      traces: [
        { label: `${hosts} hosts`, spec: { demo: { capacityGpus: hosts * GPUS_PER_HOST } } },
      ],
      policies: policies('reservation', 'batch-fcfs', 'notebookos', 'lcp'),
      clusters: [{ label: `${hosts}x${GPUS_PER_HOST}`, config: { hosts } }],
      options: NO_OPTIONS,
      seeds: seedsUpTo(options.seeds ?? SEEDS),
      resample: true,
      cells: 'none',
    }),
  );
  return {
    name: 'scale',
    title: 'Cluster size at constant load per host',
    matrices,
    command: commandOf('scale', options),
    conclude,
  };
}

const SHOWN = ['saved_pct', 'utilization', 'immediate_share', 'delay_p99_ms'];

async function conclude(rows: readonly ResultRow[]): Promise<Findings> {
  const partner = partnerFinder(rows);
  const groups = groupsOf(rows);
  const measures = HEADLINE.filter((measure) => SHOWN.includes(measure.name)).map((measure) => ({
    title: measure.label,
    unit: measure.unit,
    values: groups
      .filter((group) => measure.name !== 'saved_pct' || group.policy !== 'reservation')
      .map((group) => ({
        policy: group.policy,
        x: group.rows[0]!.cluster.config.hosts!,
        value: measureGroup(group, measure, partner).bootstrap,
      })),
  }));
  return {
    tables: [intervalTable(rows)],
    figures: [
      curvesFigure(
        'scale',
        'Cluster size at constant load per host',
        'Sessions grow with the number of hosts. Bands are 95 % confidence intervals over seeds.',
        { label: 'Most hosts of 8 GPUs (logarithmic)', log: true },
        measures,
      ),
    ],
    remarks: [],
  };
}
