import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { TraceBuilder } from '../build.ts';
import { joinProgress, kindOf } from '../input-file.ts';
import { CELLS_FILE, NATIVE_CELL_COLUMNS, SESSIONS_FILE, tablePath } from '../native-header.ts';
import { RUN_FILE, readRun } from '../run-folder.ts';
import { readTable } from '../table.ts';
import type { TableRow } from '../table-row.ts';
import type { ImportContext, Imported, Importer } from './importer.ts';
import { cellReader } from './native.ts';

const CELL_COLUMNS = NATIVE_CELL_COLUMNS.slice(0, 8);
const CELL_OPTIONAL = NATIVE_CELL_COLUMNS.slice(8);
const SESSION_COLUMNS = ['session_id', 'start_ms', 'end_ms', 'user_id'] as const;

/**
 * A finished run as a trace: its cells.csv with the submissions as they fell in that run, and the
 * session times of the sessions.csv beside it. A cells.csv alone does too: its sessions open and
 * close with their cells, padded by --start-pad and --end-pad.
 */
async function read(context: ImportContext): Promise<Imported> {
  const folder = kindOf(context.path) === 'folder';
  if (folder) readRun(context.path);
  const cellsPath = folder ? tablePath(context.path, CELLS_FILE) : context.path;
  const sessionsPath = tablePath(folder ? context.path : dirname(context.path), SESSIONS_FILE);
  const ofRun = folder || existsSync(join(dirname(context.path), RUN_FILE));
  const builder = new TraceBuilder();
  const progress = joinProgress([sessionsPath, cellsPath], context.onProgress);
  const withSessions = ofRun && existsSync(sessionsPath);
  const open = new Set<number>();
  if (withSessions) {
    await readTable(
      sessionsPath,
      { required: SESSION_COLUMNS },
      (row) => readSession(row, builder, open),
      progress(sessionsPath),
    );
  } else {
    context.notes.add(
      'session-times-derived',
      'session times are not given: each opens and closes with its cells, padded',
      cellsPath,
    );
  }
  await readCells(context, builder, cellsPath, withSessions ? open : undefined);
  const { source, licence } = context;
  const name = folder ? basename(context.path) : context.name;
  return { trace: builder.build({ name, source, licence, rebase: !withSessions }) };
}

function readSession(row: TableRow, builder: TraceBuilder, open: Set<number>): void {
  const id = row.text(0);
  if (id === '') row.fail(0, 'an id');
  const startMs = row.integer(1);
  const stillOpen = row.isEmpty(2);
  const endMs = stillOpen ? startMs : row.integer(2);
  const session = builder.addSession({ id, startMs, endMs, user: row.text(3) });
  if (stillOpen) open.add(session);
}

/** @param open sessions whose end follows from their cells; undefined when no session is known yet */
async function readCells(
  context: ImportContext,
  builder: TraceBuilder,
  path: string,
  open: Set<number> | undefined,
): Promise<void> {
  const { notes, options, onProgress } = context;
  const addCell = cellReader(builder, notes);
  const ends = new Map<number, number>();
  await readTable(
    path,
    { required: CELL_COLUMNS, optional: CELL_OPTIONAL },
    (row) => {
      const id = row.text(0);
      if (open === undefined) {
        const startMs = row.integer(2) - options.startPadMs;
        const known = builder.sessionOf(id);
        if (known === undefined) builder.addSession({ id, startMs, endMs: startMs });
        else if (startMs < builder.sessionStart(known)) builder.setSessionStart(known, startMs);
      }
      addCell(row);
      const session = builder.sessionOf(id)!;
      if (open !== undefined && !open.has(session)) return;
      const endMs = row.integer(2) + row.integer(3);
      if (endMs > (ends.get(session) ?? -1)) ends.set(session, endMs);
    },
    onProgress,
  );
  for (const [session, endMs] of ends)
    builder.setSessionEnd(session, endMs + (open === undefined ? options.endPadMs : 0));
}

export const run: Importer = {
  format: 'run',
  title: 'a run folder, or its cells.csv',
  tellingColumns: CELL_COLUMNS,
  tellingFile: RUN_FILE,
  read,
};
