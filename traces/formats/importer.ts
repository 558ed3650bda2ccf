import type { HostType } from '../../core/config/options.ts';
import type { ImportOptions, TraceFormat } from '../import-options.ts';
import type { OnProgress } from '../input-file.ts';
import type { NoteList } from '../notes.ts';
import type { Trace } from '../trace.ts';

export interface ImportContext {
  /** file or folder, as the user named it */
  readonly path: string;
  /** for a trace that does not name itself */
  readonly name: string;
  readonly source: string;
  readonly licence: string;
  readonly options: ImportOptions;
  readonly notes: NoteList;
  readonly onProgress?: OnProgress | undefined;
}

export interface Imported {
  readonly trace: Trace;
  /** seed that the trace says it was made with */
  readonly seed?: number | undefined;
  /** hosts of the cluster that the trace was recorded on */
  readonly hostTypes?: readonly HostType[] | undefined;
}

/** One format: how to tell it and how to read it. */
export interface Importer {
  readonly format: TraceFormat;
  /** one line for people */
  readonly title: string;
  /** columns whose presence in a CSV header tells the format; empty when it is told otherwise */
  readonly tellingColumns: readonly string[];
  /** a file of this name inside a folder tells the format */
  readonly tellingFile?: string;
  /** what the first byte of a JSON file must be */
  readonly jsonStart?: '{' | '[';
  /**
   * Streams the source into a trace.
   * @throws NbosError that names file, row and column
   */
  readonly read: (context: ImportContext) => Promise<Imported>;
}
