import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { NbosError } from '../core/errors.ts';
import { REPORTS, type ReportName } from '../core/record/columns.ts';
import { CsvWriter } from './csv.ts';
import { floats } from './growable.ts';
import { kindOf, type OnProgress } from './input-file.ts';
import { tablePath } from './native-header.ts';
import { makeFolder, unwritable, writeWholeFile } from './output-file.ts';
import { readTable } from './table.ts';

/** Written last: a folder without it is a run that did not finish. */
export const RUN_FILE = 'run.json';
export const RUN_FORMAT = 'nbos-run';
export const RUN_VERSION = 1;

/** What run.json holds: the format's own members and whatever the run told. */
export interface RunRecord {
  readonly format: typeof RUN_FORMAT;
  readonly version: number;
  readonly [member: string]: unknown;
}

export interface CreateOptions {
  /** take the place of a finished run of that name */
  readonly replace?: boolean;
}

/**
 * A run folder being written. Each report appears under its name when its writer is closed,
 * run.json when `finish` is called; until then the folder is not a run, and creating it again
 * starts afresh.
 */
export class RunFolder {
  readonly path: string;
  readonly #open: CsvWriter[] = [];
  readonly #isNew: boolean;

  private constructor(path: string, isNew: boolean) {
    this.path = path;
    this.#isNew = isNew;
  }

  /**
   * Creates the folder, or clears what an unfinished run left in it.
   * @throws NbosError file-exists for a finished run without `replace`, and for a folder that holds
   * anything else; file-unwritable
   */
  static create(path: string, options: CreateOptions = {}): RunFolder {
    const isNew = !existsSync(path);
    makeFolder(path);
    const names = readdirSync(path);
    const foreign = names.find((name) => !isOfRun(name));
    if (foreign !== undefined)
      throw new NbosError(
        'file-exists',
        `${path} holds "${foreign}", which is no part of a run`,
        'Name a folder of its own for the run.',
      );
    if (names.includes(RUN_FILE) && options.replace !== true)
      throw new NbosError(
        'file-exists',
        `${path} holds a finished run`,
        'Name another folder, or remove this one first.',
      );
    try {
      // run.json first: from here on the folder is no finished run.
      rmSync(join(path, RUN_FILE), { force: true });
      for (const name of names) rmSync(join(path, name), { recursive: true, force: true });
    } catch (error) {
      throw unwritable(path, error);
    }
    return new RunFolder(path, isNew);
  }

  /** A writer with the columns of that report. @throws NbosError file-unwritable */
  csv(name: ReportName): CsvWriter {
    const writer = CsvWriter.open(join(this.path, name), REPORTS[name]);
    this.#open.push(writer);
    return writer;
  }

  /** Writes another file of the run, whole. @throws NbosError file-unwritable */
  write(name: string, content: string | Uint8Array): void {
    writeWholeFile(join(this.path, name), content);
  }

  /** Writes run.json: the run is complete. Close all writers before. */
  finish(run: Readonly<Record<string, unknown>>): void {
    const record: RunRecord = { format: RUN_FORMAT, version: RUN_VERSION, ...run };
    writeWholeFile(join(this.path, RUN_FILE), `${JSON.stringify(record, null, 2)}\n`);
  }

  /** Removes the temporaries of writers that were not closed, and the folder where it was new. */
  abort(): void {
    for (const writer of this.#open) writer.abort();
    if (!this.#isNew) return;
    try {
      rmdirSync(this.path);
    } catch {
      // Whole reports are in it: they stay, and without run.json they are no run.
    }
  }
}

const OTHER_FILES = new Set([RUN_FILE, 'report.html', 'journal.ndjson', 'figures']);

function isOfRun(name: string): boolean {
  const base = name.replace(/\.tmp-\d+-\d+$/, '');
  return base in REPORTS || OTHER_FILES.has(base);
}

/**
 * Reads run.json of a run folder.
 * @throws NbosError file-not-found, run-incomplete, file-corrupt, format-version
 */
export function readRun(path: string): RunRecord {
  if (kindOf(path) !== 'folder')
    throw new NbosError('file-not-found', `${path} is not a folder`, 'Name a run folder.');
  const file = join(path, RUN_FILE);
  if (!existsSync(file))
    throw new NbosError(
      'run-incomplete',
      `${path} has no ${RUN_FILE}: the run did not finish`,
      'Run it again.',
    );
  let run: unknown;
  try {
    run = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new NbosError(
      'file-corrupt',
      `${file} cannot be read: ${(error as Error).message}`,
      'Run it again.',
    );
  }
  const { format, version } = (run ?? {}) as Partial<RunRecord>;
  if (format !== RUN_FORMAT || typeof version !== 'number')
    throw new NbosError('file-corrupt', `${file} is not that of a run`, 'Check the path.');
  if (version > RUN_VERSION)
    throw new NbosError(
      'format-version',
      `${file}: version ${version}; this program reads up to ${RUN_VERSION}`,
      'Update NotebookOS.',
    );
  return run as RunRecord;
}

/** A report read back, as columns of equal length. */
export class ReportTable {
  readonly rows: number;
  readonly #numbers: ReadonlyMap<string, Float64Array>;
  readonly #texts: ReadonlyMap<string, readonly string[]>;

  constructor(
    rows: number,
    numbers: ReadonlyMap<string, Float64Array>,
    texts: ReadonlyMap<string, readonly string[]>,
  ) {
    this.rows = rows;
    this.#numbers = numbers;
    this.#texts = texts;
  }

  /** A column of numbers; NaN where the field is empty. */
  numbers(column: string): Float64Array {
    const values = this.#numbers.get(column);
    if (values === undefined) throw new RangeError(`column ${column} was not read as numbers`);
    return values;
  }

  texts(column: string): readonly string[] {
    const values = this.#texts.get(column);
    if (values === undefined) throw new RangeError(`column ${column} was not read as text`);
    return values;
  }
}

/**
 * Reads a report (packed or not) of a run folder as columns; only those named, when any are.
 * @throws NbosError file-not-found, trace-bad-header, trace-bad-value
 */
export async function readReport(
  folder: string,
  name: ReportName,
  only?: readonly string[],
  onProgress?: OnProgress,
): Promise<ReportTable> {
  const columns = REPORTS[name].filter((column) => only?.includes(column.name) ?? true);
  const numbers = columns.map((column) => (column.kind === 'text' ? undefined : floats()));
  const texts = columns.map((column) => (column.kind === 'text' ? ([] as string[]) : undefined));
  // Equal texts share one string: a report repeats few of them many times.
  const interned = new Map<string, string>();
  const { rows } = await readTable(
    tablePath(folder, name),
    { required: columns.map((column) => column.name) },
    (row) => {
      for (let c = 0; c < columns.length; c++) {
        const list = texts[c];
        if (list === undefined) {
          numbers[c]!.push(row.isEmpty(c) ? Number.NaN : row.number(c));
          continue;
        }
        const text = row.text(c);
        const known = interned.get(text);
        if (known === undefined) interned.set(text, text);
        list.push(known ?? text);
      }
    },
    onProgress,
  );
  const numberColumns = new Map<string, Float64Array>();
  const textColumns = new Map<string, readonly string[]>();
  columns.forEach((column, c) => {
    if (texts[c] === undefined) numberColumns.set(column.name, numbers[c]!.take());
    else textColumns.set(column.name, texts[c]!);
  });
  return new ReportTable(rows, numberColumns, textColumns);
}
