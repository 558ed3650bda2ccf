import * as Plot from '@observablehq/plot';
import { DELAY_STEPS, RUN_STEPS } from '../../core/record/columns.ts';
import { numberOf, type RunColumns } from './data.ts';
import { backdrop, drawFigure, type Panel } from './document.ts';
import type { Figure } from './figure.ts';
import { durationLabel, STEP_COLORS } from './style.ts';

interface Part {
  readonly label: string;
  readonly step: string;
  readonly seconds: number;
  readonly share: number;
}

/** Mean time per completed cell in each step beside the user's code, stacked, per run. */
export function stepsFigure(runs: readonly RunColumns[]): Figure {
  const parts = runs.flatMap(partsOf);
  const used = STEPS.filter((step) => parts.some((p) => p.step === step && p.share >= 0.05));
  const shown = parts.filter((part) => used.includes(part.step));
  const totals = runs.map((run) => ({
    label: run.label,
    seconds: parts
      .filter((part) => part.label === run.label)
      .reduce((sum, part) => sum + part.seconds, 0),
  }));
  const most = Math.max(1e-3, ...totals.map((total) => total.seconds));
  const sums = Plot.text(totals, {
    x: 'seconds',
    y: 'label',
    text: (d: { seconds: number }) => durationLabel(d.seconds),
    dx: 6,
    textAnchor: 'start',
  });
  const time = { label: 'Mean time per cell (s)', domain: [0, most], nice: true };
  const share = { label: 'Share of that time (%)', domain: [0, 100] };
  return drawFigure('steps', {
    title: 'Where the time beside user code goes',
    subtitle:
      'Mean per completed cell of every step between submission and reply, without the run of user code itself. The number is the sum.',
    legend: used.map((step) => ({ label: step.replaceAll('_', ' '), fill: colorOf(step) })),
    panels: [
      [panel('Time per cell', 'seconds', time, shown, used, [sums])],
      [panel('Share of each step', 'share', share, shown, used, [])],
    ],
  });
}

const STEPS: readonly string[] = [...DELAY_STEPS, ...RUN_STEPS].filter((step) => step !== 'run');

function partsOf(run: RunColumns): Part[] {
  const seconds = STEPS.map((step) => numberOf(run, `${step}_mean_ms`) / 1000 || 0);
  const total = seconds.reduce((sum, value) => sum + value, 0);
  return STEPS.map((step, i) => ({
    label: run.label,
    step,
    seconds: seconds[i]!,
    share: total > 0 ? (100 * seconds[i]!) / total : 0,
  }));
}

function colorOf(step: string): string {
  return STEP_COLORS[step] ?? '#999999';
}

function panel(
  title: string,
  x: 'seconds' | 'share',
  scale: Plot.ScaleOptions,
  parts: readonly Part[],
  steps: readonly string[],
  more: readonly Plot.Markish[],
): Panel {
  const labels = [...new Set(parts.map((part) => part.label))];
  return {
    title,
    height: 56 + 30 * labels.length,
    options: {
      marginLeft: 16 + 6.6 * Math.max(8, ...labels.map((label) => label.length)),
      marginRight: 70,
      marginBottom: 40,
      x: scale,
      y: { domain: labels, label: null },
      color: { domain: [...steps], range: steps.map(colorOf) },
      marks: [
        ...backdrop('x'),
        Plot.barX(parts as Part[], {
          x,
          y: 'label',
          fill: 'step',
          stroke: '#ffffff',
          strokeWidth: 0.6,
          inset: 0,
        }),
        ...more,
      ],
    },
  };
}
