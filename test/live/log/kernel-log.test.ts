import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Delta, EndEntry, LogEntry, StartEntry, Unit } from '../../../live/log/entries.ts';
import { DECIDED_KEPT, KernelLog, REQUESTS_KEPT } from '../../../live/log/kernel-log.ts';
import { unitOf } from '../replica/fake-python.ts';
import { META, submitOf } from '../replica/world.ts';

/** A log that is fed entry by entry, and says what became of each. */
class Fed {
  readonly log = new KernelLog();
  #index = 0;

  feed(entry: LogEntry) {
    return this.log.apply(++this.#index, entry);
  }

  cell(cell: number, epoch: number, executor = 1, delta: Partial<Delta> = {}): void {
    this.feed(submitOf(cell, 'x'));
    this.feed(start(cell, cell + 1, epoch, executor));
    this.feed(end(cell, cell + 1, epoch, delta));
  }
}

function start(cell: number, attempt: number, epoch: number, executor = 1): StartEntry {
  return { v: 1, type: 'start', cell, attempt, epoch, executor, count: cell + 1, devices: [] };
}

function deltaOf(delta: Partial<Delta>): Delta {
  const nothing = { units: [], dropped: [], unreplicated: [], pinned: [], stateBytes: 0 };
  return { ...nothing, ...delta };
}

function end(cell: number, attempt: number, epoch: number, delta: Partial<Delta> = {}): EndEntry {
  const reply = { content: '{}', metadata: '{}' };
  const timings = { prepareMs: 0, runMs: 0, captureMs: 0, saveMs: 0 };
  const told = { reply, lastOutput: -1, timings, delta: deltaOf(delta) };
  return { v: 1, type: 'end', cell, attempt, epoch, ...told };
}

function abort(cell: number, attempt: number, epoch: number): LogEntry {
  const why = { reason: 'host-lost', message: '' } as const;
  return { v: 1, type: 'abort', cell, attempt, epoch, ...why };
}

const won = (applied: { notice: unknown }): unknown => (applied.notice as { won: boolean }).won;

test('the first START of a cell wins, and a repeated one says so too', () => {
  const fed = new Fed();
  fed.feed(submitOf(0, 'x'));
  assert.is(won(fed.feed(start(0, 1, 1, 1))), true);
  const again = fed.feed(start(0, 1, 1, 1));
  assert.equal([again.changed, won(again)], [false, true]);
  assert.is(won(fed.feed(start(0, 2, 2, 2))), false);
  assert.is(fed.log.executor, 1);
  assert.is(fed.log.nextAttempt, 3);
});

test('a second cell does not start before the first is decided', () => {
  const fed = new Fed();
  fed.feed(submitOf(0, 'x'));
  fed.feed(submitOf(1, 'x'));
  fed.feed(start(0, 1, 1));
  assert.is(won(fed.feed(start(1, 2, 2))), false);
  fed.feed(end(0, 1, 1));
  assert.is(won(fed.feed(start(1, 3, 3))), true);
});

test('whichever of END and ABORT comes first decides', () => {
  const fed = new Fed();
  fed.feed(submitOf(0, 'x'));
  fed.feed(start(0, 1, 1));
  assert.is(won(fed.feed(end(0, 1, 1, { units: [unitOf('x', 1, '1')] }))), true);
  assert.is(won(fed.feed(abort(0, 1, 1))), false);
  assert.is(won(fed.feed(end(0, 1, 1))), true, 'a repeated END is no loser');
  fed.feed(submitOf(1, 'x'));
  fed.feed(start(1, 2, 2));
  assert.is(won(fed.feed(abort(1, 2, 3))), true);
  assert.is(won(fed.feed(end(1, 2, 2, { units: [unitOf('x', 2, '2')] }))), false);
  assert.is(fed.log.units.get('x')?.version, 1);
  assert.equal(
    fed.log.decided.map(({ entry }) => entry.type),
    ['end', 'abort'],
  );
});

test('an ABORT must know the attempt that runs', () => {
  const fed = new Fed();
  fed.feed(submitOf(0, 'x'));
  fed.feed(start(0, 1, 1));
  assert.is(won(fed.feed(abort(0, 0, 1))), false);
  assert.is(won(fed.feed(abort(0, 2, 1))), false);
  assert.is(won(fed.feed(abort(0, 1, 0))), false, 'of a stale epoch');
  assert.is(won(fed.feed(abort(0, 1, 1))), true);
  fed.feed(submitOf(1, 'x'));
  assert.is(won(fed.feed(abort(1, 0, 1))), true, 'what never started');
});

test('a running cell can be aborted by its executor after waiting ones were taken back', () => {
  const fed = new Fed();
  fed.feed(submitOf(0, 'x'));
  fed.feed(start(0, 1, 1, 1));
  fed.feed(submitOf(1, 'x'));
  assert.is(won(fed.feed(abort(1, 0, 1001))), true);
  assert.is(won(fed.feed(abort(0, 1, 1))), true);
  assert.is(fed.log.open.size, 0);
});

test('a repeated START does not win again after its YIELD', () => {
  const fed = new Fed();
  fed.feed(submitOf(0, 'x'));
  fed.feed(start(0, 1, 1, 1));
  fed.feed({ v: 1, type: 'yield', cell: 0, attempt: 1, epoch: 1 });
  assert.is(won(fed.feed(start(0, 1, 1, 1))), false);
  assert.is(fed.log.running, undefined);
  assert.is(won(fed.feed(start(0, 2, 2, 2))), true);
  const { notice } = fed.feed(start(0, 3, 3, 1));
  assert.is((notice as { running?: number }).running, 0);
});

test('a yielded cell waits for another START', () => {
  const fed = new Fed();
  fed.feed(submitOf(0, 'x'));
  fed.feed(start(0, 1, 1));
  const give: LogEntry = { v: 1, type: 'yield', cell: 0, attempt: 1, epoch: 1 };
  assert.is(fed.feed(give).changed, true);
  assert.is(fed.feed(give).changed, false);
  assert.is(fed.log.openCells()[0]?.attempt, 0);
  assert.is(won(fed.feed(end(0, 1, 1))), false);
  assert.is(won(fed.feed(start(0, 2, 2, 2))), true);
});

test('a request is taken once, also under another number', () => {
  const fed = new Fed();
  const notice = (entry: LogEntry): unknown => fed.feed(entry).notice;
  const duplicate = (entry: LogEntry): unknown =>
    (notice(entry) as { duplicate: boolean }).duplicate;
  assert.is(duplicate(submitOf(0, 'x', 'a')), false);
  assert.is(duplicate(submitOf(0, 'x', 'a')), false, 'the same proposal again');
  assert.is(duplicate(submitOf(1, 'x', 'a')), true);
  assert.is(duplicate(submitOf(0, 'x', 'b')), true, 'a number that is taken');
  assert.is(fed.log.open.size, 1);
  fed.cell(5, 1);
  assert.is(duplicate(submitOf(6, 'x', 'cell-5')), true, 'of a decided cell');
});

test('what is remembered of requests and decided cells is bounded', () => {
  const fed = new Fed();
  for (let cell = 0; cell < REQUESTS_KEPT + 10; cell++) fed.cell(cell, cell + 1);
  const state = fed.log.state();
  assert.is(state.requests.length, REQUESTS_KEPT);
  assert.is(state.decided.length, DECIDED_KEPT);
  assert.is(fed.log.open.size, 0);
});

test('STATE counts once, of the executor in its epoch, and not after the END that has it', () => {
  const fed = new Fed();
  fed.cell(0, 1, 1);
  const state = (n: number, epoch: number, executor: number, units: Unit[]): LogEntry => ({
    ...{ v: 1, type: 'state', epoch, executor, n },
    delta: deltaOf({ units }),
  });
  assert.is(fed.feed(state(5, 1, 1, [unitOf('x', 1, '1')])).changed, true);
  assert.is(fed.feed(state(5, 1, 1, [unitOf('x', 1, '1')])).changed, false);
  assert.is(fed.feed(state(6, 0, 1, [])).changed, false);
  assert.is(fed.feed(state(6, 1, 2, [])).changed, false);
  fed.feed(submitOf(1, 'x'));
  fed.feed(start(1, 2, 2, 1));
  fed.feed({ ...end(1, 2, 2, { units: [unitOf('x', 3, '3')] }), n: 9 });
  assert.is(fed.feed(state(8, 2, 1, [unitOf('x', 2, '2')])).changed, false);
  assert.is(fed.log.units.get('x')?.version, 3);
});

test('RESET empties the state once for each epoch and aborts what is open', () => {
  const fed = new Fed();
  fed.cell(0, 1, 1, { units: [unitOf('x', 1, '1')], pinned: ['a thread'] });
  fed.feed(submitOf(1, 'x'));
  fed.feed(start(1, 2, 2));
  fed.feed(submitOf(2, 'x'));
  assert.is(fed.feed({ v: 1, type: 'reset', epoch: 3 }).changed, true);
  assert.is(fed.feed({ v: 1, type: 'reset', epoch: 3 }).changed, false);
  const { units, open, running, count, pinned, decided } = fed.log;
  assert.equal([units.size, open.size, running, count, pinned.length], [0, 0, undefined, 0, 0]);
  assert.is(decided.length, 3);
  assert.is(won(fed.feed(end(1, 2, 2))), false);
});

test('the first entry names the kernel, later ones annotate it', () => {
  const fed = new Fed();
  assert.is(fed.feed({ v: 1, type: 'create', meta: META }).changed, true);
  assert.is(fed.feed({ v: 1, type: 'create', meta: { ...META, name: 'b' } }).changed, false);
  fed.feed({ v: 1, type: 'annotate', path: 'dir/c.ipynb' });
  assert.is(fed.log.meta?.path, 'dir/c.ipynb');
  assert.is(fed.log.meta?.name, 'a');
  fed.feed({ v: 1, type: 'saved', index: 7 });
  fed.feed({ v: 1, type: 'saved', index: 3 });
  assert.is(fed.log.saved, 7);
});

test('of a kernel that visits hosts, that a cell has run is to be saved, whatever it changed', () => {
  for (const [meta, changedAt] of [
    [META, 1],
    [{ ...META, visits: true as const, replicas: 1 }, 4],
  ] as const) {
    const fed = new Fed();
    fed.feed({ v: 1, type: 'create', meta });
    fed.cell(0, 1);
    assert.is(fed.log.changedAt, changedAt);
  }
});

test('a log goes on from its state as if it had all entries', () => {
  const fed = new Fed();
  fed.feed({ v: 1, type: 'create', meta: META });
  fed.cell(0, 1, 1, { units: [unitOf('x', 1, '1'), unitOf('y', 1, '1')] });
  fed.cell(1, 2, 2, { dropped: ['y'], unreplicated: [{ name: 'f', reason: 'an open file' }] });
  fed.feed(submitOf(2, 'x'));
  fed.feed(start(2, 3, 3));
  fed.feed(submitOf(3, 'x'));
  const again = KernelLog.from(JSON.parse(JSON.stringify(fed.log.state())));
  assert.equal(again.state(), fed.log.state());
  assert.is(again.running?.submit.cell, 2);
  for (const log of [again, fed.log]) log.apply(20, end(2, 3, 3));
  assert.equal(again.state(), fed.log.state());
});

test('a damaged state is refused', () => {
  const state = new Fed().log.state();
  const code = (value: unknown): string => {
    try {
      KernelLog.from(value);
    } catch (error) {
      return (error as { code: string }).code;
    }
    return '';
  };
  assert.is(code(state), '');
  assert.is(code({ ...state, v: 2 }), 'format-version');
  for (const value of [null, 1, [], {}, { ...state, units: [1] }, { ...state, open: [{}] }])
    assert.is(code(value), 'log-corrupt');
  for (const name of Object.keys(state)) {
    const { [name as 'v']: _gone, ...rest } = state;
    assert.is(code(rest), 'log-corrupt', name);
  }
});

test.run();
