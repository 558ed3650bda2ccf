import * as Plot from '@observablehq/plot';
import { integrateHours, numberOf, type RunColumns, thinIndexes, timeAxis } from './data.ts';
import { backdrop, drawFigure, type Panel, seriesLine } from './document.ts';
import type { Figure } from './figure.ts';
import { type Stroke, shortNumber, strokesOf } from './style.ts';

/** Cost, revenue and margin of each run, and cost and margin as they develop over the trace. */
export function moneyFigure(runs: readonly RunColumns[]): Figure {
  const strokes = strokesOf(runs.map((run) => run.label));
  const { unit, perMs } = timeAxis(Math.max(0, ...runs.map((r) => r.timeline.timeMs.at(-1) ?? 0)));
  const over = runs.map((run) => ({
    stroke: strokes.get(run.label)!,
    points: moneyOverTime(run, perMs),
  }));
  return drawFigure('cost', {
    title: "Provider's cost, revenue and margin",
    subtitle:
      'Cost is host time at its price. Users pay for GPUs while cells run and a small rate for standby replicas; under reservation they pay for whole sessions. Margin is (revenue - cost) / revenue.',
    legend: runs.map((run) => ({ label: run.label, stroke: strokes.get(run.label)! })),
    panels: [
      [
        barPanel(runs, strokes, 'cost', 'Cost', '$'),
        barPanel(runs, strokes, 'revenue', 'Revenue', '$'),
        barPanel(runs, strokes, 'margin', 'Margin', '%'),
      ],
      [linePanel(over, unit, 'cost', 'Cost so far')],
      [linePanel(over, unit, 'margin', 'Margin so far (drawn down to -100 %)')],
    ],
  });
}

function barPanel(
  runs: readonly RunColumns[],
  strokes: ReadonlyMap<string, Stroke>,
  column: string,
  title: string,
  unit: '$' | '%',
): Panel {
  const factor = unit === '%' ? 100 : 1;
  const rows = runs.map((run) => ({ label: run.label, value: factor * numberOf(run, column) }));
  const values = rows.map((row) => row.value).filter(Number.isFinite);
  const domain = [Math.min(0, ...values), Math.max(0, ...values) || 1];
  const labels = rows.map((row) => row.label);
  return {
    title,
    height: 190,
    options: {
      marginLeft: 52,
      marginTop: 20,
      marginBottom: 14,
      x: { domain: labels, label: null, axis: null, padding: 0.25 },
      y: { label: unit, domain, nice: true, ticks: 5, tickFormat: shortNumber },
      color: { domain: labels, range: labels.map((label) => strokes.get(label)!.color) },
      marks: [
        ...backdrop('y'),
        Plot.barY(rows, { x: 'label', y: 'value', fill: 'label' }),
        Plot.ruleY([0]),
        Plot.text(rows, {
          x: 'label',
          y: (row: { value: number }) => Math.max(0, row.value),
          text: (row: { value: number }) => `${shortNumber(row.value)}${unit === '%' ? '%' : ''}`,
          fontSize: rows.length > 5 ? 9 : 11,
          dy: -7,
        }),
      ],
    },
  };
}

interface MoneyPoint {
  readonly x: number;
  readonly cost: number;
  readonly margin: number;
}

function linePanel(
  over: readonly { readonly stroke: Stroke; readonly points: readonly MoneyPoint[] }[],
  timeUnit: string,
  column: 'cost' | 'margin',
  title: string,
): Panel {
  return {
    title,
    height: 220,
    options: {
      marginLeft: 60,
      marginBottom: 40,
      x: { label: `Time since the start of the trace (${timeUnit})`, zero: true },
      y:
        column === 'margin'
          ? { label: '%', domain: [-100, 100], clamp: true }
          : { label: '$', zero: true, nice: true, tickFormat: shortNumber },
      marks: [
        ...backdrop('y'),
        Plot.ruleY([0]),
        ...over.map(({ stroke, points }) =>
          seriesLine(
            points.filter((p) => Number.isFinite(p[column])).map((p) => ({ x: p.x, y: p[column] })),
            stroke,
          ),
        ),
      ],
    },
  };
}

/**
 * Cost and revenue up to each sample, from the GPUs on the timeline; scaled so that both end at the
 * summary's exact sums (several host types, work between two samples).
 */
function moneyOverTime(run: RunColumns, perMs: number): MoneyPoint[] {
  const { timeline, money } = run;
  const n = timeline.timeMs.length;
  const earning = new Float64Array(n);
  const userPrice = money.userPriceFactor * money.costPerGpuHour;
  const reserves = run.policy === 'reservation';
  for (let i = 0; i < n; i++) {
    const gpus = reserves ? timeline.reservedGpus[i]! : timeline.committedGpus[i]!;
    const standbys = run.replicas * timeline.sessionsOpen[i]! - timeline.executionsRunning[i]!;
    const standing = run.replicas > 1 ? standbys * money.standbyRate * money.costPerGpuHour : 0;
    earning[i] = gpus * userPrice + standing;
  }
  const cost = scaledTo(integrateHours(timeline.timeMs, timeline.provisionedGpus), run, 'cost');
  const revenue = scaledTo(integrateHours(timeline.timeMs, earning), run, 'revenue');
  return thinIndexes(n).map((i) => ({
    x: timeline.timeMs[i]! * perMs,
    cost: cost[i]!,
    margin: revenue[i]! > 0 ? 100 * (1 - cost[i]! / revenue[i]!) : Number.NaN,
  }));
}

function scaledTo(total: Float64Array, run: RunColumns, column: string): Float64Array {
  const end = total.at(-1) ?? 0;
  const exact = numberOf(run, column);
  return end > 0 && Number.isFinite(exact) ? total.map((value) => (value * exact) / end) : total;
}
