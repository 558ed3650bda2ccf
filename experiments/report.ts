import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { NbosError } from '../core/errors.ts';
import { readJson } from '../traces/config-file.ts';
import { RUN_FILE } from '../traces/run-folder.ts';
import type { Figure } from './figures/index.ts';
import { ASSEMBLED, type AssembledReport, writePage } from './report-files.ts';
import { type LoadedRun, loadRun } from './run-data.ts';
import { headlineTable, runFigures } from './run-figures.ts';

/** File of a folder of compared runs: the subfolders in the order to show them, with labels. */
export const COMPARE_FILE = 'compare.json';

export interface ComparedFolders {
  readonly runs: readonly { readonly folder: string; readonly label: string }[];
  readonly remarks: readonly string[];
  readonly settings: readonly (readonly [name: string, value: string])[];
}

/**
 * Writes report.html and figures/*.svg into a run folder, a folder of run folders or that of an
 * experiment; returns their paths. Throws `run-incomplete`, `file-not-found`, `file-corrupt`,
 * `file-unwritable`.
 */
export async function writeReport(folder: string): Promise<string[]> {
  if (!existsSync(folder))
    throw new NbosError('file-not-found', `${folder}: no such folder`, 'Name a folder of results.');
  if (!statSync(folder).isDirectory())
    throw new NbosError(
      'file-not-found',
      `${folder} is a file; expected a folder of results`,
      'Name the folder that simulate, compare or experiment run wrote.',
    );
  if (existsSync(join(folder, RUN_FILE))) return writeRunsReport(folder, [await loadRun(folder)]);
  if (existsSync(join(folder, ASSEMBLED))) return rewriteAssembled(folder);
  return writeCompareReport(folder);
}

async function writeCompareReport(folder: string): Promise<string[]> {
  const file = join(folder, COMPARE_FILE);
  const told = existsSync(file) ? (readJson(file) as ComparedFolders) : undefined;
  const entries = told?.runs ?? runFoldersIn(folder).map((name) => ({ folder: name, label: name }));
  if (entries.length === 0)
    throw new NbosError(
      'run-incomplete',
      `${folder} holds neither a finished run, nor folders of runs, nor a finished experiment`,
      'Name the folder that simulate, compare or experiment run wrote; an experiment must be complete.',
    );
  const runs: LoadedRun[] = [];
  for (const { folder: name, label } of entries)
    runs.push(await loadRun(join(folder, name), label));
  return writeRunsReport(folder, runs, told);
}

function runFoldersIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => existsSync(join(folder, name, RUN_FILE)))
    .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

function rank(name: string): number {
  return name === 'reservation' ? 0 : 1;
}

function writeRunsReport(
  folder: string,
  runs: readonly LoadedRun[],
  told?: ComparedFolders,
): string[] {
  const first = runs[0]!;
  const trace = first.record['trace'] as { name?: string; hash?: string } | undefined;
  const policies = runs.map((run) => run.label).join(', ');
  return writePage(folder, {
    title: `${policies} on ${trace?.name ?? 'a trace'}`,
    remarks: told?.remarks ?? [],
    tables: [headlineTable(runs)],
    figures: runFigures(runs),
    settings: [
      ...(told?.settings ?? []),
      ['trace', `${trace?.name ?? ''} (SHA-256 ${trace?.hash ?? 'unknown'})`],
      ...runs.map((run): [string, string] => [
        `options of ${run.label}`,
        JSON.stringify(run.config),
      ]),
    ],
  });
}

function rewriteAssembled(folder: string): string[] {
  const report = readJson(join(folder, ASSEMBLED)) as AssembledReport;
  const figures = report.figures.map(
    ({ name, title }): Figure => ({
      name,
      title,
      svg: readFileSync(join(folder, 'figures', `${name}.svg`), 'utf8'),
    }),
  );
  return writePage(folder, { ...report, figures });
}
