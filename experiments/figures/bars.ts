import * as Plot from '@observablehq/plot';
import type { Interval } from '../statistics.ts';
import { backdrop, drawFigure, type Panel } from './document.ts';
import type { Figure } from './figure.ts';
import { shortNumber, strokesOf } from './style.ts';

export interface BarMeasure {
  readonly title: string;
  readonly unit: string;
  /** one value per group and policy; missing ones are left out */
  readonly values: readonly BarValue[];
}

export interface BarValue {
  readonly group: string;
  readonly policy: string;
  readonly value: Interval;
}

/** Grouped bars with confidence intervals: one panel a measure, one group a fault kind or setting. */
export function barsFigure(
  name: string,
  title: string,
  subtitle: string,
  measures: readonly BarMeasure[],
): Figure {
  const policies = unique(measures.flatMap((m) => m.values.map((v) => v.policy)));
  const groups = unique(measures.flatMap((m) => m.values.map((v) => v.group)));
  const strokes = strokesOf(policies);
  return drawFigure(name, {
    title,
    subtitle,
    legend: policies.map((policy) => ({ label: policy, fill: strokes.get(policy)!.color })),
    panels: measures.map((measure) => [
      barPanel(
        measure,
        groups,
        policies,
        policies.map((p) => strokes.get(p)!.color),
      ),
    ]),
  });
}

function barPanel(
  measure: BarMeasure,
  groups: readonly string[],
  policies: readonly string[],
  range: string[],
): Panel {
  const rows = measure.values.filter((v) => Number.isFinite(v.value.mean));
  const tops = rows.flatMap((row) => [row.value.mean, row.value.high]).filter(Number.isFinite);
  const bounded = rows.filter((row) => Number.isFinite(row.value.low));
  // In ems of the axis' font, less a little so that neighbours do not touch.
  const lineWidth = Math.max(3, 630 / groups.length / 11 - 0.4);
  const crowded = groups.length * policies.length > 24;
  return {
    title: measure.title,
    height: 242,
    options: {
      marginLeft: 60,
      marginTop: 24,
      marginBottom: 46,
      fx: { domain: groups as string[], label: null, padding: 0.12 },
      x: { domain: policies as string[], axis: null, padding: 0.1 },
      y: {
        label: measure.unit || 'number',
        tickFormat: shortNumber,
        domain: [Math.min(0, ...tops), Math.max(0, ...tops) || 1],
        nice: true,
      },
      color: { domain: policies as string[], range },
      marks: [
        ...backdrop('y'),
        Plot.axisFx({ anchor: 'bottom', label: null, lineWidth, tickSize: 0, tickPadding: 6 }),
        Plot.barY(rows, {
          fx: 'group',
          x: 'policy',
          y: (d: BarValue) => d.value.mean,
          fill: 'policy',
        }),
        Plot.ruleX(bounded, {
          fx: 'group',
          x: 'policy',
          y1: (d: BarValue) => d.value.low,
          y2: (d: BarValue) => d.value.high,
          stroke: '#1a1a1a',
          strokeWidth: 1.3,
        }),
        Plot.ruleY([0]),
        ...(crowded ? [] : [valueLabels(rows)]),
      ],
    },
  };
}

function valueLabels(rows: readonly BarValue[]): Plot.Markish {
  return Plot.text(rows as BarValue[], {
    fx: 'group',
    x: 'policy',
    y: (d: BarValue) => Math.max(0, d.value.mean, d.value.high || 0),
    text: (d: BarValue) => shortNumber(d.value.mean),
    dy: -7,
    fontSize: 9.5,
  });
}

function unique(words: readonly string[]): string[] {
  return [...new Set(words)];
}
