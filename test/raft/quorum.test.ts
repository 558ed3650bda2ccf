import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type ConfigChange,
  changed,
  configurationOf,
  isConfiguration,
  membersOf,
} from '../../core/raft/configuration.ts';
import { majority, reachedByQuorum, tally } from '../../core/raft/quorum.ts';

const SEED = 20_140_619;

test('any two majorities meet', () => {
  for (let voters = 1; voters <= 9; voters++) {
    assert.ok(2 * majority(voters) > voters);
    assert.ok(2 * (majority(voters) - 1) <= voters);
  }
});

test('what a quorum reached is the largest number that a majority has', () => {
  const numbers = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 7 });
  fc.assert(
    fc.property(numbers, (reached) => {
      const config = configurationOf(reached.map((_, at) => at + 1));
      const found = reachedByQuorum(config, (id) => reached[id - 1]!);
      const have = (least: number): number => reached.filter((number) => number >= least).length;
      assert.ok(have(found) >= majority(reached.length));
      assert.ok(have(found + 1) < majority(reached.length));
    }),
    { seed: SEED },
  );
  assert.is(
    reachedByQuorum(configurationOf([], [1]), () => 5),
    0,
  );
});

test('an election is decided exactly when open votes cannot change it', () => {
  const votes = fc.array(fc.constantFrom(true, false, undefined), { minLength: 1, maxLength: 7 });
  fc.assert(
    fc.property(votes, (given) => {
      const config = configurationOf(given.map((_, at) => at + 1));
      const cast = new Map<number, boolean>();
      for (const [at, vote] of given.entries()) if (vote !== undefined) cast.set(at + 1, vote);
      const granted = given.filter((vote) => vote === true).length;
      const open = given.filter((vote) => vote === undefined).length;
      const best = granted + open >= majority(given.length);
      const worst = granted >= majority(given.length);
      assert.is(tally(config, cast), worst ? 'won' : best ? 'open' : 'lost');
    }),
    { seed: SEED },
  );
});

test('votes of strangers and learners do not count', () => {
  const votes = new Map([
    [1, true],
    [4, true],
    [9, true],
  ]);
  assert.is(tally(configurationOf([1, 2, 3], [4]), votes), 'open');
});

const CHANGES = fc.array(
  fc.record({
    type: fc.constantFrom<ConfigChange['type']>('add-learner', 'promote', 'demote', 'remove'),
    member: fc.integer({ min: 1, max: 6 }),
  }),
  { maxLength: 30 },
);

test('each change leaves a sound configuration whose majorities meet those before it', () => {
  fc.assert(
    fc.property(CHANGES, (changes) => {
      let config = configurationOf([1, 2, 3]);
      for (const change of changes) {
        const next = changed(config, change, 5);
        if (typeof next === 'string') continue;
        assert.ok(isConfiguration(next));
        assert.ok(next.voters.length >= 1 && membersOf(next).length <= 5);
        const both = config.voters.filter((id) => next.voters.includes(id)).length;
        const either = new Set([...config.voters, ...next.voters]).size;
        assert.ok(either - both <= 1, 'one voter at most comes or goes');
        config = next;
      }
    }),
    { seed: SEED },
  );
});

test('a change that makes no sense is named', () => {
  const config = configurationOf([1], [2]);
  const cases: [ConfigChange['type'], number, number, string][] = [
    ['add-learner', 1, 9, 'already-member'],
    ['add-learner', 3, 2, 'too-many-members'],
    ['promote', 1, 9, 'not-a-learner'],
    ['demote', 2, 9, 'not-a-voter'],
    ['demote', 1, 9, 'last-voter'],
    ['remove', 1, 9, 'last-voter'],
    ['remove', 7, 9, 'not-a-member'],
  ];
  for (const [type, member, most, mistake] of cases)
    assert.is(changed(config, { type, member }, most), mistake);
});

test.run();
