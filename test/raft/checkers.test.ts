// time-limit: 600 s
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Entry } from '../../core/raft/index.ts';
import { contradiction, type Operation } from './simulation/linearizability.ts';
import { planOf } from './simulation/plan.ts';
import { type Observed, Safety } from './simulation/safety.ts';
import type { Sabotage } from './simulation/sim-member.ts';
import { Simulation } from './simulation/simulation.ts';

/** The checkers and the simulator are themselves held to finding what is broken. */

function member(
  id: number,
  role: string,
  term: number,
  terms: readonly number[],
  committed = 0,
): Observed {
  const termAt = (index: number): number | undefined => (index === 0 ? 0 : terms[index - 1]);
  return { id, role, term, first: 1, last: terms.length, committed, termAt };
}

function entry(index: number, term: number, data: string): Entry {
  return { v: 1, index, term, kind: 'data', data };
}

function finds(name: RegExp, act: (safety: Safety) => void): void {
  try {
    act(new Safety());
  } catch (error) {
    assert.match((error as Error).message, name);
    return;
  }
  assert.unreachable(`${name} is found`);
}

test('each safety property is seen to be broken', () => {
  finds(/election safety/, (safety) => {
    safety.observe(member(1, 'leader', 2, [1]));
    safety.observe(member(2, 'leader', 2, [1]));
  });
  finds(/append-only/, (safety) => {
    safety.observe(member(1, 'leader', 2, [1, 2]));
    safety.observe(member(1, 'leader', 2, [1]));
  });
  finds(/append-only/, (safety) => {
    safety.observe(member(1, 'leader', 3, [1, 2]));
    safety.observe(member(1, 'leader', 3, [1, 3]));
  });
  finds(/leader completeness/, (safety) => {
    safety.observe(member(1, 'follower', 2, [1, 2], 2));
    safety.observe(member(2, 'leader', 3, [1]));
  });
  finds(/two entries are committed/, (safety) => {
    safety.observe(member(1, 'follower', 2, [1, 2], 2));
    safety.observe(member(2, 'follower', 3, [1, 3], 2));
  });
  finds(/log matching/, (safety) => {
    safety.holds(entry(2, 2, 'a'), 1);
    safety.holds(entry(2, 2, 'b'), 1);
  });
  finds(/log matching/, (safety) => {
    safety.holds(entry(2, 3, 'a'), 1);
    safety.holds(entry(2, 3, 'a'), 2);
  });
  finds(/state machine safety/, (safety) => {
    safety.applies(1, entry(1, 1, 'a'));
    safety.applies(2, entry(1, 2, 'a'));
  });
  const disk = { term: 4, last: 2, termAt: () => 1 };
  finds(/voted twice/, (safety) => {
    const reply = { type: 'vote-reply', from: 1, term: 4, pre: false, granted: true } as const;
    safety.promises({ ...reply, to: 2 }, disk);
    safety.promises({ ...reply, to: 3 }, disk);
  });
  const ok = { type: 'append-reply', from: 1, to: 2, term: 4, ok: true } as const;
  const hint = { hintIndex: 0, hintTerm: 0 };
  finds(/its disk ends/, (safety) => safety.promises({ ...ok, ...hint, index: 3 }, disk));
  finds(/another entry/, (safety) => {
    safety.observe(member(2, 'leader', 4, [1, 4]));
    safety.promises({ ...ok, ...hint, index: 2 }, disk);
  });
});

test('what is sound is not complained about', () => {
  const safety = new Safety();
  safety.observe(member(1, 'leader', 2, [1, 2], 2));
  // A leader of an older term, elected late, need not have what a newer term committed.
  safety.observe(member(2, 'leader', 1, [1]));
  safety.observe(member(1, 'leader', 2, [1, 2, 2], 3));
  safety.observe(member(3, 'leader', 3, [1, 2, 2, 3]));
  safety.holds(entry(2, 2, 'a'), 1);
  safety.holds(entry(2, 2, 'a'), 1);
});

/** All orders of the operations that respect time, tried one after the other. */
function linearizable(open: readonly Operation[], list: readonly string[]): boolean {
  const must = open.filter(({ returned }) => returned !== undefined);
  if (must.length === 0) return true;
  const soonest = Math.min(...must.map(({ returned }) => returned!));
  return open.some((operation) => {
    if (operation.invoked > soonest || operation.lost) return false;
    const rest = open.filter((each) => each !== operation);
    if (operation.kind === 'read')
      return operation.values === undefined
        ? linearizable(rest, list)
        : operation.values.join() === list.join() && linearizable(rest, list);
    const { position = list.length } = operation;
    return position === list.length && linearizable(rest, [...list, operation.value!]);
  });
}

const HISTORY = fc.array(
  fc.record({
    append: fc.boolean(),
    answered: fc.boolean(),
    at: fc.integer({ min: 0, max: 9 }),
    takes: fc.integer({ min: 1, max: 6 }),
    position: fc.integer({ min: 0, max: 3 }),
  }),
  { minLength: 1, maxLength: 5 },
);

/** A short history of appends and reads whose answers are right now and then. */
function historyOf(drawn: typeof HISTORY extends fc.Arbitrary<infer Drawn> ? Drawn : never) {
  const values = drawn.filter(({ append }) => append).map((_, at) => `v${at}`);
  let next = 0;
  const history: Operation[] = drawn.map(({ append, answered, at, takes, position }) => {
    const times = { invoked: at, ...(answered ? { returned: at + takes + 0.5 } : {}) };
    if (append) {
      const value = values[next++]!;
      return { kind: 'append', value, ...times, ...(answered ? { position } : {}) };
    }
    const seen = values.slice(0, position);
    return { kind: 'read', ...times, ...(answered ? { values: seen } : {}) };
  });
  // The final read, which the check asks for.
  history.push({ kind: 'read', invoked: 100, returned: 101, values });
  return history;
}

test('the check of linearizability agrees with a search through all orders', () => {
  let sound = 0;
  let broken = 0;
  fc.assert(
    fc.property(HISTORY, (drawn) => {
      const history = historyOf(drawn);
      const expected = linearizable(history, []);
      assert.is(contradiction(history) === '', expected, JSON.stringify(history));
      if (expected) sound++;
      else broken++;
    }),
    { seed: 1990, numRuns: 20_000 },
  );
  assert.ok(sound > 500 && broken > 500, `${sound} sound, ${broken} broken`);
});

const SABOTAGES: readonly Sabotage[] = ['send-before-write', 'forget-vote', 'forget-entries'];

for (const sabotage of SABOTAGES)
  test(`the simulator finds what is broken: ${sabotage}`, () => {
    for (let seed = 1; seed <= 60; seed++) {
      try {
        new Simulation(planOf(seed), sabotage).run();
      } catch {
        return;
      }
    }
    assert.unreachable('60 seeds do not show it');
  });

test('a seed repeats its run exactly', () => {
  for (const seed of [3, 14, 15]) {
    const first = new Simulation(planOf(seed)).run();
    assert.equal(new Simulation(planOf(seed)).run(), first);
  }
});

test.run();
