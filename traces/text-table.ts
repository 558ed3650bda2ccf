/** A cell of a table for people; numbers are aligned right and shortened. */
export type TableCell = string | number | undefined;

export interface TableOptions {
  /** columns, from 0, whose text is aligned right although it is not a number */
  readonly right?: readonly number[];
  /** width at which the last column is wrapped; 0 leaves it */
  readonly width?: number;
}

/** Rows as aligned text, two spaces between columns, a rule under the header; ends with a newline. */
export function textTable(
  header: readonly string[],
  rows: readonly (readonly TableCell[])[],
  options: TableOptions = {},
): string {
  const texts = rows.map((row) => row.map(cellText));
  const widths = header.map((name, column) =>
    Math.max(name.length, ...texts.map((row) => (row[column] ?? '').length)),
  );
  const right = header.map(
    (_, column) =>
      options.right?.includes(column) === true ||
      (rows.length > 0 && rows.every((row) => typeof row[column] !== 'string')),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, at) => (right[at] ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!)))
      .join('  ')
      .trimEnd();
  const rule = widths.map((width) => '-'.repeat(width));
  const last = header.length - 1;
  const room =
    (options.width ?? 0) - widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0);
  if (options.width && room >= 20 && widths[last]! > room) {
    widths[last] = room;
    rule[last] = '-'.repeat(room);
    const wrapped = texts.flatMap((row) => wrapLast(row, room));
    return `${[header, rule, ...wrapped].map(line).join('\n')}\n`;
  }
  return `${[header, rule, ...texts].map(line).join('\n')}\n`;
}

function cellText(cell: TableCell): string {
  if (cell === undefined) return '';
  return typeof cell === 'string' ? cell : shortNumber(cell);
}

/** A number for people: whole numbers with separators, others to about four digits. */
export function shortNumber(value: number): string {
  if (!Number.isFinite(value)) return '-';
  const size = Math.abs(value);
  const digits = Number.isInteger(value) || size >= 1_000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 3;
  return value.toLocaleString('en-US', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

function wrapLast(row: readonly string[], room: number): string[][] {
  const lines: string[] = [];
  let line = '';
  for (const word of row.at(-1)!.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > room) {
      lines.push(line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  lines.push(line);
  const empty = row.slice(0, -1).map(() => '');
  return lines.map((text, at) => [...(at === 0 ? row.slice(0, -1) : empty), text]);
}
