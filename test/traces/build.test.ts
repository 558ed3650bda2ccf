import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { vector, vectorForGpus } from '../../core/resources.ts';
import { TraceBuilder } from '../../traces/build.ts';
import { refuses } from './scratch.ts';

const META = { name: 'built', source: 'test' };

test('sessions are ordered by (start, id), cells grouped and in time order', () => {
  const builder = new TraceBuilder();
  const b = builder.addSession({ id: 'b', startMs: 5, endMs: 50, user: 'u2', gpuType: 'T4' });
  builder.addSession({ id: 'c', startMs: 0, endMs: 90 });
  const a = builder.addSession({ id: 'a', startMs: 5, endMs: 60, user: 'u1' });
  builder.addCell({ session: a, submitMs: 30, durationMs: 1, shape: vectorForGpus(2000) });
  builder.addCell({ session: b, submitMs: 40, durationMs: 2, shape: vectorForGpus(1000) });
  builder.addCell({ session: a, submitMs: 10, durationMs: 3, shape: vectorForGpus(4000) });
  builder.addCell({
    session: a,
    submitMs: 10,
    durationMs: 4,
    shape: vectorForGpus(500),
    model: 'm',
    stateBytes: 7,
  });
  const { sessions, cells, shapes, users, gpuTypes, models, endMs } = builder.build(META);
  assert.equal(sessions.ids, ['c', 'a', 'b']);
  assert.equal([...sessions.firstCell], [0, 0, 3, 4]);
  assert.equal([...cells.submitMs], [10, 10, 30, 40]);
  assert.equal([...cells.durationMs], [3, 4, 1, 2]);
  assert.equal([...cells.stateBytes], [-1, 7, -1, -1]);
  assert.equal([...cells.utilizationPct], [255, 255, 255, 255]);
  assert.equal(
    Array.from(cells.model, (m) => models[m]),
    ['', 'm', '', ''],
  );
  assert.equal(
    Array.from(sessions.user, (u) => users[u]),
    ['', 'u1', 'u2'],
  );
  assert.equal(
    Array.from(sessions.gpuType, (t) => gpuTypes[t]),
    ['', '', 'T4'],
  );
  const gpus = Array.from(sessions.shape, (shape) => shapes[shape]!.gpuMillis);
  assert.equal(gpus, [0, 4000, 1000]);
  assert.is(endMs, 90);
});

test('a session claims the maximum of its cells in each dimension, and what it says itself', () => {
  const builder = new TraceBuilder();
  const plain = builder.addSession({ id: 'p', startMs: 0, endMs: 9 });
  const more = builder.addSession({ id: 'q', startMs: 0, endMs: 9, shape: vector(5, 5, 5, 500) });
  for (const session of [plain, more]) {
    builder.addCell({ session, submitMs: 0, durationMs: 1, shape: vector(10, 1, 3, 4) });
    builder.addCell({ session, submitMs: 1, durationMs: 1, shape: vector(1, 20, 2, 4) });
  }
  const { sessions, shapes } = builder.build(META);
  assert.equal(shapes[sessions.shape[0]!], vector(10, 20, 3, 4));
  assert.equal(shapes[sessions.shape[1]!], vector(10, 20, 5, 500));
});

test('equal content has an equal hash, whatever the order in which it was added', () => {
  const cell = fc.record({
    session: fc.nat(4),
    submitMs: fc.nat(1000),
    durationMs: fc.nat(50),
    gpus: fc.nat(3),
    model: fc.constantFrom('', 'x', 'y'),
  });
  const distinct = fc.uniqueArray(cell, {
    selector: (c) => `${c.session}/${c.submitMs}`,
    minLength: 1,
  });
  fc.assert(
    fc.property(distinct, fc.infiniteStream(fc.nat()), (cells, keys) => {
      const build = (list: typeof cells, ids: number[]) => {
        const builder = new TraceBuilder();
        const handles = new Map<number, number>();
        for (const i of ids)
          handles.set(
            i,
            builder.addSession({ id: `s${i}`, startMs: 0, endMs: 1000, user: `u${i % 2}` }),
          );
        for (const { session, gpus, ...rest } of list)
          builder.addCell({
            session: handles.get(session)!,
            shape: vectorForGpus(gpus * 1000),
            ...rest,
          });
        return builder.build(META);
      };
      const shuffled = cells
        .map((c) => ({ c, key: keys.next().value as number }))
        .sort((x, y) => x.key - y.key)
        .map(({ c }) => c);
      const one = build(cells, [0, 1, 2, 3, 4]);
      const two = build(shuffled, [3, 1, 4, 0, 2]);
      assert.is(one.hash, two.hash);
      assert.equal(one, two);
      const changed = build(
        cells.map((c, i) => (i === 0 ? { ...c, durationMs: 51 } : c)),
        [0, 1, 2, 3, 4],
      );
      assert.is.not(one.hash, changed.hash);
    }),
    { seed: 31, numRuns: 100 },
  );
});

test('with indexes, order follows them and time may not run backwards', async () => {
  const build = (cells: readonly (readonly [index: number, submitMs: number])[]) => {
    const builder = new TraceBuilder();
    const session = builder.addSession({ id: 's', startMs: 0, endMs: 100 });
    for (const [index, submitMs] of cells)
      builder.addCell({ session, index, submitMs, durationMs: index, shape: vectorForGpus(0) });
    return builder.build(META);
  };
  assert.equal(
    [
      ...build([
        [1, 5],
        [0, 5],
        [2, 9],
      ]).cells.durationMs,
    ],
    [0, 1, 2],
  );
  await refuses(
    () =>
      build([
        [1, 4],
        [0, 5],
      ]),
    'trace-order',
    /cell 1 of session "s".*before the cell ahead/,
  );
  await refuses(
    () =>
      build([
        [3, 4],
        [0, 1],
        [3, 5],
      ]),
    'trace-duplicate',
    /session "s" has cell 3 twice/,
  );
});

test('impossible times are refused', async () => {
  const build = (startMs: number, endMs: number, submitMs: number, durationMs = 1) => {
    const builder = new TraceBuilder();
    const session = builder.addSession({ id: 's', startMs, endMs });
    builder.addCell({ session, submitMs, durationMs, shape: vectorForGpus(0) });
    return builder.build(META);
  };
  await refuses(() => build(10, 5, 10), 'trace-order', /closes at 5 ms, before it opens at 10/);
  await refuses(() => build(10, 50, 9), 'trace-order', /before the session opens/);
  await refuses(() => build(10, 50, 51), 'trace-order', /after the session closes/);
  await refuses(() => build(-1, 50, 9), 'trace-bad-value', /whole milliseconds/);
  await refuses(() => build(0, 50, 9, 0.5), 'trace-bad-value', /whole milliseconds/);
  await refuses(() => build(0, Number.NaN, 9), 'trace-bad-value', /whole milliseconds/);
  await refuses(() => new TraceBuilder().build(META), 'trace-empty', /"built" has no session/);
  const builder = new TraceBuilder();
  builder.addSession({ id: 's', startMs: 0, endMs: 1 });
  await refuses(
    () => builder.addSession({ id: 's', startMs: 0, endMs: 1 }),
    'trace-duplicate',
    /"s" exists twice/,
  );
});

test('rebasing moves the first opening to 0', () => {
  const builder = new TraceBuilder();
  const session = builder.addSession({ id: 's', startMs: -20, endMs: 40 });
  builder.addSession({ id: 't', startMs: 10, endMs: 30 });
  builder.addCell({ session, submitMs: 0, durationMs: 5, shape: vectorForGpus(0) });
  const { sessions, cells, endMs } = builder.build({ ...META, rebase: true });
  assert.equal(
    [[...sessions.startMs], [...sessions.endMs], [...cells.submitMs]],
    [[0, 30], [60, 50], [20]],
  );
  assert.is(endMs, 60);
});

test.run();
