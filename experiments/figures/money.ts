import * as Plot from '@observablehq/plot';
import { integrateHours, numberOf, type RunColumns, thinIndexes, timeAxis } from './data.ts';
import { backdrop, drawFigure, type Figure, seriesLine } from './document.ts';
import { shortNumber, strokesOf } from './style.ts';

/** Cost, revenue and margin of each run, and cost and margin as they develop over the trace. */
export function moneyFigure(runs: readonly RunColumns[]): Figure {
  const strokes = strokesOf(runs.map((run) => run.label));
  const labels = runs.map((run) => run.label);
  const rows = runs.map((run) => ({
    label: run.label,
    cost: numberOf(run, 'cost'),
    revenue: numberOf(run, 'revenue'),
    margin: 100 * numberOf(run, 'margin'),
  }));
  const color = { domain: labels, range: labels.map((label) => strokes.get(label)!.color) };
  const bars = (column: 'cost' | 'revenue' | 'margin', label: string, suffix = '') => {
    const values = rows.map((row) => row[column]).filter(Number.isFinite);
    const domain = [Math.min(0, ...values), Math.max(0, ...values) || 1];
    return {
      title: label,
      height: 190,
      options: {
        marginLeft: 52,
        marginTop: 20,
        marginBottom: 14,
        x: { domain: labels, label: null, axis: null, padding: 0.25 },
        y: {
          label: suffix === '%' ? '%' : '$',
          domain,
          nice: true,
          ticks: 5,
          tickFormat: shortNumber,
        },
        color,
        marks: [
          ...backdrop('y'),
          Plot.barY(rows, { x: 'label', y: column, fill: 'label' }),
          Plot.ruleY([0]),
          Plot.text(rows, {
            x: 'label',
            y: (row: Record<string, number>) => Math.max(0, row[column]!),
            text: (row: Record<string, number>) => `${shortNumber(row[column]!)}${suffix}`,
            dy: -7,
          }),
        ],
      } as Plot.PlotOptions,
    };
  };
  const { unit, perMs } = timeAxis(Math.max(0, ...runs.map((r) => r.timeline.timeMs.at(-1) ?? 0)));
  const over = runs.map((run) => moneyOverTime(run, perMs));
  const line = (label: string, column: 'cost' | 'margin', domain?: [number, number]) => ({
    title: label,
    height: 220,
    options: {
      marginLeft: 60,
      marginBottom: 40,
      x: { label: `Time since the start of the trace (${unit})`, zero: true },
      y: domain
        ? { label: '%', domain, nice: true, clamp: true }
        : { label: '$', zero: true, nice: true, tickFormat: shortNumber },
      marks: [
        ...backdrop('y'),
        Plot.ruleY([0]),
        ...over.map((points, i) =>
          seriesLine(
            points.filter((p) => Number.isFinite(p[column])).map((p) => ({ x: p.x, y: p[column] })),
            strokes.get(runs[i]!.label)!,
          ),
        ),
      ],
    } as Plot.PlotOptions,
  });
  return drawFigure('cost', {
    title: "Provider's cost, revenue and margin",
    subtitle:
      'Cost is host time at its price. Users pay for GPUs while cells run and a small rate for standby replicas; under reservation they pay for whole sessions. Margin is (revenue - cost) / revenue.',
    legend: runs.map((run) => ({ label: run.label, stroke: strokes.get(run.label)! })),
    panels: [
      [bars('cost', 'Cost'), bars('revenue', 'Revenue'), bars('margin', 'Margin', '%')],
      [line('Cost so far', 'cost')],
      [line('Margin so far (drawn down to -100 %)', 'margin', [-100, 100])],
    ],
  });
}

/**
 * Cost and revenue up to each sample, from the GPUs on the timeline; scaled so that both end at the
 * summary's exact sums (several host types, work between two samples).
 */
function moneyOverTime(
  run: RunColumns,
  perMs: number,
): { x: number; cost: number; margin: number }[] {
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
