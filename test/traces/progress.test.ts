import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { progressLine, startProgress } from '../../traces/progress.ts';

/** A terminal that keeps what is written to it. */
function terminal(isTTY: boolean) {
  const written: string[] = [];
  const stream = { isTTY, write: (text: string) => written.push(text) };
  return { written, stream: stream as unknown as NodeJS.WriteStream };
}

test('a line has share, rate and time left', () => {
  assert.is(
    progressLine('reading', 5, 20, 0.001, 'MB'),
    'reading [######..................] 25 %  1 MB/s  15.0 s left',
  );
  assert.is(progressLine('reading', 5, 0, 0.001, 'MB'), 'reading  5 MB  1 MB/s');
  assert.match(progressLine('reading', 30, 20, 1, 'MB'), '100 %');
});

test('it appears after a second, is drawn at most ten times a second, and goes away', () => {
  const { written, stream } = terminal(true);
  let now = 0;
  const bar = startProgress('runs', { unit: 'runs', stream, now: () => now });
  for (now = 0; now <= 1_500; now += 10) bar.update(now, 3_000);
  bar.end();
  assert.is(written.length, 7);
  assert.match(written[0]!, '\r\u001b[Kruns [########................] 33 %');
  assert.is(written.at(-1), '\r\u001b[K');
});

test('what takes less than a second, is not a terminal, or is quiet, stays silent', () => {
  for (const [isTTY, quiet, until] of [
    [true, false, 900],
    [false, false, 5_000],
    [true, true, 5_000],
  ] as const) {
    const { written, stream } = terminal(isTTY);
    let now = 0;
    const bar = startProgress('runs', { unit: 'runs', quiet, stream, now: () => now });
    for (now = 0; now <= until; now += 10) bar.update(now, 3_000);
    bar.end();
    assert.equal(written, []);
  }
});

test.run();
