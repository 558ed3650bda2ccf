import { createHash } from 'node:crypto';
import { existsSync, readdirSync, renameSync, rmSync, type Stats, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { NbosError } from '../core/errors.ts';
import { columnsFileParts } from './columns-file.ts';
import { CsvWriter } from './csv.ts';
import {
  CELLS_FILE,
  COLUMNS_FILE,
  type FileSum,
  HEADER_FILE,
  NATIVE_CELL_COLUMNS,
  NATIVE_FORMAT,
  NATIVE_SESSION_COLUMNS,
  NATIVE_VERSION,
  type NativeHeader,
  SESSIONS_FILE,
} from './native-header.ts';
import {
  makeFolder,
  OutputFile,
  temporaryName,
  unwritable,
  writeWholeFile,
} from './output-file.ts';
import type { Trace } from './trace.ts';

const RADIX_BITS = 16;
const RADIX = 1 << RADIX_BITS;
const MILLIS_PER_GPU = 1_000;
const NO_UTILIZATION = 255;

export interface WriteOptions {
  /** seed that the trace was made with */
  readonly seed?: number | undefined;
  /** take the place of a trace folder of that name */
  readonly replace?: boolean;
}

/**
 * Writes a trace as a native folder: trace.json, sessions.csv, cells.csv, and the same columns in
 * binary for fast loading. The folder appears whole or not at all. Equal traces give equal bytes.
 * @throws NbosError file-exists, file-unwritable
 */
export function writeNativeTrace(trace: Trace, path: string, options: WriteOptions = {}): void {
  const target = resolve(path);
  refuseOccupied(path, target, options.replace === true);
  const folder = temporaryName(target);
  try {
    makeFolder(folder);
    const sessions = writeTable(folder, SESSIONS_FILE, NATIVE_SESSION_COLUMNS, (csv) =>
      writeSessions(trace, csv),
    );
    const cells = writeTable(folder, CELLS_FILE, NATIVE_CELL_COLUMNS, (csv) =>
      writeCells(trace, csv),
    );
    writeColumns(trace, join(folder, COLUMNS_FILE));
    const header: Required<NativeHeader> = {
      format: NATIVE_FORMAT,
      version: NATIVE_VERSION,
      name: trace.name,
      source: trace.source,
      licence: trace.licence,
      time_unit: 'ms',
      seed: options.seed ?? null,
      end_ms: trace.endMs,
      counts: { sessions: trace.sessions.count, cells: trace.cells.count },
      hash: trace.hash,
      files: { [SESSIONS_FILE]: sessions, [CELLS_FILE]: cells },
    };
    writeWholeFile(join(folder, HEADER_FILE), `${JSON.stringify(header, null, 2)}\n`);
    moveIntoPlace(folder, target);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw unwritable(path, error);
  }
}

function refuseOccupied(path: string, target: string, replace: boolean): void {
  let stat: Stats | undefined;
  try {
    stat = statSync(target, { throwIfNoEntry: false });
  } catch (error) {
    throw unwritable(path, error);
  }
  if (stat === undefined) return;
  if (!stat.isDirectory())
    throw new NbosError('file-exists', `${path} is a file`, 'Name a folder that is not there yet.');
  if (readdirSync(target).length === 0) return;
  const isTrace = existsSync(join(target, HEADER_FILE));
  if (!isTrace || !replace)
    throw new NbosError(
      'file-exists',
      `${path} exists and ${isTrace ? 'holds a trace' : 'is no trace folder'}`,
      'Name another folder, or remove this one first.',
    );
}

/** Replaces what is there; the old folder steps aside first, so that there is never half of each. */
function moveIntoPlace(folder: string, target: string): void {
  const old = temporaryName(target);
  const existed = existsSync(target);
  if (existed) renameSync(target, old);
  try {
    renameSync(folder, target);
  } catch (error) {
    if (existed) renameSync(old, target);
    throw error;
  }
  if (existed) rmSync(old, { recursive: true, force: true });
}

function writeTable(
  folder: string,
  name: string,
  columns: readonly string[],
  write: (csv: CsvWriter) => void,
): FileSum {
  const hash = createHash('sha256');
  const csv = CsvWriter.open(join(folder, name), columns, (bytes) => hash.update(bytes));
  try {
    write(csv);
    csv.close();
  } catch (error) {
    csv.abort();
    throw error;
  }
  return { bytes: statSync(join(folder, name)).size, sha256: hash.digest('hex') };
}

function writeSessions({ sessions, shapes, gpuTypes, users }: Trace, csv: CsvWriter): void {
  for (let s = 0; s < sessions.count; s++) {
    const shape = shapes[sessions.shape[s]!]!;
    csv.row([
      sessions.ids[s]!,
      sessions.startMs[s]!,
      sessions.endMs[s]!,
      shape.cpuMillis,
      shape.memoryMb,
      shape.gpuMillis / MILLIS_PER_GPU,
      shape.vramMb,
      gpuTypes[sessions.gpuType[s]!]!,
      users[sessions.user[s]!]!,
    ]);
  }
}

function writeCells(trace: Trace, csv: CsvWriter): void {
  const { sessions, cells, shapes, models, datasets } = trace;
  const owner = new Uint32Array(cells.count);
  for (let s = 0; s < sessions.count; s++)
    owner.fill(s, sessions.firstCell[s]!, sessions.firstCell[s + 1]!);
  for (const c of cellsBySubmission(trace)) {
    const s = owner[c]!;
    const shape = shapes[cells.shape[c]!]!;
    const utilization = cells.utilizationPct[c]!;
    const stateBytes = cells.stateBytes[c]!;
    csv.row([
      sessions.ids[s]!,
      c - sessions.firstCell[s]!,
      cells.submitMs[c]!,
      cells.durationMs[c]!,
      shape.cpuMillis,
      shape.memoryMb,
      shape.gpuMillis / MILLIS_PER_GPU,
      shape.vramMb,
      utilization === NO_UTILIZATION ? '' : utilization,
      models[cells.model[c]!]!,
      datasets[cells.dataset[c]!]!,
      stateBytes < 0 ? '' : stateBytes,
    ]);
  }
}

/** Cells in the order (submission, session id, index): a stable radix sort, linear in their number. */
function cellsBySubmission({ sessions, cells }: Trace): Uint32Array {
  const byId = Uint32Array.from(sessions.ids.keys());
  byId.sort((a, b) => (sessions.ids[a]! < sessions.ids[b]! ? -1 : 1));
  let order = new Uint32Array(cells.count);
  let used = 0;
  for (const s of byId) {
    for (let c = sessions.firstCell[s]!; c < sessions.firstCell[s + 1]!; c++) order[used++] = c;
  }
  const last = cells.submitMs.reduce((most, ms) => Math.max(most, ms), 0);
  let other = new Uint32Array(cells.count);
  for (let unit = 1; unit <= last; unit *= RADIX) {
    const next = new Uint32Array(RADIX + 1);
    const digit = (c: number) => Math.floor(cells.submitMs[c]! / unit) % RADIX;
    for (const c of order) next[digit(c) + 1]!++;
    for (let d = 0; d < RADIX; d++) next[d + 1]! += next[d]!;
    for (const c of order) other[next[digit(c)]!++] = c;
    [order, other] = [other, order];
  }
  return order;
}

function writeColumns(trace: Trace, path: string): void {
  const file = new OutputFile(path);
  try {
    for (const part of columnsFileParts(trace)) file.write(part);
    file.close();
  } catch (error) {
    file.abort();
    throw error;
  }
}
