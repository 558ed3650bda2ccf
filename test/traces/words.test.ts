import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { durationOf, formatDuration, parseDuration } from '../../traces/duration.ts';
import { editDistance, nearestWord, suggestion } from '../../traces/suggest.ts';
import { shortNumber, textTable } from '../../traces/text-table.ts';

test('edit distance counts inserts, deletes, replacements and swaps', () => {
  const cases: [string, string, number][] = [
    ['', 'abc', 3],
    ['hosts', 'hosst', 1],
    ['replica', 'replicas', 1],
    ['kitten', 'sitting', 3],
    ['same', 'same', 0],
  ];
  for (const [a, b, distance] of cases) assert.is(editDistance(a, b), distance, `${a} ${b}`);
});

test('edit distance is symmetric, 0 only for equal words, at most the longer length', () => {
  const word = fc.string({ maxLength: 8 });
  fc.assert(
    fc.property(word, word, (a, b) => {
      const distance = editDistance(a, b);
      assert.is(distance, editDistance(b, a));
      assert.is(distance === 0, a === b);
      assert.ok(distance <= Math.max(a.length, b.length));
      assert.ok(distance >= Math.abs(a.length - b.length));
    }),
    { seed: 7 },
  );
});

test('suggests the nearest word, or the list', () => {
  const words = ['reservation', 'batch-fcfs', 'notebookos', 'lcp'];
  assert.is(nearestWord('notebooks', words), 'notebookos');
  assert.is(nearestWord('batchfcfs', words), 'batch-fcfs');
  assert.is(nearestWord('reserv', words), 'reservation');
  assert.is(nearestWord('tiresias', words), undefined);
  assert.is(suggestion('lpc', words), 'Did you mean lcp?');
  assert.is(suggestion('xyzzyq', ['a', 'b']), 'It can be one of: a, b.');
});

test('reads and writes durations', () => {
  const cases: [string, number | undefined][] = [
    ['17.5h', 63_000_000],
    ['5min', 300_000],
    ['30s', 30_000],
    ['250ms', 250],
    ['2 d', 172_800_000],
    ['0.1s', 100],
    ['5', undefined],
    ['-5s', undefined],
    ['5m', undefined],
    ['', undefined],
  ];
  for (const [text, ms] of cases) assert.is(parseDuration(text), ms, text);
  assert.throws(() => durationOf('--until', '5'), /--until: expected a duration such as/);
  assert.equal([0, 250, 4_200, 90_000, 63_000_000, 86_400_000].map(formatDuration), [
    '0 ms',
    '250 ms',
    '4.2 s',
    '1 min 30 s',
    '17 h 30 min',
    '1 d',
  ]);
});

test('tables are aligned, numbers right', () => {
  assert.is(
    textTable(
      ['policy', 'GPU-hours'],
      [
        ['lcp', 1234.5],
        ['notebookos', 7],
      ],
    ),
    'policy      GPU-hours\n----------  ---------\nlcp             1,235\nnotebookos          7\n',
  );
  const wrapped = textTable(
    ['a', 'text'],
    [['x', 'some words that are long enough to wrap twice']],
    {
      width: 26,
    },
  );
  assert.ok(wrapped.split('\n').every((line) => line.length <= 26));
  assert.equal([0.1234, 1.5, 123.45, 12, Number.NaN].map(shortNumber), [
    '0.123',
    '1.50',
    '123.5',
    '12',
    '-',
  ]);
});

test.run();
