import { NbosError } from '../../core/errors.ts';
import { type ResourceVector, vector, vectorForGpus } from '../../core/resources.ts';
import type { NoteList } from '../notes.ts';
import type { Table } from '../table.ts';
import type { TableRow } from '../table-row.ts';

export const MS_PER_S = 1_000;
const MILLIS = 1_000;
/** thousandths of a GPU come as decimal text: allow for the error of one multiplication */
const EPSILON = 1e-6;
const MOST_GPUS = 1_000_000;
const LONGEST_S = 1e11;

/**
 * GPUs as thousandths. Finer shares round up to a thousandth, shares above one device to whole
 * devices; both are counted in `notes`.
 */
export function gpuMillisOf(gpus: number, notes: NoteList, where: () => string): number {
  const exact = gpus * MILLIS;
  const millis = Math.abs(exact - Math.round(exact)) < EPSILON ? Math.round(exact) : exact;
  const whole = millis > MILLIS ? Math.ceil(millis / MILLIS) * MILLIS : Math.ceil(millis);
  if (whole !== millis)
    notes.add(
      'gpu-fraction-rounded-up',
      'rounded up: GPU counts above 1 are whole devices, below it thousandths',
      where(),
    );
  return whole;
}

/** A column of GPU counts as thousandths, 0 allowed. */
export function rowGpuMillis(row: TableRow, c: number, notes: NoteList): number {
  const gpus = row.number(c, 0, MOST_GPUS);
  if (gpus === Math.floor(gpus)) return gpus * MILLIS;
  return gpuMillisOf(gpus, notes, () => row.where(c));
}

/** A column of seconds (or of `unitMs`) as whole ms. */
export function rowMs(row: TableRow, c: number, unitMs: number, min = 0): number {
  return Math.round(row.number(c, min, LONGEST_S) * unitMs);
}

/**
 * The vector of a row with columns `cpu_millis,memory_mb,gpus,vram_mb` from `first` on; empty fields
 * take the share of the GPUs.
 */
export function rowShape(row: TableRow, first: number, notes: NoteList): ResourceVector {
  const gpuMillis = rowGpuMillis(row, first + 2, notes);
  const cpu = row.isEmpty(first);
  const memory = row.isEmpty(first + 1);
  const vram = row.isEmpty(first + 3);
  if (!cpu && !memory && !vram)
    return vector(row.integer(first), row.integer(first + 1), gpuMillis, row.integer(first + 3));
  const missing = vectorForGpus(gpuMillis);
  return vector(
    cpu ? missing.cpuMillis : row.integer(first),
    memory ? missing.memoryMb : row.integer(first + 1),
    gpuMillis,
    vram ? missing.vramMb : row.integer(first + 3),
  );
}

const DATE_TIME = /^(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(\.\d+)?(Z|[+-]00:?00)?$/;

/** `2017-10-09 07:01:55` as ms since 1970 in that text's own zone; NaN for anything else. */
export function parseDateTime(text: string): number {
  const parts = DATE_TIME.exec(text);
  if (parts === null) return Number.NaN;
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const ms = Date.UTC(year, month - 1, day, hour, minute, second);
  const legal =
    new Date(ms).getUTCDate() === day && month <= 12 && hour < 24 && minute < 60 && second < 60;
  return legal ? ms + Math.round(Number(parts[7] ?? 0) * MS_PER_S) : Number.NaN;
}

/** Notes the columns of a table that the format does not know. */
export function noteIgnored({ ignored }: Table, notes: NoteList, path: string): void {
  if (ignored.length > 0)
    notes.add(
      'columns-ignored',
      `columns that the format does not know: ${ignored.join(', ')}`,
      path,
      ignored.length,
    );
}

/** A bad member of a JSON file. */
export function badMember(where: string, found: unknown, expected: string): never {
  const text = JSON.stringify(found) ?? 'nothing';
  throw new NbosError(
    'trace-bad-value',
    `${where}: found ${text.length > 60 ? `${text.slice(0, 60)}…` : text}; expected ${expected}`,
    'Correct the value.',
  );
}

/** Refuses an identity that was seen before; whole numbers cost one bit each. */
export class SeenOnce {
  #bits = new Uint32Array(1024);
  readonly #others = new Set<string>();
  static readonly #MOST_BITS = 1 << 28;

  /** Whether `text` was seen before; remembers it. */
  seen(text: string): boolean {
    const id = /^\d{1,9}$/.test(text) ? Number(text) : -1;
    if (id < 0 || id >= SeenOnce.#MOST_BITS || (text.length > 1 && text.startsWith('0'))) {
      if (this.#others.has(text)) return true;
      this.#others.add(text);
      return false;
    }
    const word = id >>> 5;
    if (word >= this.#bits.length) {
      const grown = new Uint32Array(Math.max(word + 1, this.#bits.length * 2));
      grown.set(this.#bits);
      this.#bits = grown;
    }
    const bit = 1 << (id & 31);
    const before = (this.#bits[word]! & bit) !== 0;
    this.#bits[word]! |= bit;
    return before;
  }
}
