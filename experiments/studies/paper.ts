import {
  firstSeedFigures,
  groupsOf,
  type Intervals,
  intervalTable,
  measureGroup,
  partnerFinder,
} from '../conclude.ts';
import { type Figure, gpuHoursFigure, moneyFigure, shortNumber } from '../figures/index.ts';
import {
  COST_LOWER,
  HEADLINE,
  type Measure,
  SAVED,
  SAVED_SHARE,
  summaryValue,
} from '../headline.ts';
import type { Matrix } from '../matrix.ts';
import { loadRun } from '../run-data.ts';
import type { Findings, ResultRow, Study, Table } from '../study.ts';
import { cutMatrix, savingsFigure, savingsRange, savingsTable } from './savings.ts';
import {
  CLUSTER,
  commandOf,
  excerpt,
  NO_OPTIONS,
  policies,
  type StudyOptions,
  season,
  seedsUpTo,
} from './workloads.ts';

const EXCERPT = 'excerpt';
const SEASON = 'season';
/** Enough for reservation at its peak: with fewer it would queue, and cost less. */
const SEASON_HOSTS = 240;
const SEEDS = 20;
const CUT_SEEDS = 3;

/**
 * The figures of the paper (Carver et al., ASPLOS 2026) beside ours: 17.5 hours on 30 hosts of 8
 * GPUs over resampled seeds, a season for cost and margin, and savings for every way to cut
 * sessions.
 */
export function paperStudy(options: StudyOptions = {}): Study {
  const seeds = options.seeds ?? SEEDS;
  const variants = [1, 5].map((replicas) => ({
    label: `notebookos R=${replicas}`,
    policy: 'notebookos',
    config: { replicas },
  }));
  const shared = { options: NO_OPTIONS };
  const matrices: Matrix[] = [
    {
      ...shared,
      name: EXCERPT,
      traces: [excerpt(options)],
      policies: [
        ...policies('reservation', 'batch-fcfs', 'notebookos', 'lcp', 'gandiva'),
        ...variants,
      ],
      clusters: [CLUSTER],
      seeds: seedsUpTo(seeds),
      resample: true,
      cells: 'first-seed',
    },
    {
      ...shared,
      name: SEASON,
      traces: [season(options)],
      policies: policies('reservation', 'batch-fcfs', 'notebookos', 'lcp'),
      clusters: [{ label: `${SEASON_HOSTS}x8`, config: { hosts: SEASON_HOSTS } }],
      seeds: [1],
      resample: false,
      cells: 'none',
    },
    cutMatrix(options, Math.min(CUT_SEEDS, seeds)),
  ];
  return {
    name: 'paper',
    title: 'The figures of the paper beside ours',
    matrices,
    command: commandOf('paper', options),
    conclude,
  };
}

async function conclude(rows: readonly ResultRow[]): Promise<Findings> {
  const main = rows.filter((row) => row.matrix === EXCERPT);
  const table = comparisonTable(rows);
  const ranges = ['notebookos', 'lcp'].map((policy) => {
    const hours = savingsRange(rows, policy);
    const share = savingsRange(rows, policy, SAVED_SHARE);
    return `${policy} saves ${shortNumber(hours.low)} to ${shortNumber(hours.high)} GPU-hours (${shortNumber(share.low)} to ${shortNumber(share.high)} %) against reservation in 17.5 h, depending on where sessions are cut.`;
  });
  const lines = table.rows.map(
    ([figure, , unit, paper, , mean, low, high]) =>
      `${figure}: paper ${shown(paper)}, ours ${shown(mean)} [${shown(low)}, ${shown(high)}] ${unit}`,
  );
  return {
    tables: [table, savingsTable(rows), intervalTable(main)],
    figures: [
      ...(await firstSeedFigures(main.filter((row) => !row.policy.label.includes('=')))),
      ...(await seasonFigures(rows.filter((row) => row.matrix === SEASON))),
      savingsFigure(rows),
    ],
    remarks: ranges,
    lines,
  };
}

function shown(value: string | number | undefined): string {
  return typeof value === 'number' ? shortNumber(value) : String(value ?? '–');
}

interface Claim {
  readonly figure: string;
  readonly part: string;
  readonly policy: string;
  readonly measure: Measure;
  readonly paper: number | string;
}

const IDLE: Measure = {
  name: 'idle_reserved_pct',
  label: 'reserved GPU time without a cell',
  unit: '%',
  of: (run) =>
    100 * (1 - summaryValue(run, 'oracle_gpu_hours') / summaryValue(run, 'demanded_gpu_hours')),
};

const SLOWER: Measure = {
  name: 'median_delay_above_reservation',
  label: 'median delay above that of reservation',
  unit: 's',
  of: (run, baseline) =>
    (summaryValue(run, 'delay_p50_ms') - summaryValue(baseline, 'delay_p50_ms')) / 1000,
};

function headline(name: string): Measure {
  return HEADLINE.find((measure) => measure.name === name)!;
}

const CLAIMS: readonly Claim[] = [
  claim('Executions that got GPUs immediately', 'notebookos', headline('immediate_share'), 89.6),
  claim('Executions that reused the executor', 'notebookos', headline('reuse_share'), 89.45),
  claim('GPU-hours saved in 17.5 h, notebookos', 'notebookos', SAVED, 1187.66),
  claim('GPU-hours saved in 17.5 h, lcp', 'lcp', SAVED, 1662.53),
  claim("Provider's cost below reservation's, 17.5 h", 'notebookos', COST_LOWER, 'up to 69.87'),
  {
    ...claim(
      "Provider's cost below reservation's, season",
      'notebookos',
      COST_LOWER,
      'up to 69.87',
    ),
    part: SEASON,
  },
  claim('Median delay above that of reservation', 'notebookos', SLOWER, 'close to 0'),
  claim('Reserved GPU time without a cell', 'reservation', IDLE, 'more than 81'),
  claim('Immediately, 1 replica', 'notebookos R=1', headline('immediate_share'), '–'),
  claim('Immediately, 5 replicas', 'notebookos R=5', headline('immediate_share'), '–'),
];

function claim(figure: string, policy: string, measure: Measure, paper: number | string): Claim {
  return { figure, part: EXCERPT, policy, measure, paper };
}

/** paper.csv: one row a figure of the paper. */
function comparisonTable(rows: readonly ResultRow[]): Table {
  const partner = partnerFinder(rows);
  const groups = groupsOf(rows);
  const lines: (string | number)[][] = [];
  for (const { figure, part, policy, measure, paper } of CLAIMS) {
    const group = groups.find((each) => each.part === part && each.policy === policy);
    if (!group) continue;
    const { bootstrap, min, max }: Intervals = measureGroup(group, measure, partner);
    const { mean, low, high, count } = bootstrap;
    lines.push([figure, policy, measure.unit, String(paper), count, mean, low, high, min, max]);
  }
  return {
    name: 'paper',
    title: 'The figures of the paper beside ours (means over seeds, 95 % confidence intervals)',
    columns: ['figure', 'policy', 'unit', 'paper', 'seeds', 'ours', 'low', 'high', 'min', 'max'],
    rows: lines,
  };
}

async function seasonFigures(rows: readonly ResultRow[]): Promise<Figure[]> {
  const runs = [];
  for (const row of rows) runs.push(await loadRun(row.folder, row.policy.label));
  if (runs.length === 0) return [];
  return [gpuHoursFigure(runs), moneyFigure(runs)].map((figure) => ({
    ...figure,
    name: `season-${figure.name}`,
  }));
}
