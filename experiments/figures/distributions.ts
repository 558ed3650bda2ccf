import * as Plot from '@observablehq/plot';
import { thinCdf } from '../statistics.ts';
import type { RunColumns } from './data.ts';
import { backdrop, drawFigure, seriesLine } from './document.ts';
import type { Figure } from './figure.ts';
import { DURATION_TICKS, durationLabel, strokesOf } from './style.ts';

/** Distribution of the interactivity delay of completed cells, one curve a run. */
export function delayFigure(runs: readonly RunColumns[]): Figure {
  return distribution(
    'delay-cdf',
    'Interactivity delay',
    'From the submission of a cell until its code runs. A point (x, y): y % of the completed cells waited at most x. Further left is better.',
    'Delay (logarithmic)',
    runs,
    (run) => run.delaysMs,
  );
}

/** Distribution of the task completion time of completed cells, one curve a run. */
export function completionFigure(runs: readonly RunColumns[]): Figure {
  return distribution(
    'tct-cdf',
    'Task completion time',
    'From the submission of a cell until its reply. A point (x, y): y % of the completed cells were answered within x. Further left is better.',
    'Task completion time (logarithmic)',
    runs,
    (run) => run.tctsMs,
  );
}

function distribution(
  name: string,
  title: string,
  subtitle: string,
  xLabel: string,
  runs: readonly RunColumns[],
  values: (run: RunColumns) => Float64Array,
): Figure {
  const strokes = strokesOf(runs.map((run) => run.label));
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  const curves = runs.map((run) => {
    // A logarithmic axis has no zero: delays below 1 ms are drawn at 1 ms.
    // The axis is linear in the exponent, because Plot drops some labels of a logarithmic scale.
    const points = thinCdf(values(run)).map((p) => ({
      x: Math.log10(Math.max(1, p.x) / 1000),
      y: p.y * 100,
    }));
    if (points.length > 0) {
      least = Math.min(least, points[0]!.x);
      most = Math.max(most, points.at(-1)!.x);
    }
    return seriesLine(points, strokes.get(run.label)!, 'step-after');
  });
  if (most < least) [least, most] = [-3, 0];
  const domain: [number, number] = [least - 0.1, Math.max(most, least + 1) + 0.02];
  const ticks = DURATION_TICKS.map(Math.log10).filter((t) => t >= domain[0] && t <= domain[1]);
  return drawFigure(name, {
    title,
    subtitle,
    legend: runs.map((run) => ({ label: run.label, stroke: strokes.get(run.label)! })),
    panels: [
      [
        {
          height: 330,
          options: {
            marginLeft: 56,
            marginBottom: 42,
            marginRight: 24,
            x: {
              domain,
              label: xLabel,
              ticks,
              tickFormat: (tick: number) => durationLabel(10 ** tick),
            },
            y: { domain: [0, 100], label: 'Completed cells (%)', ticks: 10 },
            marks: [...backdrop('both', ticks), Plot.ruleY([0]), ...curves],
          },
        },
      ],
    ],
  });
}
