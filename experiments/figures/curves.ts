import * as Plot from '@observablehq/plot';
import type { Interval } from '../statistics.ts';
import { backdrop, drawFigure, seriesLine } from './document.ts';
import type { Figure } from './figure.ts';
import { shortNumber, strokesOf } from './style.ts';

export interface CurveMeasure {
  readonly title: string;
  readonly unit: string;
  readonly values: readonly CurveValue[];
}

export interface CurveValue {
  readonly policy: string;
  readonly x: number;
  readonly value: Interval;
}

export interface CurveAxis {
  readonly label: string;
  readonly log?: boolean;
}

/** How measures change with a number (cluster size, load, an option), with confidence bands. */
export function curvesFigure(
  name: string,
  title: string,
  subtitle: string,
  axis: CurveAxis,
  measures: readonly CurveMeasure[],
): Figure {
  const policies = measures
    .map((m) => [...new Set(m.values.map((v) => v.policy))])
    .reduce((longest, names) => (names.length > longest.length ? names : longest), []);
  const strokes = strokesOf(policies);
  const place = (x: number) => (axis.log ? Math.log2(x) : x);
  const xs = [...new Set(measures.flatMap((m) => m.values.map((v) => v.x)))].sort((a, b) => a - b);
  return drawFigure(name, {
    title,
    subtitle,
    legend: policies.map((policy) => ({ label: policy, stroke: strokes.get(policy)! })),
    panels: measures.map((measure) => [
      {
        title: measure.title,
        height: 230,
        options: {
          marginLeft: 64,
          marginRight: 24,
          marginBottom: 42,
          x: {
            label: axis.label,
            ticks: xs.map(place),
            tickFormat: (x: number) => shortNumber(axis.log ? Math.round(2 ** x * 1e6) / 1e6 : x),
            inset: 8,
          },
          y: { label: measure.unit || 'number', zero: true, nice: true, tickFormat: shortNumber },
          marks: [
            ...backdrop('y'),
            Plot.ruleY([0]),
            ...policies.flatMap((policy) => {
              const points = measure.values
                .filter((v) => v.policy === policy && Number.isFinite(v.value.mean))
                .sort((a, b) => a.x - b.x);
              const stroke = strokes.get(policy)!;
              const banded = points.filter((v) => Number.isFinite(v.value.low));
              return [
                Plot.areaY(banded, {
                  x: (d: CurveValue) => place(d.x),
                  y1: (d: CurveValue) => d.value.low,
                  y2: (d: CurveValue) => d.value.high,
                  fill: stroke.color,
                  fillOpacity: 0.15,
                }),
                seriesLine(
                  points.map((v) => ({ x: place(v.x), y: v.value.mean })),
                  stroke,
                ),
                Plot.dot(points, {
                  x: (d: CurveValue) => place(d.x),
                  y: (d: CurveValue) => d.value.mean,
                  fill: stroke.color,
                  r: 3,
                }),
              ];
            }),
          ],
        },
      },
    ]),
  });
}
