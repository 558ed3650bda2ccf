import * as Plot from '@observablehq/plot';
import { type RunColumns, thinPeaks, timeAxis } from './data.ts';
import { backdrop, drawFigure, type LegendEntry, seriesLine } from './document.ts';
import type { Figure } from './figure.ts';
import { strokesOf } from './style.ts';

/** Subscription ratio of each run over time, with the limit that placements obey. */
export function subscriptionFigure(all: readonly RunColumns[]): Figure {
  const subscribed = all.filter((run) => run.timeline.subscriptionRatio.some((ratio) => ratio > 0));
  const runs = subscribed.length > 0 ? subscribed : all;
  const strokes = strokesOf(runs.map((run) => run.label));
  const { unit, perMs } = timeAxis(Math.max(0, ...runs.map((r) => r.timeline.timeMs.at(-1) ?? 0)));
  const legend: LegendEntry[] = runs.map((run) => ({
    label: run.label,
    stroke: strokes.get(run.label)!,
  }));
  const curve = (run: RunColumns, y: Float64Array) =>
    seriesLine(
      thinPeaks(run.timeline.timeMs, y).map((p) => ({ x: p.x * perMs, y: p.y })),
      strokes.get(run.label)!,
      'step-after',
    );
  const options = (label: string, marks: Plot.Markish[]): Plot.PlotOptions => ({
    marginLeft: 50,
    marginBottom: 40,
    x: { label: `Time since the start of the trace (${unit})`, zero: true },
    y: { label, zero: true, nice: true },
    marks: [...backdrop('y'), Plot.ruleY([0]), Plot.ruleY([1], { stroke: '#999999' }), ...marks],
  });
  return drawFigure('subscription-ratio', {
    title: 'Subscription ratio over time',
    subtitle:
      'GPUs that placed replicas subscribe to / (GPUs provisioned x replicas of a kernel). Above 1 (grey line) GPUs are promised more than once. The limit is demanded / busy GPUs, smoothed and capped; a placement that would exceed it is refused. Policies without containers that last are left out.',
    legend,
    panels: [
      [
        {
          title: 'Subscription ratio',
          height: 210,
          options: options(
            'Ratio (no unit)',
            runs.map((run) => curve(run, run.timeline.subscriptionRatio)),
          ),
        },
      ],
      [
        {
          title: 'Limit for placements',
          height: 210,
          options: options(
            'Limit (no unit)',
            runs.map((run) => curve(run, run.timeline.subscriptionLimit)),
          ),
        },
      ],
    ],
  });
}
