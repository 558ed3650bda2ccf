import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { NbosError } from '../../core/errors.ts';
import { TraceBuilder } from '../build.ts';
import { readColumnsFile } from '../columns-file.ts';
import { joinProgress, type OnProgress, readBytes } from '../input-file.ts';
import {
  CELLS_FILE,
  COLUMNS_FILE,
  type FileSum,
  HEADER_FILE,
  NATIVE_CELL_COLUMNS,
  NATIVE_SESSION_COLUMNS,
  type NativeHeader,
  readNativeHeader,
  SESSIONS_FILE,
  tablePath,
} from '../native-header.ts';
import type { NoteList } from '../notes.ts';
import { readTable } from '../table.ts';
import type { TableRow } from '../table-row.ts';
import type { Trace } from '../trace.ts';
import { noteIgnored, rowShape } from './fields.ts';
import type { ImportContext, Imported, Importer } from './importer.ts';

const TABLES = [SESSIONS_FILE, CELLS_FILE] as const;
const MOST_INDEX = 0xfffffffe;

/** A native folder, from its binary columns when they are those of the CSV files, else from these. */
async function read(context: ImportContext): Promise<Imported> {
  const header = readNativeHeader(context.path);
  const seed = header.seed ?? undefined;
  const quick = await readBinary(context, header);
  if (quick !== undefined) return { trace: quick, seed };
  return { trace: await readNativeTables(context, header), seed };
}

function labels(context: ImportContext, header: NativeHeader) {
  const { name = context.name, source = context.source, licence = context.licence } = header;
  return { name, source, licence };
}

/** The binary columns, or undefined with a note when they are missing or not to be trusted. */
async function readBinary(
  context: ImportContext,
  header: NativeHeader,
): Promise<Trace | undefined> {
  const path = join(context.path, COLUMNS_FILE);
  if (header.hash === undefined || !existsSync(path)) return undefined;
  if (!(await tablesUnchanged(context.path, header, statSync(path).mtimeMs))) return undefined;
  const unused = (why: string): undefined => {
    const message = `the binary columns were not used, which is slower: ${why}`;
    context.notes.add('columns-file-unused', message, path);
  };
  try {
    const columns = readColumnsFile(path, context.onProgress);
    if (columns.hash !== header.hash) return unused('they are not those of trace.json');
    return { ...labels(context, header), ...columns };
  } catch (error) {
    if (!(error instanceof NbosError)) throw error;
    return unused(error.message);
  }
}

/**
 * Whether the CSV files are those that trace.json describes. Their content is read only when they
 * are younger than the binary columns, which a copy of the folder can cause as well as an edit.
 */
async function tablesUnchanged(
  folder: string,
  header: NativeHeader,
  writtenMs: number,
): Promise<boolean> {
  for (const name of TABLES) {
    const path = join(folder, name);
    const expected = header.files?.[name];
    const stat = statSync(path, { throwIfNoEntry: false });
    if (expected === undefined || stat === undefined || stat.size !== expected.bytes) return false;
    if (stat.mtimeMs > writtenMs && (await fileSum(path)).sha256 !== expected.sha256) return false;
  }
  return true;
}

/** Size and SHA-256 of an unpacked file. @throws NbosError as `readBytes` */
export async function fileSum(path: string, onProgress?: OnProgress): Promise<FileSum> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of readBytes(path, onProgress)) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { bytes, sha256: hash.digest('hex') };
}

/**
 * Reads the two CSV files and compares them with the counts, sums and hash of trace.json, as far as
 * it has them.
 * @throws NbosError file-corrupt where they differ, and as `readTable`
 */
export async function readNativeTables(
  context: ImportContext,
  header: NativeHeader,
): Promise<Trace> {
  const builder = new TraceBuilder();
  const paths = TABLES.map((name) => tablePath(context.path, name));
  const progress = joinProgress(paths, context.onProgress);
  const [sessionsPath, cellsPath] = paths as [string, string];
  const sums = [createHash('sha256'), createHash('sha256')] as const;
  const sessions = await readTable(
    sessionsPath,
    { required: NATIVE_SESSION_COLUMNS },
    (row) => readSession(row, builder, context.notes),
    progress(sessionsPath),
    (bytes) => sums[0].update(bytes),
  );
  const readCell = cellReader(builder, context.notes);
  const cells = await readTable(
    cellsPath,
    { required: NATIVE_CELL_COLUMNS },
    readCell,
    progress(cellsPath),
    (bytes) => sums[1].update(bytes),
  );
  noteIgnored(sessions, context.notes, sessionsPath);
  noteIgnored(cells, context.notes, cellsPath);
  TABLES.forEach((name, i) => {
    const expected = header.files?.[name]?.sha256;
    if (expected !== undefined && sums[i]!.digest('hex') !== expected)
      differs(paths[i]!, 'its checksum');
  });
  const { counts } = header;
  if (counts && counts.sessions !== builder.sessionCount) differs(sessionsPath, 'its row count');
  if (counts && counts.cells !== builder.cellCount) differs(cellsPath, 'its row count');
  const endMs = header.end_ms ?? 0;
  const trace = builder.build({ ...labels(context, header), endMs });
  if (header.hash !== undefined && header.hash !== trace.hash)
    differs(join(context.path, HEADER_FILE), 'the hash of the columns');
  return trace;
}

function differs(path: string, what: string): never {
  throw new NbosError(
    'file-corrupt',
    `${path}: ${what} is not that of ${HEADER_FILE}`,
    `Get the folder again; if the edit was meant, remove "hash", "files" and "counts" from ${HEADER_FILE}.`,
  );
}

function readSession(row: TableRow, builder: TraceBuilder, notes: NoteList): void {
  const id = row.text(0);
  if (id === '') row.fail(0, 'an id');
  if (builder.sessionOf(id) !== undefined)
    throw new NbosError(
      'trace-duplicate',
      `${row.where(0)}: session "${id}" exists twice`,
      'Keep one of the two rows.',
    );
  const startMs = row.integer(1);
  const endMs = row.integer(2);
  if (endMs < startMs) row.fail(2, `a time not before start_ms (${startMs})`);
  // Without GPUs of its own a session needs the maximum over its cells.
  const shape = row.isEmpty(5) ? undefined : rowShape(row, 3, notes);
  const gpuType = row.text(7);
  const user = row.text(8);
  builder.addSession({ id, startMs, endMs, gpuType, user, ...(shape ? { shape } : {}) });
}

/** Reads rows whose first columns are those of a native cells.csv; the last four may be absent. */
export function cellReader(builder: TraceBuilder, notes: NoteList): (row: TableRow) => void {
  const lastIndex = new Map<number, number>();
  const lastSubmit = new Map<number, number>();
  return (row: TableRow) => {
    const id = row.text(0);
    const session = builder.sessionOf(id);
    if (session === undefined) row.fail(0, 'a session of sessions.csv');
    const index = row.integer(1, 0, MOST_INDEX);
    const submitMs = row.integer(2);
    const before = lastIndex.get(session) ?? -1;
    const previous = lastSubmit.get(session) ?? builder.sessionStart(session);
    if (index === before)
      throw new NbosError(
        'trace-duplicate',
        `${row.where(1)}: cell ${index} of session "${id}" exists twice`,
        'Keep one of the two rows.',
      );
    if (index > before && submitMs < previous)
      throw new NbosError(
        'trace-order',
        `${row.where(2)}: cell ${index} of session "${id}" is submitted at ${submitMs} ms, before ${
          before < 0 ? 'the session opens' : `cell ${before}`
        } at ${previous} ms`,
        'Correct the times or the cell indexes.',
      );
    if (index > before) {
      lastIndex.set(session, index);
      lastSubmit.set(session, submitMs);
    }
    const model = row.isEmpty(9) ? '' : row.text(9);
    const dataset = row.isEmpty(10) ? '' : row.text(10);
    builder.addCell({
      session,
      index,
      submitMs,
      durationMs: row.integer(3),
      shape: rowShape(row, 4, notes),
      utilizationPct: row.isEmpty(8) ? 255 : row.integer(8, 0, 100),
      model,
      dataset,
      stateBytes: row.isEmpty(11) ? -1 : row.integer(11),
    });
  };
}

export const native: Importer = {
  format: 'native',
  title: 'a folder with trace.json, sessions.csv and cells.csv',
  tellingColumns: [],
  tellingFile: HEADER_FILE,
  read,
};
