import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { CsvWriter, readTable } from '../../traces/csv.ts';
import { parseDecimal } from '../../traces/table-row.ts';
import { put, refuses, scratchFolder } from './scratch.ts';

const folder = scratchFolder();
let files = 0;
function fresh(): string {
  return join(folder, `t${files++}.csv`);
}

async function textsOf(path: string, columns: readonly string[]): Promise<string[][]> {
  const rows: string[][] = [];
  await readTable(path, { required: columns }, (row) => {
    rows.push(columns.map((_, c) => row.text(c)));
  });
  return rows;
}

test('any text comes back as it was written', async () => {
  const field = fc.oneof(
    fc.string(),
    fc.string({ unit: fc.constantFrom(',', '"', '\n', '\r', ' ', 'a', 'é', '0') }),
    fc.string({ unit: 'grapheme' }),
  );
  const rows = fc
    .integer({ min: 1, max: 4 })
    .chain((width) =>
      fc.array(fc.array(field, { minLength: width, maxLength: width }), { minLength: 1 }),
    );
  await fc.assert(
    fc.asyncProperty(rows, async (written) => {
      const columns = written[0]!.map((_, c) => `c${c}`);
      const path = fresh();
      const csv = CsvWriter.open(path, columns);
      for (const row of written) csv.row(row);
      csv.close();
      assert.equal(await textsOf(path, columns), written);
    }),
    { seed: 11, numRuns: 150 },
  );
});

test('any finite number comes back as the same double', async () => {
  const value = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.maxSafeInteger(),
    fc.integer(),
    fc.constantFrom(
      0,
      9,
      10,
      999_999_999,
      1e9,
      2 ** 31 - 1,
      2 ** 31,
      2 ** 53 - 1,
      0.1,
      1e21,
      5e-324,
    ),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(value, { minLength: 1 }), async (numbers) => {
      const path = fresh();
      const csv = CsvWriter.open(path, ['n']);
      for (const n of numbers) csv.row([n]);
      csv.close();
      const back: number[] = [];
      await readTable(path, { required: ['n'] }, (row) => {
        back.push(row.number(0));
      });
      // -0 is written and read as 0
      assert.equal(
        back,
        numbers.map((n) => n + 0),
      );
      const lines = readFileSync(path, 'utf8').trimEnd().split('\n').slice(1);
      assert.equal(
        lines,
        numbers.map((n) => String(n + 0)),
      );
    }),
    { seed: 12, numRuns: 150 },
  );
});

test('decimal text is read as the nearest double, whatever its length', async () => {
  const text = fc
    .tuple(
      fc.boolean(),
      fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: 1, maxLength: 20 }),
      fc.string({ unit: fc.constantFrom(...'0123456789'), maxLength: 12 }),
    )
    .map(([minus, whole, part]) => `${minus ? '-' : ''}${whole}${part === '' ? '' : `.${part}`}`);
  await fc.assert(
    fc.asyncProperty(fc.array(text, { minLength: 1, maxLength: 50 }), async (texts) => {
      const path = put(fresh(), `n\n${texts.join('\n')}\n`);
      const back: number[] = [];
      await readTable(path, { required: ['n'] }, (row) => {
        back.push(row.number(0));
      });
      assert.equal(
        back,
        texts.map((t) => Number(t) + 0),
      );
    }),
    { seed: 13, numRuns: 100 },
  );
  for (const bad of ['', '-', '.', '1.2.3', '0x10', 'NaN', 'Infinity', '1e999', ' 1', '1_0', '٣'])
    assert.ok(Number.isNaN(parseDecimal(bad)), bad);
});

test('rows cross chunk borders and buffer ends unharmed', async () => {
  const path = fresh();
  const csv = CsvWriter.open(path, ['i', 'text']);
  const expected: string[][] = [];
  for (let i = 0; i < 60_000; i++) {
    const text = i % 7_919 === 0 ? `long ${'x'.repeat(300_000)}` : `t${i * i}`;
    expected.push([String(i), text]);
    csv.row([i, text]);
  }
  csv.close();
  assert.is(csv.rows, 60_000);
  assert.equal(await textsOf(path, ['i', 'text']), expected);
  const packed = put(`${path}.gz`, gzipSync(readFileSync(path)));
  assert.equal(
    await textsOf(packed, ['text', 'i']),
    expected.map(([i, text]) => [text, i]),
  );
});

test('a quote late in a large file hands over to the full parser at that line', async () => {
  const lines = Array.from({ length: 200_000 }, (_, i) => `${i},plain`);
  lines[150_000] = '150000,"two\nlines, one field"';
  const path = put(fresh(), `n,text\n${lines.join('\n')}\n`);
  let sum = 0;
  let quoted = '';
  let lastLine = 0;
  const { rows } = await readTable(path, { required: ['n', 'text'] }, (row) => {
    sum += row.integer(0);
    if (row.text(1) !== 'plain') quoted = row.text(1);
    lastLine = row.line;
  });
  assert.is(rows, 200_000);
  assert.is(sum, (199_999 * 200_000) / 2);
  assert.is(quoted, 'two\nlines, one field');
  assert.is(lastLine, 200_002);
});

test('line ends, a byte order mark, column order and unknown columns do not matter', async () => {
  const path = put(fresh(), '\ufeffb,extra,a\r\n1,x,2\r\n\r\n3,y,4');
  const table = await readTable(path, { required: ['a'], optional: ['b', 'c'] }, (row) => {
    assert.is(row.integer(0), row.integer(1) + 1);
    assert.not.ok(row.hasColumn(2));
    assert.ok(row.isEmpty(2));
  });
  assert.equal(table, { rows: 2, ignored: ['extra'] });
});

test('a bad value is refused with file, row and column', async () => {
  const read = (
    content: string,
    use: (row: Parameters<Parameters<typeof readTable>[2]>[0]) => void,
  ) => {
    const path = put(fresh(), content);
    return readTable(path, { required: ['a', 'b'] }, use);
  };
  await refuses(
    () => read('a,b\n1,2\n3,x\n', (row) => row.integer(1)),
    'trace-bad-value',
    /\.csv:3:b: found "x"; expected a whole number of at least 0/,
  );
  await refuses(
    () => read('a,b\n1,-2\n', (row) => row.integer(1)),
    'trace-bad-value',
    /:2:b: found "-2"/,
  );
  await refuses(
    () => read('a,b\n1,\n', (row) => row.number(1)),
    'trace-bad-value',
    /:2:b: found nothing/,
  );
  await refuses(
    () => read('a,b\n1,2.5\n', (row) => row.integer(1)),
    'trace-bad-value',
    /:2:b: found "2.5"/,
  );
  await refuses(
    () => read('a,b\n1,2\n"q",7\n', (row) => row.integer(0)),
    'trace-bad-value',
    /:3:a: found "q"/,
  );
  await refuses(
    () => read('a,b\n1,2\n3\n', () => {}),
    'trace-bad-value',
    /:3:b: the row has 1 fields; expected 2/,
  );
  await refuses(() => read('a,b\n1,2,3\n', () => {}), 'trace-bad-value', /the row has 3 fields/);
  await refuses(() => read('a,c\n1,2\n', () => {}), 'trace-bad-header', /no column b; found a,c/);
  await refuses(() => read('a,b,a\n', () => {}), 'trace-bad-header', /"a" is there twice/);
  await refuses(() => read('', () => {}), 'trace-bad-header', /is empty/);
  await refuses(() => read('a,b\n1,"open\n', () => {}), 'trace-bad-value', /:\d+: /);
  await refuses(
    () => read(`a,b\n1,${'9'.repeat(2 ** 20)}\n`, () => {}),
    'trace-bad-value',
    /longer than/,
  );
  await refuses(
    () => read(`a,b\n1,"${'9'.repeat(2 ** 21)}"\n`, () => {}),
    'trace-bad-value',
    /longer than/,
  );
  await refuses(() => read('a,b\n1,\u0000\n', () => {}), 'file-corrupt', /:2: binary data/);
});

test('damaged gzip data and missing files are refused', async () => {
  const packed = gzipSync(`a\n${'1\n'.repeat(10_000)}`);
  const read = (path: string) => readTable(path, { required: ['a'] }, () => {});
  await refuses(
    () => read(put(join(folder, 'cut.gz'), packed.subarray(0, 40))),
    'file-corrupt',
    /ends in the middle/,
  );
  const flipped = Buffer.from(packed);
  flipped[25]! ^= 0xff;
  await refuses(
    () => read(put(join(folder, 'flipped.gz'), flipped)),
    'file-corrupt',
    /damaged gzip/,
  );
  await refuses(() => read(put(join(folder, 'plain.gz'), 'a\n1\n')), 'file-corrupt', /is not gzip/);
  await refuses(() => read(put(join(folder, 'empty.gz'), '')), 'file-corrupt', /is empty/);
  await refuses(() => read(join(folder, 'absent.csv')), 'file-not-found', /does not exist/);
  await refuses(() => read(folder), 'file-not-found', /is a folder/);
});

test('a file appears when it is closed, never before, and not at all when given up', async () => {
  const home = join(folder, 'atomic');
  const path = join(home, 'a', 'b.csv');
  const csv = CsvWriter.open(path, ['x']);
  csv.row([1]);
  assert.not.ok(existsSync(path));
  csv.close();
  assert.is(readFileSync(path, 'utf8'), 'x\n1\n');
  const given = CsvWriter.open(path, ['x']);
  given.row([2]);
  given.abort();
  assert.is(readFileSync(path, 'utf8'), 'x\n1\n');
  assert.equal(readdirSync(join(home, 'a')), ['b.csv']);
  await refuses(
    () => CsvWriter.open(join(path, 'c.csv'), ['x']),
    'file-unwritable',
    /cannot be written/,
  );
});

test.run();
