import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  allocateExecution,
  type Execution,
  newExecutionBook,
} from '../../core/books/execution-book.ts';
import { vectorForGpus } from '../../core/resources.ts';
import { byExpectedTime, bySubmission, type Served, WaitQueue } from '../../core/wait-queue.ts';

const ACTION = fc.record({
  what: fc.constantFrom('add', 'add', 'add', 'remove', 'pass', 'before', 'change'),
  which: fc.nat(1000),
  gpus: fc.integer({ min: 1, max: 4 }),
  at: fc.integer({ min: 0, max: 30 }),
  expectedMs: fc.integer({ min: -1, max: 5 }),
  idle: fc.integer({ min: 0, max: 8 }),
  strict: fc.boolean(),
  blocked: fc.integer({ min: 2, max: 6 }),
});
type Action = typeof ACTION extends fc.Arbitrary<infer A> ? A : never;

/** The queue beside a plain sorted list of the same executions. */
class Pair {
  private readonly book = newExecutionBook();
  private readonly queue: WaitQueue;
  private list: Execution[] = [];
  private readonly compare: (a: Execution, b: Execution) => number;

  constructor(compare: (a: Execution, b: Execution) => number) {
    this.compare = compare;
    this.queue = new WaitQueue(compare);
  }

  do(action: Action): void {
    const { what, which, at } = action;
    const chosen = this.list[which % Math.max(1, this.list.length)];
    if (what === 'add') {
      const execution = allocateExecution(this.book);
      execution.need = vectorForGpus(1000 * action.gpus);
      execution.submittedAt = at;
      execution.expectedMs = action.expectedMs;
      this.queue.add(execution);
      this.list.push(execution);
    } else if (what === 'remove' && chosen !== undefined) {
      this.queue.remove(chosen);
      this.list.splice(this.list.indexOf(chosen), 1);
    } else if (what === 'change' && this.list.length > 0) {
      for (const execution of this.list) execution.expectedMs = (execution.expectedMs * 7 + at) % 6;
      this.queue.sortAgain();
    } else if (what === 'pass') {
      this.pass(action, null);
    } else if (what === 'before' && chosen !== undefined && !action.strict) {
      this.pass(action, chosen);
    }
    this.list.sort(this.compare);
    assert.equal(ids(this.queue.inOrder()), ids(this.list));
    assert.is(this.queue.first()?.id, this.list[0]?.id);
    assert.is(this.queue.oldest()?.id, [...this.list].sort(bySubmission)[0]?.id);
    assert.is(this.queue.size, this.list.length);
    const gpuMillis = this.list.reduce((sum, { need }) => sum + need.gpuMillis, 0);
    assert.is(this.queue.gpuMillis, gpuMillis);
  }

  /**
   * Serves what fits in `idle` GPUs; every `blocked`-th execution cannot run for its own reason.
   */
  private pass({ idle, strict, blocked }: Action, before: Execution | null): void {
    let left = 1000 * idle;
    const outcomeOf = ({ id, need }: Execution): Served => {
      if (need.gpuMillis > left) return 'blocked-class';
      if (id % blocked === 0) return 'blocked-self';
      left -= need.gpuMillis;
      return 'served';
    };
    const expected: number[] = [];
    for (const execution of [...this.list].sort(this.compare)) {
      if (before !== null && this.compare(execution, before) > 0) break;
      const outcome = outcomeOf(execution);
      if (outcome === 'served') expected.push(execution.id);
      else if (strict) break;
    }
    left = 1000 * idle;
    const served: number[] = [];
    this.queue.pass(
      (group) => group.need.gpuMillis <= left,
      (execution) => {
        const outcome = outcomeOf(execution);
        if (outcome !== 'served') return outcome;
        served.push(execution.id);
        this.queue.remove(execution);
        return outcome;
      },
      strict,
      before,
    );
    assert.equal(served, expected);
    this.list = this.list.filter(({ id }) => !served.includes(id));
  }
}

function ids(executions: readonly Execution[]): number[] {
  return executions.map(({ id }) => id);
}

for (const compare of [bySubmission, byExpectedTime]) {
  test(`${compare.name}: a pass serves what a walk through a sorted list serves`, () => {
    fc.assert(
      fc.property(fc.array(ACTION, { minLength: 30, maxLength: 150 }), (actions) => {
        const pair = new Pair(compare);
        for (const action of actions) pair.do(action);
      }),
      { seed: 20_260_102, numRuns: 300 },
    );
  });
}

test.run();
