import { readFileSync } from 'node:fs';
import { NbosError } from '../../core/errors.ts';
import { writeWholeFile } from '../../traces/output-file.ts';
import type { CellRecord } from '../admin-types.ts';

export interface CellWithOutputs extends CellRecord {
  /** in nbformat */
  outputs: readonly unknown[];
}

interface NotebookCell {
  cell_type: string;
  id?: string;
  source: string | string[];
  execution_count?: number | null;
  outputs?: unknown[];
}

/**
 * Writes outputs of a kernel's cells into the cells of a notebook file that sent them: found by the
 * cell's id, else by its source, else by its execution count. The file is replaced as a whole.
 * @throws NbosError file-not-found, file-corrupt, file-unwritable
 */
export function insertOutputs(
  path: string,
  cells: readonly CellWithOutputs[],
): { filled: number; missed: number } {
  const { notebook, indent } = readNotebook(path);
  const code = notebook.cells.filter((cell) => cell.cell_type === 'code');
  const filled = new Set<NotebookCell>();
  let missed = 0;
  for (const cell of cells) {
    const at = placeOf(code, cell, filled);
    if (at === undefined) {
      missed++;
      continue;
    }
    at.outputs = [...cell.outputs];
    at.execution_count = cell.count === 0 ? null : cell.count;
    filled.add(at);
  }
  if (filled.size > 0) writeWholeFile(path, `${JSON.stringify(notebook, null, indent)}\n`);
  return { filled: filled.size, missed };
}

function placeOf(
  code: readonly NotebookCell[],
  cell: CellWithOutputs,
  filled: ReadonlySet<NotebookCell>,
): NotebookCell | undefined {
  const byId = cell.cellId ? code.find(({ id }) => id === cell.cellId) : undefined;
  if (byId !== undefined) return byId;
  if (cell.code !== undefined) {
    const same = code.filter((each) => sourceOf(each) === cell.code);
    // A notebook may hold the same source twice: then they ran one after the other.
    return same.find((each) => !filled.has(each)) ?? same.at(-1);
  }
  return cell.count === 0 ? undefined : code.find((each) => each.execution_count === cell.count);
}

function sourceOf({ source }: NotebookCell): string {
  return Array.isArray(source) ? source.join('') : source;
}

function readNotebook(path: string): {
  notebook: { cells: NotebookCell[] };
  indent: number;
} {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    throw new NbosError('file-not-found', `${path}: no such notebook`, 'Name an .ipynb file.');
  }
  const corrupt = new NbosError(
    'file-corrupt',
    `${path} is not a notebook of nbformat 4`,
    'Save it from Jupyter first.',
  );
  let notebook: { nbformat?: unknown; cells?: unknown };
  try {
    notebook = JSON.parse(text) as typeof notebook;
  } catch {
    throw corrupt;
  }
  if (notebook?.nbformat !== 4 || !Array.isArray(notebook.cells)) throw corrupt;
  const indent = /^\{\n( +)/.exec(text)?.[1]?.length ?? 1;
  return { notebook: notebook as { cells: NotebookCell[] }, indent };
}
