import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { EventHeap, MAX_PRIORITY } from '../../sim/heap.ts';

interface Pending {
  atMs: number;
  priority: number;
  order: number;
}

/** The plain model of the heap: a list, sorted before each pop. */
class SortedList {
  readonly pending: Pending[] = [];

  least(): Pending | undefined {
    return this.pending.sort(
      (x, y) => x.atMs - y.atMs || x.priority - y.priority || x.order - y.order,
    )[0];
  }
}

const few = fc.record({
  push: fc.integer({ min: 0, max: 99 }),
  atMs: fc.oneof(fc.integer({ min: 0, max: 5 }), fc.constantFrom(0.5, 1e15, Infinity)),
  priority: fc.constantFrom(0, 1, MAX_PRIORITY),
});

test('leaves in the order of a sorted list, whatever the mix of pushes and pops', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 20, max: 90 }),
      fc.array(few, { maxLength: 400 }),
      (share, ops) => {
        const heap = new EventHeap();
        const list = new SortedList();
        ops.forEach((op, order) => {
          if (op.push < share) {
            heap.push(op.atMs, op.priority, order, -order, order * 7);
            list.pending.push({ ...op, order });
          } else {
            popBoth(heap, list);
          }
          assert.is(heap.size, list.pending.length);
          assert.is(heap.peekAtMs(), list.least()?.atMs ?? Infinity);
        });
        while (list.pending.length > 0) popBoth(heap, list);
        assert.is(heap.pop(), false);
      },
    ),
    { seed: 3, numRuns: 300 },
  );
});

function popBoth(heap: EventHeap, list: SortedList): void {
  const least = list.least();
  list.pending.shift();
  assert.is(heap.pop(), least !== undefined);
  if (least === undefined) return;
  assert.equal(
    [heap.atMs, heap.kind, heap.a, heap.b],
    [least.atMs, least.order, -least.order, least.order * 7],
  );
}

test('equal events leave in the order in which they came, far beyond the first capacity', () => {
  const heap = new EventHeap();
  for (let i = 0; i < 5000; i++) heap.push(7, 2, 0, i, 0);
  for (let i = 0; i < 5000; i++) {
    assert.ok(heap.pop());
    assert.is(heap.a, i);
  }
  assert.is(heap.size, 0);
});

test('a lower priority comes first among events of one moment only', () => {
  const heap = new EventHeap();
  heap.push(10, 5, 1, 0, 0);
  heap.push(10, 0, 2, 0, 0);
  heap.push(9, 127, 3, 0, 0);
  const kinds = [];
  while (heap.pop()) kinds.push(heap.kind);
  assert.equal(kinds, [3, 2, 1]);
});

test('a pop from an empty heap moves nothing, and the heap goes on', () => {
  const heap = new EventHeap();
  assert.is(heap.pop(), false);
  heap.push(4, 0, 1, 2, 3);
  assert.ok(heap.pop());
  assert.is(heap.pop(), false);
  assert.equal([heap.atMs, heap.kind, heap.a, heap.b], [4, 1, 2, 3]);
  heap.push(3, 0, 9, 0, 0);
  assert.is(heap.peekAtMs(), 3);
  assert.ok(heap.pop());
  assert.is(heap.kind, 9);
});

test('payloads are 32-bit integers, both ends of the range included', () => {
  const heap = new EventHeap();
  heap.push(0, 0, 2147483647, -2147483648, -1);
  heap.pop();
  assert.equal([heap.kind, heap.a, heap.b], [2147483647, -2147483648, -1]);
});

test('refuses a time that cannot be ordered', () => {
  const heap = new EventHeap();
  assert.throws(() => heap.push(NaN, 0, 0, 0, 0), /NaN/);
  assert.throws(() => heap.push(-1, 0, 0, 0, 0), /-1/);
  assert.is(heap.size, 0);
});

test.run();
