import * as Plot from '@observablehq/plot';
import { integrateHours, type RunColumns, thinIndexes, thinPeaks, timeAxis } from './data.ts';
import { backdrop, drawFigure, type LegendEntry, seriesLine } from './document.ts';
import type { Figure } from './figure.ts';
import { type Stroke, shortNumber, strokeOf, strokesOf } from './style.ts';

interface Series {
  readonly label: string;
  readonly stroke: Stroke;
  readonly timeMs: Float64Array;
  readonly gpus: Float64Array;
}

/** Provisioned GPUs of every policy over time beside the oracle and reservation, and their integral. */
export function gpuHoursFigure(runs: readonly RunColumns[]): Figure {
  const series = seriesOf(runs);
  const { unit, perMs } = timeAxis(Math.max(...series.map((s) => s.timeMs.at(-1) ?? 0)));
  const x = { label: `Time since the start of the trace (${unit})`, zero: true };
  const instant = series.map((s) =>
    seriesLine(
      thinPeaks(s.timeMs, s.gpus).map((p) => ({ x: p.x * perMs, y: p.y })),
      s.stroke,
      'step-after',
    ),
  );
  const cumulative = series.map((s) => {
    const hours = integrateHours(s.timeMs, s.gpus);
    const points = thinIndexes(hours.length).map((i) => ({
      x: s.timeMs[i]! * perMs,
      y: hours[i]!,
    }));
    return seriesLine(points, s.stroke);
  });
  const legend: LegendEntry[] = series.map((s) => ({ label: s.label, stroke: s.stroke }));
  return drawFigure('gpu-hours', {
    title: 'GPUs provisioned over time',
    subtitle:
      'GPUs of all hosts that are up. The oracle starts every cell at its submission and holds its GPUs only while it runs; no policy can need fewer.',
    legend,
    panels: [
      [panel('GPUs at each moment', 'GPUs', instant, x)],
      [panel('GPU-hours so far', 'GPU-hours', cumulative, x)],
    ],
  });
}

function panel(title: string, label: string, marks: Plot.Markish[], x: Plot.ScaleOptions) {
  return {
    title,
    height: 250,
    options: {
      marginLeft: 60,
      marginBottom: 40,
      x,
      y: { label, zero: true, nice: true, tickFormat: shortNumber },
      marks: [...backdrop('y'), Plot.ruleY([0]), ...marks],
    },
  };
}

function seriesOf(runs: readonly RunColumns[]): Series[] {
  const strokes = strokesOf(runs.map((run) => run.label));
  const series: Series[] = runs.map((run) => ({
    label: run.label,
    stroke: run.label === run.policy ? strokeOf(run.policy) : strokes.get(run.label)!,
    timeMs: run.timeline.timeMs,
    gpus: run.timeline.provisionedGpus,
  }));
  const first = runs[0];
  if (first) {
    const { timeMs, oracleGpus, demandedGpus } = first.timeline;
    if (!runs.some((run) => run.policy === 'reservation')) {
      const label = 'reserved by sessions';
      series.unshift({ label, stroke: strokeOf('reservation'), timeMs, gpus: demandedGpus });
    }
    series.push({ label: 'oracle', stroke: strokeOf('oracle'), timeMs, gpus: oracleGpus });
  }
  return series;
}
