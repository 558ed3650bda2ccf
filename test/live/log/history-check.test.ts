import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { LogEntry } from '../../../live/log/entries.ts';
import { checkHistory, type MemberHistory } from '../../../live/log/history-check.ts';
import { KernelLog } from '../../../live/log/kernel-log.ts';
import { startOf, submitOf } from '../replica/world.ts';

const DELTA = { units: [], dropped: [], unreplicated: [], pinned: [], stateBytes: 0 };

function end(cell: number, attempt: number, epoch: number): LogEntry {
  const timings = { prepareMs: 0, runMs: 0, captureMs: 0, saveMs: 0 };
  const reply = { content: '{}', metadata: '{}' };
  const told = { reply, lastOutput: -1, delta: DELTA, timings };
  return { v: 1, type: 'end', cell, attempt, epoch, ...told };
}

function history(member: number, entries: readonly LogEntry[], from = 1): MemberHistory {
  return { member, entries: entries.map((entry, at) => ({ index: from + at, entry })) };
}

const TWO = [
  submitOf(0, 'a'),
  startOf(0, 1, 1, 1),
  end(0, 1, 1),
  submitOf(1, 'b'),
  startOf(1, 2, 2, 2),
  end(1, 2, 2),
];

function kinds(
  entries: readonly LogEntry[],
  witness: readonly string[],
  more: Partial<Parameters<typeof checkHistory>[2]> = {},
): string[] {
  const found = checkHistory([history(1, entries)], witness, { settled: true, ...more });
  return found.map(({ kind }) => kind);
}

test('a sound history has no violations', () => {
  const whole = history(1, TWO);
  const behind = history(2, TWO.slice(0, 4));
  assert.equal(checkHistory([whole, behind], ['cell-0', 'cell-1'], { settled: true }), []);
});

test('each kind of violation is found', () => {
  assert.equal(kinds(TWO, ['cell-0', 'cell-0', 'cell-1']), ['ran-twice']);
  assert.equal(kinds(TWO, ['cell-0', 'cell-1', 'cell-9']), ['ran-unstarted']);
  assert.equal(kinds(TWO, ['cell-0']), ['not-run']);
  assert.equal(kinds(TWO, ['cell-1', 'cell-0']), ['order']);
  assert.equal(kinds(TWO.slice(0, 5), ['cell-0', 'cell-1']), ['lost']);
  assert.equal(kinds(TWO.slice(0, 5), ['cell-0', 'cell-1'], { settled: false }), []);
  assert.equal(kinds(TWO, ['cell-0', 'cell-1'], { accepted: ['cell-7'] }), ['lost']);
  const other = [...TWO.slice(0, 2), end(0, 1, 1), submitOf(1, 'c')];
  const [violation] = checkHistory([history(1, TWO), history(2, other)], ['cell-0', 'cell-1'], {
    settled: true,
  });
  assert.is(violation?.kind, 'diverged');
});

test('a log whose beginning is compacted away is told from its state on', () => {
  const log = new KernelLog();
  for (const [at, entry] of TWO.slice(0, 3).entries()) log.apply(at + 1, entry);
  const rest = history(1, TWO.slice(3), 4);
  const compacted = { ...rest, state: log.state() };
  assert.equal(checkHistory([compacted], ['cell-0', 'cell-1'], { settled: true }), []);
  assert.equal(
    checkHistory([compacted], ['cell-0'], { settled: true }).map(({ kind }) => kind),
    ['not-run'],
  );
});

test.run();
