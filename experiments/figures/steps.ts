import * as Plot from '@observablehq/plot';
import { DELAY_STEPS, RUN_STEPS } from '../../core/record/columns.ts';
import { numberOf, type RunColumns } from './data.ts';
import { backdrop, drawFigure, type Figure } from './document.ts';
import { durationLabel, STEP_COLORS } from './style.ts';

interface Part {
  readonly label: string;
  readonly step: string;
  readonly seconds: number;
  readonly share: number;
}

/** Mean time per completed cell in each step beside the user's code, stacked, per run. */
export function stepsFigure(runs: readonly RunColumns[]): Figure {
  const steps = [...DELAY_STEPS, ...RUN_STEPS].filter((step) => step !== 'run');
  const parts: Part[] = [];
  const totals: { label: string; seconds: number }[] = [];
  for (const run of runs) {
    const seconds = steps.map((step) => numberOf(run, `${step}_mean_ms`) / 1000 || 0);
    const total = seconds.reduce((sum, value) => sum + value, 0);
    totals.push({ label: run.label, seconds: total });
    for (const [i, step] of steps.entries()) {
      const value = seconds[i]!;
      const share = total > 0 ? (100 * value) / total : 0;
      parts.push({ label: run.label, step, seconds: value, share });
    }
  }
  const used = steps.filter((step) => parts.some((p) => p.step === step && p.share >= 0.05));
  const labels = runs.map((run) => run.label);
  const left = 16 + 6.6 * Math.max(8, ...labels.map((label) => label.length));
  const color = { domain: used, range: used.map((step) => STEP_COLORS[step] ?? '#999999') };
  const height = 56 + 30 * labels.length;
  const most = Math.max(1e-3, ...totals.map((total) => total.seconds));
  const shown = parts.filter((part) => used.includes(part.step as never));
  const bars = (x: 'seconds' | 'share') =>
    Plot.barX(shown, {
      x,
      y: 'label',
      fill: 'step',
      stroke: '#ffffff',
      strokeWidth: 0.6,
      inset: 0,
    });
  const y = { domain: labels, label: null };
  const common = { marginLeft: left, marginBottom: 40, y, color };
  return drawFigure('steps', {
    title: 'Where the time beside user code goes',
    subtitle:
      'Mean per completed cell of every step between submission and reply, without the run of user code itself. The number is the sum.',
    legend: used.map((step) => ({
      label: step.replaceAll('_', ' '),
      fill: STEP_COLORS[step] ?? '#999999',
    })),
    panels: [
      [
        {
          title: 'Time per cell',
          height,
          options: {
            ...common,
            marginRight: 70,
            x: { label: 'Mean time per cell (s)', domain: [0, most], nice: true },
            marks: [
              ...backdrop('x'),
              bars('seconds'),
              Plot.text(totals, {
                x: 'seconds',
                y: 'label',
                text: (d: { seconds: number }) => durationLabel(d.seconds),
                dx: 6,
                textAnchor: 'start',
              }),
            ],
          },
        },
      ],
      [
        {
          title: 'Share of each step',
          height,
          options: {
            ...common,
            marginRight: 70,
            x: { label: 'Share of that time (%)', domain: [0, 100] },
            marks: [...backdrop('x'), bars('share')],
          },
        },
      ],
    ],
  });
}
