import { OPTIONS } from '../../core/config/options.ts';
import { groupsOf, measureGroup, partnerFinder } from '../conclude.ts';
import { type Effect, type Figure, tornadoFigure } from '../figures/index.ts';
import { HEADLINE, type Measure } from '../headline.ts';
import type { Matrix } from '../matrix.ts';
import { bootstrapInterval, type Interval } from '../statistics.ts';
import type { Findings, ResultRow, Study, Table } from '../study.ts';
import { cutMatrix, savingsFigure, savingsTable } from './savings.ts';
import { SWEEPS, sweepFigures, sweepMatrices, sweepTable } from './sweeps.ts';
import { doubtfulVariations, optionLabel, type Variation } from './variations.ts';
import {
  CLUSTER,
  commandOf,
  excerpt,
  NO_OPTIONS,
  policies,
  type StudyOptions,
  seedsUpTo,
} from './workloads.ts';

const OPTIONS_PART = 'options';
const SEEDS = 5;
const CUT_SEEDS = 2;
const POLICY = 'notebookos';
const MEASURES: readonly Measure[] = HEADLINE.filter(({ name }) =>
  ['saved_pct', 'delay_p50_ms', 'delay_p95_ms', 'immediate_share', 'margin'].includes(name),
);

/** What the results rest on: cuts of sessions, the main parameters, and every doubtful default. */
export function sensitivityStudy(options: StudyOptions = {}): Study {
  const seeds = options.seeds ?? SEEDS;
  const doubtful: Matrix = {
    name: OPTIONS_PART,
    traces: [excerpt(options)],
    policies: policies('reservation', POLICY),
    clusters: [CLUSTER],
    options: [
      ...NO_OPTIONS,
      ...doubtfulVariations().map(({ label, config }) => ({ label, config })),
    ],
    seeds: seedsUpTo(seeds),
    resample: true,
    cells: 'none',
  };
  return {
    name: 'sensitivity',
    title: 'What the results depend on',
    matrices: [
      doubtful,
      ...sweepMatrices(options, seeds),
      cutMatrix(options, Math.min(CUT_SEEDS, seeds)),
    ],
    command: commandOf('sensitivity', options),
    conclude,
  };
}

interface MeasuredEffect {
  readonly variation: Variation;
  readonly measure: Measure;
  readonly base: number;
  readonly change: Interval;
}

async function conclude(rows: readonly ResultRow[]): Promise<Findings> {
  const effects = measureEffects(rows.filter((row) => row.matrix === OPTIONS_PART));
  const figures = MEASURES.map((measure) => tornado(measure, effects));
  return {
    tables: [effectTable(effects), sweepTable(rows), savingsTable(rows)],
    figures: [...figures, ...sweepFigures(rows), savingsFigure(rows)],
    remarks: [
      `Every option whose default comes from a summary or is a guess was halved and doubled under ${POLICY}; ${SWEEPS.map(({ title }) => title.toLowerCase()).join(', ')} were varied over wider ranges.`,
    ],
  };
}

/** Changes against the defaults, seed by seed, so that the workload's own variation cancels. */
function measureEffects(rows: readonly ResultRow[]): MeasuredEffect[] {
  const partner = partnerFinder(rows);
  const groups = groupsOf(rows).filter((group) => group.policy === POLICY);
  const base = groups.find((group) => group.options === '');
  if (!base) return [];
  return doubtfulVariations().flatMap((variation) => {
    const group = groups.find((each) => each.options === variation.label);
    if (!group) return [];
    return MEASURES.map((measure) => {
      const changes = group.rows
        .map((row, i) => {
          const before = base.rows[i]!;
          const baseline = partner(before);
          return measure.of(row.summary, partner(row)) - measure.of(before.summary, baseline);
        })
        .filter(Number.isFinite);
      const mean = measureGroup(base, measure, partner).bootstrap.mean;
      return { variation, measure, base: mean, change: bootstrapInterval(changes) };
    });
  });
}

/** effects.csv: each measure's options, largest effect first. */
function effectTable(effects: readonly MeasuredEffect[]): Table {
  const rows = MEASURES.flatMap((measure) => {
    const mine = effects.filter((effect) => effect.measure === measure);
    const size = (effect: MeasuredEffect) => Math.abs(effect.change.mean) || 0;
    return [...mine]
      .sort((a, b) => size(b) - size(a) || (a.variation.label < b.variation.label ? -1 : 1))
      .map(({ variation, base, change }, i) => {
        const { option, setting } = variation;
        const { source, unit } = OPTIONS[option];
        const numbers = [base, change.mean, change.low, change.high];
        return [measure.name, measure.unit, i + 1, option, unit, source, setting, ...numbers];
      });
  });
  return {
    name: 'effects',
    title: `Effect of every doubtful default under ${POLICY}, ranked (change against the defaults, 95 % confidence interval)`,
    columns: [
      'measure',
      'unit',
      'rank',
      'option',
      'option_unit',
      'source',
      'setting',
      'with_defaults',
      'change',
      'low',
      'high',
    ],
    rows,
  };
}

function tornado(measure: Measure, effects: readonly MeasuredEffect[]): Figure {
  const options = [...new Set(effects.map(({ variation }) => variation.option))];
  const bars = options.map((option): Effect => {
    const side = (which: 'low' | 'high') =>
      effects.find(
        ({ variation, measure: of }) =>
          of === measure && variation.option === option && variation.side === which,
      );
    const [low, high] = [side('low'), side('high')];
    return {
      label: optionLabel(option),
      lowSetting: low?.variation.setting ?? '',
      highSetting: high?.variation.setting ?? '',
      low: low?.change.mean ?? Number.NaN,
      high: high?.change.mean ?? Number.NaN,
    };
  });
  const unit = measure.unit === '%' ? 'percentage points' : measure.unit;
  return tornadoFigure(
    `tornado-${measure.name}`,
    `Sensitivity: ${measure.label} (${POLICY})`,
    measure.label,
    unit,
    bars,
  );
}
