import { basename } from 'node:path';
import type { HostType } from '../core/config/options.ts';
import { detectFormat } from './detect.ts';
import { IMPORTERS } from './formats/index.ts';
import {
  type ImportOptionName,
  type ImportOptions,
  resolveImportOptions,
  type TraceFormat,
} from './import-options.ts';
import { kindOf, type OnProgress } from './input-file.ts';
import { NoteList } from './notes.ts';
import { fitToHosts } from './oversize.ts';
import { splitSessions } from './sample.ts';
import type { ImportNote, Trace } from './trace.ts';

const MS_PER_HOUR = 3_600_000;

export interface LoadOptions extends Partial<ImportOptions> {
  /** default 'auto': told by the content */
  readonly format?: TraceFormat | 'auto';
  /** hosts that cells must fit (`oversize` says what happens to those that do not); default: any */
  readonly hostTypes?: readonly HostType[] | undefined;
  /** labels for a trace that does not bring its own */
  readonly name?: string;
  readonly source?: string;
  readonly licence?: string;
  readonly onProgress?: OnProgress | undefined;
}

export interface LoadedTrace {
  readonly trace: Trace;
  readonly format: TraceFormat;
  /** what was dropped, changed or found odd */
  readonly notes: ImportNote[];
  /** seed that the trace says it was made with */
  readonly seed?: number | undefined;
  /** hosts of the cluster that the trace was recorded on, where the source tells */
  readonly hostTypes?: readonly HostType[] | undefined;
}

/**
 * Reads a trace of any format; packed files are unpacked. Sessions are cut and oversized cells
 * treated as the options say.
 * @throws NbosError that names file, row and column or option
 */
export async function loadTrace(path: string, options: LoadOptions = {}): Promise<LoadedTrace> {
  const { format = 'auto', hostTypes, name, source, licence, onProgress, ...given } = options;
  const resolved = resolveImportOptions(given as Partial<Record<ImportOptionName, never>>);
  kindOf(path);
  const told = format === 'auto' ? await detectFormat(path) : format;
  const notes = new NoteList();
  const file = basename(path);
  const imported = await IMPORTERS[told].read({
    path,
    name: name ?? file.replace(/(\.(csv|json))?(\.gz)?$/, ''),
    source: source ?? `${file}, ${told} format`,
    licence: licence ?? 'not stated',
    options: resolved,
    notes,
    onProgress,
  });
  let { trace } = imported;
  trace = cut(trace, resolved);
  const hosts = hostTypes ?? imported.hostTypes;
  if (hosts !== undefined && hosts.length > 0)
    trace = fitToHosts(trace, hosts, resolved.oversize, notes);
  const { seed, hostTypes: recorded } = imported;
  return { trace, format: told, notes: notes.list(), seed, hostTypes: recorded };
}

function cut(trace: Trace, options: ImportOptions): Trace {
  const { splitGapHours, splitOnGpuChange, startPadMs, endPadMs } = options;
  if (splitGapHours === 0 && !splitOnGpuChange) return trace;
  return splitSessions(trace, {
    ...(splitGapHours > 0 ? { gapMs: splitGapHours * MS_PER_HOUR } : {}),
    onGpuChange: splitOnGpuChange,
    startPadMs,
    endPadMs,
  });
}
