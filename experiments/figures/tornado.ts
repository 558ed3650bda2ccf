import * as Plot from '@observablehq/plot';
import { backdrop, drawFigure } from './document.ts';
import type { Figure } from './figure.ts';
import { shortNumber } from './style.ts';

/** Effect of one option on one measure, against the run with every default. */
export interface Effect {
  /** the option, with its default and its unit */
  readonly label: string;
  /** what it was set to on either side, in words: 'halved', '× 2', 'off' */
  readonly lowSetting: string;
  readonly highSetting: string;
  /** change of the measure in `unit`; NaN when there is no such side */
  readonly low: number;
  readonly high: number;
}

const LOW = '#0072b2';
const HIGH = '#e69f00';
const SHOWN = 20;
/** Effects below this share of the largest are not drawn. */
const SMALLEST = 0.01;

/** Options ranked by how far they move a measure when halved and doubled. */
export function tornadoFigure(
  name: string,
  title: string,
  measure: string,
  unit: string,
  effects: readonly Effect[],
): Figure {
  const size = (e: Effect) => Math.max(Math.abs(e.low) || 0, Math.abs(e.high) || 0);
  const largest = Math.max(0, ...effects.map(size));
  const ranked = [...effects]
    .filter((effect) => size(effect) > 0 && size(effect) >= SMALLEST * largest)
    .sort((a, b) => size(b) - size(a) || (a.label < b.label ? -1 : 1))
    .slice(0, SHOWN);
  const rest = effects.length - ranked.length;
  const labels = ranked.map((effect) => effect.label);
  const bars = ranked.flatMap((effect) => [
    { label: effect.label, side: 'low', value: effect.low, setting: effect.lowSetting },
    { label: effect.label, side: 'high', value: effect.high, setting: effect.highSetting },
  ]);
  const drawn = bars.filter((bar) => Number.isFinite(bar.value) && bar.value !== 0);
  const most = Math.max(1e-9, largest);
  const left = 20 + 6.4 * Math.max(10, ...labels.map((label) => label.length));
  return drawFigure(name, {
    title,
    subtitle: `Change of ${measure} when one option is set lower or higher and all others keep their defaults, mean over seeds. ${rest} further options move it by less than 1 % of the largest change.`,
    legend: [
      { label: 'option lowered (halved, off)', fill: LOW },
      { label: 'option raised (doubled, on)', fill: HIGH },
    ],
    panels: [
      [
        {
          height: 60 + 30 * Math.max(1, ranked.length),
          options: {
            marginLeft: left,
            marginRight: 20,
            marginBottom: 42,
            x: { label: `Change of ${measure} (${unit})`, domain: [-1.8 * most, 1.8 * most] },
            y: { domain: labels, label: null },
            marks: [
              ...backdrop('x'),
              ...sideMarks(drawn, 'low'),
              ...sideMarks(drawn, 'high'),
              Plot.ruleX([0]),
            ],
          },
        },
      ],
    ],
  });
}

interface Bar {
  readonly label: string;
  readonly side: string;
  readonly value: number;
  readonly setting: string;
}

/** Both sides may push the same way, so each has its own half of the option's row. */
function sideMarks(bars: readonly Bar[], side: 'low' | 'high'): Plot.Markish[] {
  const mine = bars.filter((bar) => bar.side === side);
  const inset = side === 'low' ? { insetBottom: 13 } : { insetTop: 13 };
  const shift = side === 'low' ? -6.5 : 6.5;
  const label = (bar: Bar) => `${bar.setting}: ${signed(bar.value)}`;
  const words = { y: 'label', x: 'value', text: label, dy: shift, fontSize: 10 } as const;
  return [
    Plot.barX(mine, {
      x1: 0,
      x2: 'value',
      y: 'label',
      fill: side === 'low' ? LOW : HIGH,
      ...inset,
    }),
    Plot.text(
      mine.filter((bar) => bar.value > 0),
      { ...words, dx: 4, textAnchor: 'start' as const },
    ),
    Plot.text(
      mine.filter((bar) => bar.value < 0),
      { ...words, dx: -4, textAnchor: 'end' as const },
    ),
  ];
}

function signed(value: number): string {
  return `${value > 0 ? '+' : '−'}${shortNumber(Math.abs(value))}`;
}
