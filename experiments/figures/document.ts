import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import type { Figure } from './figure.ts';
import { FONT, GRID, INK, type Stroke } from './style.ts';

/** One set of axes inside a figure. `options` are those of Plot; its size is set here. */
export interface Panel {
  readonly title?: string;
  readonly width?: number;
  readonly height: number;
  readonly options: Plot.PlotOptions;
}

export interface LegendEntry {
  readonly label: string;
  readonly stroke?: Stroke;
  /** a filled box instead of a line */
  readonly fill?: string;
}

export interface FigureLayout {
  readonly title: string;
  /** what is drawn and how to read it, in one sentence or two; wrapped */
  readonly subtitle: string;
  readonly legend: readonly LegendEntry[];
  /** panels one below the other; those of one inner list stand side by side */
  readonly panels: readonly (readonly Panel[])[];
  readonly width?: number;
}

const WIDTH = 760;
const MARGIN = 16;
const LEGEND_ROW = 20;
/** Mean width of a character of the legend and subtitle fonts, px: text cannot be measured here. */
const CHARACTER = 6.5;

/** Draws a figure: title, subtitle, legend and panels, in one SVG that stands for itself. */
export function drawFigure(name: string, layout: FigureLayout): Figure {
  const width = layout.width ?? WIDTH;
  const inner = width - 2 * MARGIN;
  const parts: string[] = [];
  let y = MARGIN + 14;
  parts.push(text(MARGIN, y, layout.title, 'font-size="16" font-weight="600"'));
  for (const line of wrap(layout.subtitle, Math.floor(inner / CHARACTER))) {
    y += 17;
    parts.push(text(MARGIN, y, line, 'font-size="12" fill="#555555"'));
  }
  y += 12;
  const legend = drawLegend(layout.legend, inner, y);
  parts.push(legend.svg);
  y = legend.bottom;
  for (const row of layout.panels) {
    let x = MARGIN;
    let tallest = 0;
    for (const panel of row) {
      const panelWidth = panel.width ?? Math.floor(inner / row.length);
      const titleHeight = panel.title ? 22 : 4;
      if (panel.title) {
        parts.push(text(x, y + 16, panel.title, 'font-size="13" font-weight="600"'));
      }
      parts.push(drawPanel(panel, x, y + titleHeight, panelWidth));
      x += panelWidth;
      tallest = Math.max(tallest, panel.height + titleHeight);
    }
    y += tallest + 10;
  }
  return { name, title: layout.title, svg: wrapSvg(width, y + 4, layout.title, parts.join('\n')) };
}

function wrapSvg(width: number, height: number, title: string, body: string): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${FONT}" fill="${INK}" role="img">
<title>${escapeText(title)}</title>
<rect width="${width}" height="${height}" fill="#ffffff"/>
${body}
</svg>
`;
}

function drawPanel(panel: Panel, x: number, y: number, width: number): string {
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const drawn = Plot.plot({
    ...panel.options,
    width,
    height: panel.height,
    document: document as never,
  }) as unknown as { toString(): string };
  // Plot scopes a style sheet by a class; here its few rules are attributes of the elements, so
  // that the figure looks the same in every viewer and inside any page.
  return drawn
    .toString()
    .replace(/<style>[\s\S]*?<\/style>/g, '')
    .replace(
      /^<svg[^>]*>/,
      `<svg x="${x}" y="${y}" width="${width}" height="${panel.height}" viewBox="0 0 ${width} ${panel.height}" font-size="11" text-anchor="middle" fill="${INK}">`,
    )
    .replaceAll('currentColor', INK);
}

function drawLegend(
  entries: readonly LegendEntry[],
  width: number,
  top: number,
): { svg: string; bottom: number } {
  if (entries.length === 0) return { svg: '', bottom: top };
  const parts: string[] = [];
  let x = MARGIN;
  let y = top + 10;
  for (const entry of entries) {
    const size = 40 + entry.label.length * 6.8 + 18;
    if (x > MARGIN && x + size > MARGIN + width) {
      x = MARGIN;
      y += LEGEND_ROW;
    }
    parts.push(legendMark(entry, x, y));
    parts.push(text(x + 40, y + 4, entry.label, 'font-size="12"'));
    x += size;
  }
  return { svg: parts.join('\n'), bottom: y + 14 };
}

function legendMark(entry: LegendEntry, x: number, y: number): string {
  if (entry.fill !== undefined) {
    return `<rect x="${x + 14}" y="${y - 6}" width="18" height="12" fill="${entry.fill}"/>`;
  }
  const { color, dash } = entry.stroke ?? { color: INK, dash: '' };
  return `<line x1="${x}" x2="${x + 34}" y1="${y}" y2="${y}" stroke="${color}" stroke-width="2.2"${dash ? ` stroke-dasharray="${dash}"` : ''}/>`;
}

function text(x: number, y: number, value: string, attributes: string): string {
  return `<text x="${x}" y="${y}" ${attributes}>${escapeText(value)}</text>`;
}

export function escapeText(value: string): string {
  return value
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

function wrap(value: string, columns: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of value.split(/\s+/)) {
    if (line !== '' && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  if (line !== '') lines.push(line);
  return lines;
}

/** Grid lines across an axis; spread into the marks of a panel, first. `ticks` are those of x. */
export function backdrop(axis: 'x' | 'y' | 'both', ticks?: readonly number[]): Plot.Markish[] {
  const grid = { stroke: GRID, strokeOpacity: 1 };
  const marks: Plot.Markish[] = [];
  if (axis !== 'y') marks.push(ticks ? Plot.gridX([...ticks], grid) : Plot.gridX(grid));
  if (axis !== 'x') marks.push(Plot.gridY(grid));
  return marks;
}

/** A line of a series, dashed as its stroke says. */
export function seriesLine(
  points: readonly { readonly x: number; readonly y: number }[],
  stroke: Stroke,
  curve: 'linear' | 'step-after' = 'linear',
): Plot.Markish {
  return Plot.line(points as { x: number; y: number }[], {
    x: 'x',
    y: 'y',
    stroke: stroke.color,
    strokeWidth: 1.8,
    curve,
    ...(stroke.dash === '' ? {} : { strokeDasharray: stroke.dash }),
  });
}
