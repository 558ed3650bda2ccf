import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder, writeWholeFile } from '../traces/output-file.ts';
import { type Page, reportPage } from './report-page.ts';

/** Written with the report of an experiment: what its page shows, figures by name. */
export const ASSEMBLED = 'report.json';

export interface AssembledReport extends Omit<Page, 'figures'> {
  readonly figures: readonly { readonly name: string; readonly title: string }[];
}

/** Writes figures/*.svg and report.html, the page last; returns their paths. */
export function writePage(folder: string, page: Page): string[] {
  const figures = join(folder, 'figures');
  makeFolder(figures);
  const files: string[] = [];
  for (const figure of page.figures) {
    const path = join(figures, `${figure.name}.svg`);
    writeWholeFile(path, figure.svg);
    files.push(path);
  }
  const kept = new Set(page.figures.map((figure) => `${figure.name}.svg`));
  for (const name of readdirSync(figures)) {
    if (name.endsWith('.svg') && !kept.has(name)) rmSync(join(figures, name), { force: true });
  }
  const path = join(folder, 'report.html');
  writeWholeFile(path, reportPage(page));
  return [...files, path];
}
