import { join } from 'node:path';
import { SUMMARY_COLUMNS } from '../core/record/columns.ts';
import { CsvWriter } from '../traces/csv.ts';
import { writeWholeFile } from '../traces/output-file.ts';
import { concludeByGroups } from './conclude.ts';
import type { PlannedPoint } from './plan.ts';
import { ASSEMBLED, type AssembledReport, writePage } from './report-files.ts';
import type { Page } from './report-page.ts';
import type { ResultStore } from './store.ts';
import {
  PARAMETER_COLUMNS,
  parametersOf,
  type ResultRow,
  type Study,
  type Table,
} from './study.ts';

/**
 * Writes results.csv (one row a run, in matrix order), the tables of the experiment as CSV, figures
 * and report.html from stored results alone. Each file appears whole; writing them twice, or from
 * two processes at once, changes nothing.
 */
export async function assemble(
  study: Study,
  points: readonly PlannedPoint[],
  store: ResultStore,
  out: string,
): Promise<{ files: string[]; remarks: readonly string[] }> {
  const rows = points.map(({ run, ...point }): ResultRow => {
    const { summary, timings } = store.read(run.key);
    return { ...point, key: run.key, summary, timings, folder: store.folder(run.key) };
  });
  const files = [writeResults(join(out, 'results.csv'), rows)];
  const conclude = study.conclude ?? concludeByGroups;
  const { tables, figures, remarks, lines = [] } = await conclude(rows);
  for (const table of tables) files.push(writeTable(out, table));
  const page: Page = {
    title: study.title,
    remarks,
    tables,
    figures,
    settings: [
      ['command', study.command],
      ...study.matrices.map((m): [string, string] => [`experiment ${m.name}`, JSON.stringify(m)]),
    ],
  };
  const report: AssembledReport = {
    ...page,
    figures: figures.map(({ name, title }) => ({ name, title })),
  };
  writeWholeFile(join(out, ASSEMBLED), `${JSON.stringify(report)}\n`);
  files.push(...writePage(out, page));
  return { files, remarks: [...lines, ...remarks] };
}

function writeResults(path: string, rows: readonly ResultRow[]): string {
  const columns = SUMMARY_COLUMNS.filter(({ name }) => name !== 'seed').map(({ name }) => name);
  const csv = CsvWriter.open(path, ['run', ...PARAMETER_COLUMNS, ...columns]);
  for (const row of rows) {
    const values = columns.map((name) => csvValue(row.summary[name]));
    csv.row([row.key, ...parametersOf(row), ...values]);
  }
  csv.close();
  return path;
}

/** A result that is not a number (a percentile of no cells) is an empty field. */
function csvValue(value: string | number | undefined | null): string | number {
  return typeof value === 'number' && !Number.isFinite(value) ? '' : (value ?? '');
}

function writeTable(out: string, table: Table): string {
  const path = join(out, `${table.name}.csv`);
  const csv = CsvWriter.open(path, table.columns);
  for (const row of table.rows) csv.row(row.map(csvValue));
  csv.close();
  return path;
}
