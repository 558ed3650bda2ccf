import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { NbosError } from '../core/errors.ts';

export const NATIVE_FORMAT = 'nbos-trace';
export const NATIVE_VERSION = 1;
export const HEADER_FILE = 'trace.json';
export const SESSIONS_FILE = 'sessions.csv';
export const CELLS_FILE = 'cells.csv';
export const COLUMNS_FILE = 'columns.bin';

export const NATIVE_SESSION_COLUMNS = [
  'session_id',
  'start_ms',
  'end_ms',
  'cpu_millis',
  'memory_mb',
  'gpus',
  'vram_mb',
  'gpu_type',
  'user_id',
] as const;

export const NATIVE_CELL_COLUMNS = [
  'session_id',
  'cell_index',
  'submit_ms',
  'duration_ms',
  'cpu_millis',
  'memory_mb',
  'gpus',
  'vram_mb',
  'gpu_utilization_pct',
  'model',
  'dataset',
  'state_bytes',
] as const;

export interface FileSum {
  readonly bytes: number;
  readonly sha256: string;
}

/** trace.json. What a hand-written one may leave out is optional. */
export interface NativeHeader {
  readonly format: typeof NATIVE_FORMAT;
  readonly version: number;
  readonly name?: string;
  readonly source?: string;
  readonly licence?: string;
  readonly time_unit?: 'ms';
  readonly seed?: number | null;
  readonly end_ms?: number;
  readonly counts?: { readonly sessions: number; readonly cells: number };
  /** `hash` of the trace: SHA-256 over its columns */
  readonly hash?: string;
  readonly files?: Partial<Readonly<Record<typeof SESSIONS_FILE | typeof CELLS_FILE, FileSum>>>;
}

/** A table of the folder, packed or not. */
export function tablePath(folder: string, name: string): string {
  const plain = join(folder, name);
  const packed = `${plain}.gz`;
  return !existsSync(plain) && existsSync(packed) ? packed : plain;
}

/**
 * Reads and checks trace.json of a folder.
 * @throws NbosError file-not-found, file-corrupt, format-version, trace-bad-value
 */
export function readNativeHeader(folder: string): NativeHeader {
  const path = join(folder, HEADER_FILE);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    throw new NbosError(
      'file-not-found',
      `${path} cannot be read`,
      'A trace folder holds trace.json, sessions.csv and cells.csv.',
    );
  }
  const header = parseHeader(path, text);
  if (header['format'] !== NATIVE_FORMAT)
    refuse(path, 'format', header['format'], `"${NATIVE_FORMAT}"`);
  const version = header['version'];
  if (typeof version !== 'number' || version < 1) refuse(path, 'version', version, 'a version');
  if (version > NATIVE_VERSION)
    throw new NbosError(
      'format-version',
      `${path}: version ${version}; this program reads up to ${NATIVE_VERSION}`,
      'Update NotebookOS.',
    );
  for (const name of ['name', 'source', 'licence', 'hash']) {
    if (header[name] !== undefined && typeof header[name] !== 'string')
      refuse(path, name, header[name], 'a text');
  }
  if ((header['time_unit'] ?? 'ms') !== 'ms')
    refuse(path, 'time_unit', header['time_unit'], '"ms"');
  const end = header['end_ms'] ?? 0;
  if (!Number.isSafeInteger(end) || (end as number) < 0)
    refuse(path, 'end_ms', end, 'whole milliseconds from 0 on');
  const seed = header['seed'] ?? 0;
  if (typeof seed !== 'number') refuse(path, 'seed', seed, 'a number or null');
  for (const name of ['counts', 'files']) {
    const value = header[name] ?? {};
    if (typeof value !== 'object') refuse(path, name, value, 'an object');
  }
  return header as unknown as NativeHeader;
}

function parseHeader(path: string, text: string): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (error) {
    throw new NbosError(
      'file-corrupt',
      `${path} is not JSON: ${(error as Error).message}`,
      'Get the folder again, or import the trace again.',
    );
  }
  if (typeof header !== 'object' || header === null)
    throw new NbosError('file-corrupt', `${path} is not an object`, 'Import the trace again.');
  return header as Record<string, unknown>;
}

function refuse(path: string, member: string, found: unknown, expected: string): never {
  throw new NbosError(
    'trace-bad-value',
    `${path}: "${member}" is ${JSON.stringify(found) ?? 'missing'}; expected ${expected}`,
    'Correct trace.json, or import the trace again.',
  );
}
