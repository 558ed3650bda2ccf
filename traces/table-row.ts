import { NbosError } from '../core/errors.ts';

const MINUS = 45;
const DOT = 46;
const DIGIT_0 = 48;
/** So many digits always fit a double's 53 bits, and 10 to that power is exact. */
const EXACT_DIGITS = 15;
const POWERS_OF_10 = Array.from({ length: EXACT_DIGITS + 1 }, (_, i) => 10 ** i);
const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

/**
 * One row of a table. `c` is a column's position in the list that the reader was asked for. Every
 * refusal names file:line:column. Valid only inside the callback that got it.
 */
export class TableRow {
  readonly path: string;
  readonly names: readonly string[];
  /** line of the file, from 1; the last line of a row that spans several */
  line = 0;
  #buffer: Buffer = Buffer.alloc(0);
  #starts = new Uint32Array(64);
  #ends = new Uint32Array(64);
  #texts: readonly string[] | undefined;
  /** position in the file of each column asked for; -1 when absent */
  #positions: readonly number[] = [];
  #fileColumns: readonly string[] = [];

  constructor(path: string, names: readonly string[]) {
    this.path = path;
    this.names = names;
  }

  /** Whether the file has this column. */
  hasColumn(c: number): boolean {
    return this.#positions[c]! >= 0;
  }

  /** Whether the column is absent or its field empty. */
  isEmpty(c: number): boolean {
    const position = this.#positions[c]!;
    if (position < 0) return true;
    if (this.#texts !== undefined) return this.#texts[position]! === '';
    return this.#starts[position] === this.#ends[position];
  }

  /** The field as text; '' when the column is absent. */
  text(c: number): string {
    const position = this.#positions[c]!;
    return position < 0 ? '' : this.#raw(position);
  }

  /**
   * A finite decimal number in min … max.
   * @throws NbosError trace-bad-value, also for an empty field
   */
  number(c: number, min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY): number {
    const value = this.#parse(c);
    if (!(value >= min && value <= max)) this.fail(c, range('a number', min, max));
    return value;
  }

  /**
   * A whole number in min … max; "3.0" is whole.
   * @throws NbosError trace-bad-value, also for an empty field
   */
  integer(c: number, min = 0, max = Number.MAX_SAFE_INTEGER): number {
    const value = this.#parse(c);
    if (!(value >= min && value <= max && value === Math.floor(value)))
      this.fail(c, range('a whole number', min, max));
    return value;
  }

  /** file:line:column */
  where(c: number): string {
    return `${this.path}:${this.line}:${this.names[c]!}`;
  }

  /** @throws NbosError trace-bad-value */
  fail(c: number, expected: string): never {
    const text = this.text(c);
    const shown = JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
    throw new NbosError(
      'trace-bad-value',
      `${this.where(c)}: found ${text === '' ? 'nothing' : shown}; expected ${expected}`,
      'Correct the field, or remove the row.',
    );
  }

  // What follows is for the reader that fills the row.

  openBytes(buffer: Buffer): void {
    this.#buffer = buffer;
    this.#texts = undefined;
  }

  openTexts(texts: readonly string[]): void {
    this.#texts = texts;
  }

  mark(position: number, start: number, end: number): void {
    if (position >= this.#starts.length) this.#grow();
    this.#starts[position] = start;
    this.#ends[position] = end;
  }

  rawFields(count: number): string[] {
    return Array.from({ length: count }, (_, position) => this.#raw(position));
  }

  setHeader(fileColumns: readonly string[]): void {
    this.#fileColumns = fileColumns;
    this.#positions = this.names.map((name) => fileColumns.indexOf(name));
  }

  expectFields(count: number): void {
    const expected = this.#fileColumns.length;
    if (count === expected) return;
    const at = count < expected ? this.#fileColumns[count]! : 'after the last column';
    throw new NbosError(
      'trace-bad-value',
      `${this.path}:${this.line}:${at}: the row has ${count} fields; expected ${expected}`,
      'The file may be cut off, or a field with a comma lacks its quotes.',
    );
  }

  #grow(): void {
    const starts = new Uint32Array(this.#starts.length * 2);
    const ends = new Uint32Array(this.#ends.length * 2);
    starts.set(this.#starts);
    ends.set(this.#ends);
    this.#starts = starts;
    this.#ends = ends;
  }

  #raw(position: number): string {
    if (this.#texts !== undefined) return this.#texts[position]!;
    const start = this.#starts[position]!;
    const end = this.#ends[position]!;
    return this.#buffer.toString('utf8', start, end);
  }

  #parse(c: number): number {
    const position = this.#positions[c]!;
    if (position < 0) return Number.NaN;
    if (this.#texts !== undefined) return parseDecimal(this.#texts[position]!);
    const buffer = this.#buffer;
    const end = this.#ends[position]!;
    let at = this.#starts[position]!;
    const negative = at < end && buffer[at] === MINUS;
    if (negative) at++;
    let value = 0;
    let digits = 0;
    let decimals = -1;
    for (; at < end; at++) {
      const byte = buffer[at]!;
      const digit = byte - DIGIT_0;
      if (digit >= 0 && digit <= 9) {
        value = value * 10 + digit;
        digits++;
        if (decimals >= 0) decimals++;
      } else if (byte === DOT && decimals < 0) {
        decimals = 0;
      } else {
        return parseDecimal(this.#raw(position));
      }
    }
    if (digits === 0 || digits > EXACT_DIGITS) return parseDecimal(this.#raw(position));
    if (decimals > 0) value /= POWERS_OF_10[decimals]!;
    return negative ? 0 - value : value;
  }
}

/** The number that a decimal text stands for; NaN for any other text. */
export function parseDecimal(text: string): number {
  if (!DECIMAL.test(text)) return Number.NaN;
  const value = Number(text);
  // + 0 makes -0 a plain 0, which would hash differently.
  return Number.isFinite(value) ? value + 0 : Number.NaN;
}

function range(what: string, min: number, max: number): string {
  const low = min > -Number.MAX_SAFE_INTEGER;
  const high = max < Number.MAX_SAFE_INTEGER;
  if (low && high) return `${what} from ${min} to ${max}`;
  if (low) return `${what} of at least ${min}`;
  return high ? `${what} of at most ${max}` : what;
}
