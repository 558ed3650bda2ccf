import { escapeText, type Figure, shortNumber } from './figures/index.ts';
import type { Table } from './study.ts';

export interface Page {
  readonly title: string;
  readonly remarks: readonly string[];
  readonly tables: readonly Table[];
  readonly figures: readonly Figure[];
  /** name and value of what the reader needs to repeat it */
  readonly settings: readonly (readonly [name: string, value: string])[];
}

const STYLE = `
body { font: 15px/1.45 'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif;
  color: #1a1a1a; background: #fff; max-width: 1000px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .6rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
figure { margin: 1.2rem 0; } figure svg { max-width: 100%; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .22rem .6rem; border-bottom: 1px solid #ddd; text-align: right; }
th { border-bottom: 2px solid #999; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
td.text, th.text { text-align: left; }
tbody tr:nth-child(even) { background: #f6f6f6; }
table.settings td { vertical-align: top; }
code { font-size: 12px; word-break: break-all; white-space: pre-wrap; }
@media print {
  body { max-width: none; margin: 0; font-size: 11px; }
  figure, tr { break-inside: avoid; } h2 { break-after: avoid; }
  .scroll { overflow: visible; } table { font-size: 9px; }
}`;

const LONG_ROWS = 30;

/** A report as one HTML file: nothing in it is fetched from anywhere, and nothing in it runs. */
export function reportPage(page: Page): string {
  const parts = [
    `<h1>${escapeText(page.title)}</h1>`,
    ...page.remarks.map((remark) => `<p>${escapeText(remark)}</p>`),
    ...page.tables.filter((table) => !isLong(table)).map(tableHtml),
    ...(page.figures.length > 0 ? ['<h2>Figures</h2>'] : []),
    ...page.figures.map((figure) => `<figure>${figure.svg.trim()}</figure>`),
    ...page.tables.filter(isLong).map(tableHtml),
    settingsHtml(page.settings),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeText(page.title)}</title>
<style>${STYLE}
</style>
</head>
<body>
${parts.filter(Boolean).join('\n')}
</body>
</html>
`;
}

/** Long tables stand behind the figures, so that these are found. */
function isLong(table: Table): boolean {
  return table.rows.length > LONG_ROWS;
}

function tableHtml(table: Table): string {
  const head = table.columns
    .map((column, c) => {
      const isText = table.rows.every((row) => isTextCell(row[c]));
      return `<th${isText ? ' class="text"' : ''}>${escapeText(column)}</th>`;
    })
    .join('');
  const rows = table.rows.map((row) => `<tr>${row.map(cellHtml).join('')}</tr>`);
  return `<h2>${escapeText(table.title)}</h2>
<div class="scroll"><table><thead><tr>${head}</tr></thead>
<tbody>${rows.join('\n')}</tbody></table></div>`;
}

function isTextCell(value: string | number | null | undefined): boolean {
  return typeof value === 'string' && !/^([-−+]?[\d.,]|$)/.test(value);
}

/** A number that cannot be told is null once it went through a file. */
function cellHtml(value: string | number | null): string {
  if (value === null || Number.isNaN(value)) return '<td>–</td>';
  if (typeof value === 'number') return `<td title="${value}">${shortNumber(value)}</td>`;
  return `<td${isTextCell(value) ? ' class="text"' : ''}>${escapeText(value)}</td>`;
}

function settingsHtml(settings: Page['settings']): string {
  if (settings.length === 0) return '';
  const rows = settings.map(
    ([name, value]) =>
      `<tr><td>${escapeText(name)}</td><td class="text"><code>${escapeText(value)}</code></td></tr>`,
  );
  return `<h2>How to repeat it: configuration</h2>
<table class="settings"><tbody>${rows.join('\n')}</tbody></table>`;
}
