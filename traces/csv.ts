import { assert } from '../core/errors.ts';
import { OutputFile } from './output-file.ts';

export { readTable, type Table, type TableRow } from './table.ts';

export type CsvValue = string | number | null | undefined;

const BUFFER_BYTES = 1 << 18;
/** longest number text is 25 bytes, and a separator */
const NUMBER_BYTES = 32;
const COMMA = 44;
const NEWLINE = 10;
const RETURN = 13;
const QUOTE = 34;
const MINUS = 45;
const DIGIT_0 = 48;
const MAX_INT32 = 0x7fffffff;
const BILLION = 1_000_000_000;

/** A text as one CSV field: quoted where it holds a separator, a quote or a line break. */
export function escapeCsv(text: string): string {
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * Writes a CSV file that appears only when it is whole. Lines end in "\n"; numbers have the
 * shortest text that reads back to the same double; null, undefined and '' are empty fields.
 */
export class CsvWriter {
  readonly path: string;
  rows = 0;
  readonly #file: OutputFile;
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #used = 0;
  readonly #columns: number;
  readonly #onBytes: ((bytes: Uint8Array) => void) | undefined;

  private constructor(
    path: string,
    columns: readonly string[],
    onBytes: ((bytes: Uint8Array) => void) | undefined,
  ) {
    this.path = path;
    this.#columns = columns.length;
    this.#onBytes = onBytes;
    this.#file = new OutputFile(path);
    this.row(columns);
    this.rows = 0;
  }

  /**
   * Opens a temporary beside `path` and writes the header. `onBytes` sees all bytes in order, for a
   * checksum.
   * @throws NbosError file-unwritable
   */
  static open(
    path: string,
    columns: readonly (string | { readonly name: string })[],
    onBytes?: (bytes: Uint8Array) => void,
  ): CsvWriter {
    const names = columns.map((column) => (typeof column === 'string' ? column : column.name));
    return new CsvWriter(path, names, onBytes);
  }

  /**
   * Appends a row; the array is not kept and may be used again.
   * @throws NbosError file-unwritable; the temporary is gone then
   */
  row(values: readonly CsvValue[]): void {
    assert(values.length === this.#columns, `${this.path}: ${values.length} values in a row`);
    for (let i = 0; i < values.length; i++) {
      if (i > 0) this.#buffer[this.#used++] = COMMA;
      // Room for this field, if a number, and the byte that follows it.
      if (this.#used + NUMBER_BYTES > BUFFER_BYTES) this.#flush();
      const value = values[i];
      if (typeof value === 'number') this.#number(value);
      else if (value) this.#text(value);
      else if (values.length === 1) this.#emptyLine();
    }
    this.#buffer[this.#used++] = NEWLINE;
    this.rows++;
  }

  /** Completes the file under its name. @throws NbosError file-unwritable */
  close(): void {
    this.#flush();
    this.#file.close();
  }

  /** Gives up; the temporary is removed. */
  abort(): void {
    this.#file.abort();
  }

  #number(value: number): void {
    if (value >= 0 && value <= MAX_INT32 && value === (value | 0)) {
      this.#integer(value | 0);
    } else if (Number.isSafeInteger(value)) {
      this.#longInteger(value);
    } else {
      assert(Number.isFinite(value), `${this.path}: a field is ${value}`);
      this.#used += this.#buffer.write(String(value), this.#used, 'latin1');
    }
  }

  #integer(value: number): void {
    let digits = 1;
    for (let bound = 10; value >= bound && digits < 10; bound *= 10) digits++;
    this.#digits(value, digits);
  }

  #digits(value: number, digits: number): void {
    let rest = value;
    for (let at = this.#used + digits - 1; at >= this.#used; at--) {
      const tenth = (rest / 10) | 0;
      this.#buffer[at] = DIGIT_0 + rest - tenth * 10;
      rest = tenth;
    }
    this.#used += digits;
  }

  #longInteger(value: number): void {
    let rest = value;
    if (rest < 0) {
      this.#buffer[this.#used++] = MINUS;
      rest = -rest;
    }
    if (rest < BILLION) {
      this.#integer(rest);
      return;
    }
    const high = Math.floor(rest / BILLION);
    this.#integer(high);
    this.#digits(rest - high * BILLION, 9);
  }

  /** A blank line would read as no row at all. */
  #emptyLine(): void {
    this.#buffer[this.#used++] = QUOTE;
    this.#buffer[this.#used++] = QUOTE;
  }

  #text(text: string): void {
    if (text.length * 3 + NUMBER_BYTES > BUFFER_BYTES - this.#used) this.#flush();
    if (text.length * 3 + NUMBER_BYTES > BUFFER_BYTES) {
      this.#flushed(Buffer.from(escapeCsv(text)));
      return;
    }
    let at = this.#used;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code === QUOTE || code === COMMA || code === NEWLINE || code === RETURN || code > 127) {
        this.#used += this.#buffer.write(escapeCsv(text), this.#used, 'utf8');
        return;
      }
      this.#buffer[at++] = code;
    }
    this.#used = at;
  }

  #flush(): void {
    const bytes = this.#buffer.subarray(0, this.#used);
    this.#used = 0;
    if (bytes.length > 0) this.#flushed(bytes);
  }

  #flushed(bytes: Uint8Array): void {
    this.#file.write(bytes);
    this.#onBytes?.(bytes);
  }
}
