import { Readable } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import { NbosError } from '../core/errors.ts';
import { type OnProgress, readBytes } from './input-file.ts';
import { TableRow } from './table-row.ts';

export { TableRow } from './table-row.ts';

/** Longest line that is read: beyond it a file is no table of ours. */
export const MAX_LINE_BYTES = 1 << 20;

export interface TableColumns {
  readonly required: readonly string[];
  readonly optional?: readonly string[];
}

/** What was read: rows without the header, and the columns of the file that nobody asked for. */
export interface Table {
  readonly rows: number;
  readonly ignored: readonly string[];
}

const COMMA = 44;
const NEWLINE = 10;
const RETURN = 13;
const QUOTE = 34;

/**
 * Reads a CSV file with a header, packed or not, row by row. `onRow` gets one row object, filled
 * anew for each row; its fields are named by position in `required` followed by `optional`,
 * whatever their order in the file. Rows without quotes are split here, because that is several
 * times faster; from the first quote on csv-parse reads. `onBytes` sees the unpacked file, for a
 * checksum.
 * @throws NbosError file-not-found, file-corrupt, trace-bad-header, trace-bad-value
 */
export async function readTable(
  path: string,
  columns: TableColumns,
  onRow: (row: TableRow) => void,
  onProgress?: OnProgress,
  onBytes?: (bytes: Uint8Array) => void,
): Promise<Table> {
  const reader = new TableReader(path, columns, onRow);
  const chunks = readBytes(path, onProgress, onBytes);
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = reader.plain(rest.length === 0 ? chunk : Buffer.concat([rest, chunk]));
    if (reader.quoted) {
      await reader.parseQuoted(prepend(rest, chunks));
      return reader.finish();
    }
  }
  if (rest.length > 0) reader.plain(Buffer.concat([rest, Buffer.from('\n')]));
  // The last line may be the only one with a quote.
  if (reader.quoted) await reader.parseQuoted(prepend(rest, chunks));
  return reader.finish();
}

async function* prepend(first: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield first;
  yield* rest;
}

class TableReader {
  /** a quote was met: the rest goes through `parseQuoted` */
  quoted = false;
  readonly #path: string;
  readonly #columns: TableColumns;
  readonly #onRow: (row: TableRow) => void;
  readonly #row: TableRow;
  #ignored: readonly string[] = [];
  #hasHeader = false;
  #line = 0;
  #rows = 0;

  constructor(path: string, columns: TableColumns, onRow: (row: TableRow) => void) {
    this.#path = path;
    this.#columns = columns;
    this.#onRow = onRow;
    this.#row = new TableRow(path, [...columns.required, ...(columns.optional ?? [])]);
  }

  /** Splits whole lines up to the first quote; returns what is left. */
  plain(buffer: Buffer): Buffer {
    const row = this.#row;
    let lineStart = 0;
    let fieldStart = 0;
    let fields = 0;
    row.openBytes(buffer);
    for (let at = 0; at < buffer.length; at++) {
      const byte = buffer[at]!;
      if (byte > COMMA) continue;
      if (byte === COMMA) {
        row.mark(fields++, fieldStart, at);
        fieldStart = at + 1;
      } else if (byte === NEWLINE) {
        const end = at > lineStart && buffer[at - 1] === RETURN ? at - 1 : at;
        this.#line++;
        if (end > lineStart || fields > 0) {
          this.#limit(end - lineStart);
          row.mark(fields++, fieldStart, end);
          this.#accept(fields);
        }
        lineStart = fieldStart = at + 1;
        fields = 0;
      } else if (byte === QUOTE) {
        this.quoted = true;
        break;
      } else if (byte === 0) {
        this.#binary();
      }
    }
    const rest = buffer.subarray(lineStart);
    if (!this.quoted) this.#limit(rest.length);
    return rest;
  }

  async parseQuoted(chunks: AsyncIterable<Buffer>): Promise<void> {
    const before = this.#line;
    const parser = parse({
      info: true,
      relax_column_count: true,
      skip_empty_lines: true,
      max_record_size: MAX_LINE_BYTES,
    });
    const source = Readable.from(chunks);
    source.on('error', (error) => parser.destroy(error));
    try {
      for await (const { record, info } of source.pipe(parser)) {
        this.#line = before + info.lines;
        this.#row.openTexts(record);
        this.#accept(record.length);
      }
    } catch (error) {
      if (!(error instanceof CsvError)) throw error;
      const lines = (error as unknown as { lines?: number }).lines ?? 0;
      if (error.code === 'CSV_MAX_RECORD_SIZE') this.#tooLong(before + lines);
      throw new NbosError(
        'trace-bad-value',
        `${this.#path}:${before + lines}: a quote is missing or out of place`,
        'Correct the quotes: a quoted field opens and closes with ", and holds "" for a quote.',
      );
    } finally {
      source.destroy();
    }
  }

  finish(): Table {
    if (!this.#hasHeader)
      throw new NbosError(
        'trace-bad-header',
        `${this.#path} is empty; expected the columns ${this.#columns.required.join(',')}`,
        'Get the file again.',
      );
    return { rows: this.#rows, ignored: this.#ignored };
  }

  #accept(fields: number): void {
    this.#row.line = this.#line;
    if (!this.#hasHeader) {
      this.#readHeader(fields);
      return;
    }
    this.#row.expectFields(fields);
    this.#rows++;
    this.#onRow(this.#row);
  }

  #readHeader(fields: number): void {
    this.#hasHeader = true;
    const found = this.#row.rawFields(fields);
    found[0] = found[0]!.replace(/^\ufeff/, '');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    if (found.some((name) => /[\u0000-\u0008\u000e-\u001f\ufffd]/.test(name))) this.#binary();
    const { required, optional = [] } = this.#columns;
    const missing = required.filter((name) => !found.includes(name));
    const twice = found.find((name, i) => found.indexOf(name) !== i);
    const text = found.join(',');
    const shown = text.length > 160 ? `${text.slice(0, 160)}…` : text;
    if (missing.length > 0)
      throw new NbosError(
        'trace-bad-header',
        `${this.#path}:${this.#line}: no column ${missing.join(', ')}; found ${shown}`,
        `Expected a header with ${required.join(',')}.`,
      );
    if (twice !== undefined)
      throw new NbosError(
        'trace-bad-header',
        `${this.#path}:${this.#line}: column "${twice}" is there twice`,
        'Keep one of them.',
      );
    this.#row.setHeader(found);
    this.#ignored = found.filter((name) => !required.includes(name) && !optional.includes(name));
  }

  #limit(bytes: number): void {
    if (bytes > MAX_LINE_BYTES) this.#tooLong(this.#line + 1);
  }

  #tooLong(line: number): never {
    throw new NbosError(
      'trace-bad-value',
      `${this.#path}:${line}: a line is longer than ${MAX_LINE_BYTES} bytes`,
      'This does not look like a table: check the file.',
    );
  }

  #binary(): never {
    throw new NbosError(
      'file-corrupt',
      `${this.#path}:${this.#line + 1}: binary data; expected a CSV table`,
      'Check that the right file was named.',
    );
  }
}
