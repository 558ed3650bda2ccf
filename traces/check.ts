import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { NbosError } from '../core/errors.ts';
import { readColumnsFile } from './columns-file.ts';
import { readNativeTables } from './formats/native.ts';
import { resolveImportOptions } from './import-options.ts';
import { type LoadOptions, loadTrace } from './load.ts';
import { COLUMNS_FILE, readNativeHeader } from './native-header.ts';
import { NoteList } from './notes.ts';
import { warningsOf } from './suspicions.ts';
import type { ImportNote, Trace } from './trace.ts';

/** 'error': the trace cannot be used; 'warning': it can, but may not be what it seems. */
export interface Finding extends ImportNote {
  readonly severity: 'error' | 'warning';
}

export interface CheckResult {
  /** without errors */
  readonly usable: boolean;
  readonly findings: readonly Finding[];
  /** undefined when it could not be read */
  readonly trace: Trace | undefined;
}

/**
 * Reads a trace of any format and says what is wrong or odd about it: bad or duplicate rows, order,
 * cells outside their session (errors, with the first place); what the importer dropped or changed,
 * cells that overlap the one before, sessions repeated or without cells, cron-like sources, wrong
 * checksums, binary columns that differ from their CSV files.
 * @throws nothing that is about the trace: that comes back as a finding
 */
export async function checkTrace(path: string, options: LoadOptions = {}): Promise<CheckResult> {
  const findings: Finding[] = [];
  let trace: Trace | undefined;
  try {
    const loaded = await loadTrace(path, options);
    trace = loaded.trace;
    for (const note of loaded.notes) findings.push({ severity: 'warning', ...note });
    if (loaded.format === 'native') findings.push(...(await checkNative(path)));
    findings.push(...oddities(trace));
  } catch (error) {
    if (!(error instanceof NbosError)) throw error;
    const { code, message } = error;
    findings.push({ severity: 'error', code, message, count: 1, first: path });
  }
  return { usable: findings.every((f) => f.severity !== 'error'), findings, trace };
}

/** Reads the CSV files even where loading takes the binary columns, and compares both. */
async function checkNative(folder: string): Promise<Finding[]> {
  const findings: Finding[] = [];
  const header = readNativeHeader(folder);
  const notes = new NoteList();
  const tables = await readNativeTables(
    { path: folder, name: '', source: '', licence: '', options: resolveImportOptions({}), notes },
    header,
  );
  if (header.files === undefined || header.hash === undefined)
    findings.push(
      warning('no-checksums', 'trace.json has no checksums: damage cannot be seen', 1, folder),
    );
  const binary = join(folder, COLUMNS_FILE);
  if (existsSync(binary) && columnsHash(binary) !== tables.hash)
    findings.push(
      warning(
        'columns-file-differs',
        'the binary columns are damaged or not those of the CSV files',
        1,
        binary,
      ),
    );
  return findings;
}

function columnsHash(path: string): string {
  try {
    return readColumnsFile(path).hash;
  } catch (error) {
    if (error instanceof NbosError) return '';
    throw error;
  }
}

function warning(code: string, message: string, count: number, first: string): Finding {
  return { severity: 'warning', code, message, count, first };
}

/** What is legal but may mean that the data is not what it seems. */
function oddities(trace: Trace): Finding[] {
  const notes = new NoteList();
  const { sessions, cells } = trace;
  for (let s = 0; s < sessions.count; s++) {
    const first = sessions.firstCell[s]!;
    const last = sessions.firstCell[s + 1]!;
    const place = (c: number) => `cell ${c - first} of session "${sessions.ids[s]!}"`;
    if (first === last)
      notes.add('session-without-cells', 'sessions without any cell', `"${sessions.ids[s]!}"`);
    for (let c = first; c < last; c++) {
      if (cells.durationMs[c] === 0) notes.add('zero-duration', 'cells that last 0 ms', place(c));
      if (c === first) continue;
      const end = cells.submitMs[c - 1]! + cells.durationMs[c - 1]!;
      if (cells.submitMs[c]! < end)
        notes.add('overlap', 'cells submitted before the cell ahead of them has ended', place(c));
      if (cells.submitMs[c] === cells.submitMs[c - 1] && isSameWork(trace, c))
        notes.add('repeated-cell', 'cells equal to the one ahead of them in all columns', place(c));
    }
  }
  for (const { code, message } of warningsOf(trace)) {
    // The others are counted above, where their places are known.
    if (code === 'cron-like' || code === 'duplicate-sessions') notes.add(code, message, trace.name);
  }
  return notes.list().map((note) => ({ severity: 'warning', ...note }));
}

function isSameWork({ cells }: Trace, c: number): boolean {
  return cells.durationMs[c] === cells.durationMs[c - 1] && cells.shape[c] === cells.shape[c - 1];
}
