import { readFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { assert } from '../core/errors.ts';
import { REPORTS, type ReportName } from '../core/record/columns.ts';
import { writeWholeFile } from '../traces/output-file.ts';

const START = '<!-- columns: written by `node dist/experiments/columns-doc.js` -->';
const END = '<!-- end of columns -->';

/** The tables of every report's columns, as Markdown. */
export function columnTables(): string {
  return (Object.keys(REPORTS) as ReportName[])
    .map((report) => {
      const rows = REPORTS[report].map(
        ({ name, kind, meaning }) =>
          `| \`${name}\` | ${kind} | ${meaning.replaceAll('|', '\\|')} |`,
      );
      return `### ${report}\n\n| column | kind | meaning |\n|---|---|---|\n${rows.join('\n')}\n`;
    })
    .join('\n');
}

/** `text` with the tables between its markers written anew. */
export function withColumnTables(text: string): string {
  const from = text.indexOf(START);
  const to = text.indexOf(END);
  assert(from >= 0 && to > from, `README.md has the markers ${START} … ${END}`);
  return `${text.slice(0, from + START.length)}\n\n${columnTables()}\n${text.slice(to)}`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  // Beside this file in a checkout; a build lies two folders below it.
  const up = import.meta.url.endsWith('.ts') ? './README.md' : '../../experiments/README.md';
  const path = fileURLToPath(new URL(up, import.meta.url));
  writeWholeFile(path, withColumnTables(readFileSync(path, 'utf8')));
}
