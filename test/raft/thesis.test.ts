import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { configurationOf, MemoryStorage } from '../../core/raft/index.ts';
import { Group } from './group.ts';

/** One test for each claim of Ongaro, Consensus: Bridging Theory and Practice (2014), by section. */

const PLAIN = { preVote: false, checkQuorum: false };
const BEAT = { from: 3, to: 1, commit: 0, round: 1, rest: false };

test('3.10: a transfer takes less than an election timeout', () => {
  const group = Group.of(3);
  group.elect(1);
  assert.is(group.node(1).transferTo(3), undefined);
  group.settle();
  assert.equal(group.leaders(), [3]);
});

test('4.1: members act on a configuration from the moment it is in their log', () => {
  const group = Group.of(3, PLAIN);
  group.elect(1);
  group.cut([2, 3]);
  assert.ok(group.node(1).proposeChange({ type: 'demote', member: 3 }).ok);
  group.settle();
  assert.equal(group.node(1).config, configurationOf([1, 2], [3]));
  assert.ok(group.node(1).configPending);
});

test('4.1, and its correction: no change before an entry of the leader’s own term', () => {
  const group = Group.of(4, PLAIN);
  group.elect(1);
  group.cut([2], [1, 3, 4]);
  group.node(2).campaign();
  group.settle();
  group.heal();
  group.cut([1, 2], [3, 4]);
  group.node(2).campaign();
  group.settle();
  group.heal();
  group.node(2).campaign();
  group.work(2);
  group.deliver(({ type }) => type === 'vote');
  group.workAll();
  group.deliver(({ type }) => type === 'vote-reply');
  assert.is(group.node(2).role, 'leader');
  const answer = group.node(2).proposeChange({ type: 'remove', member: 4 });
  assert.equal(answer, { ok: false, reason: 'not-ready' });
  group.settle();
  assert.ok(group.node(2).proposeChange({ type: 'remove', member: 4 }).ok);
  assert.equal(group.node(2).proposeChange({ type: 'remove', member: 3 }), {
    ok: false,
    reason: 'change-pending',
  });
});

test('4.2.1: a learner does not hold up commits', () => {
  const group = Group.of(1);
  group.elect(1);
  assert.ok(group.node(1).proposeChange({ type: 'add-learner', member: 2 }).ok);
  group.propose(1, 'a');
  group.settle();
  assert.equal(group.at(1).applied, ['a']);
});

test('4.2.2: a leader that is removed leads until that is committed, then leaves', () => {
  const group = Group.of(3, PLAIN);
  group.elect(1);
  group.cut([2, 3]);
  assert.ok(group.node(1).proposeChange({ type: 'remove', member: 1 }).ok);
  group.settle();
  assert.is(group.node(1).role, 'leader');
  group.cut([3]);
  group.heal();
  group.cut([3]);
  group.tick(1);
  group.settle();
  assert.is(group.node(1).role, 'leader', 'it does not count itself: one of two is no majority');
  group.heal();
  group.tick(1);
  group.settle();
  assert.not.equal(group.leaders(), [1]);
  assert.is(group.node(1).role, 'follower');
});

test('4.2.2: a member that an uncommitted entry removes may still have to lead', () => {
  const config = configurationOf([1, 2]);
  const group = new Group(PLAIN);
  group.start(1, MemoryStorage.forGroup(config));
  group.start(2, MemoryStorage.forGroup(config));
  group.elect(1);
  group.cut([1]);
  assert.ok(group.node(1).proposeChange({ type: 'remove', member: 1 }).ok);
  group.settle();
  group.stop(1);
  group.restart(1);
  group.heal();
  group.node(2).campaign();
  group.settle();
  assert.equal(group.leaders(), [], 'the log of 2 lacks an entry that 1 has');
  group.node(1).campaign();
  group.settle();
  assert.equal(group.node(2).config, configurationOf([2]));
  assert.equal(group.leaders(), [2], 'it led, committed its removal and handed over');
});

test('6.4: a read is served once a quorum confirms the leader, without an entry', () => {
  const group = Group.of(3);
  group.elect(1);
  group.propose(1, 'a');
  group.settle();
  const { last } = group.node(1);
  assert.is(group.node(1).read(5), undefined);
  group.told = [];
  group.settle();
  assert.ok(group.told.includes(`1 may read for 5 at ${last}`));
  assert.is(group.node(1).last, last);
});

test('9.6: a pre-vote changes neither term nor vote of those who are asked', () => {
  const group = Group.of(3, { checkQuorum: false });
  const ask = { to: 1, term: 5, pre: true, lastIndex: 0, lastTerm: 0, transfer: false };
  group.node(1).step({ type: 'vote', from: 2, ...ask });
  group.node(1).step({ type: 'vote', from: 3, ...ask });
  group.work(1);
  assert.equal(
    group.sent('vote-reply').map(({ granted, term }) => [granted, term]),
    [
      [true, 5],
      [true, 5],
    ],
  );
  assert.is(group.node(1).term, 0);
  assert.equal(group.at(1).storage.hardState(), { term: 0, vote: 0, commit: 0 });
});

test('9.6: a grant of an earlier pre-vote does not count in a later one', () => {
  const group = Group.of(3);
  group.node(1).campaign();
  const reply = { to: 1, term: 1, pre: true, granted: true };
  group.node(1).step({ type: 'heartbeat', ...BEAT, term: 4 });
  group.tick(1, 20);
  assert.is(group.node(1).role, 'pre-candidate');
  group.node(1).step({ type: 'vote-reply', from: 2, ...reply, term: 4 });
  assert.is(group.node(1).role, 'pre-candidate');
  group.node(1).step({ type: 'vote-reply', from: 2, ...reply, term: 5 });
  assert.is(group.node(1).role, 'candidate');
});

test('10.2.1: the leader’s appends leave before its own write, its votes never', () => {
  const group = Group.of(3);
  group.elect(1);
  group.propose(1, 'a');
  const ready = group.node(1).ready()!;
  assert.equal(
    ready.early.map(({ type }) => type),
    ['append', 'append'],
  );
  assert.equal(ready.messages, []);
  assert.is(group.node(1).committed, 1, 'its own copy counts once it is written');
  const ask = { to: 2, term: 9, pre: false, lastIndex: 9, lastTerm: 9, transfer: true };
  group.node(2).step({ type: 'vote', from: 3, ...ask });
  const vote = group.node(2).ready()!;
  assert.equal(vote.early, []);
  assert.is(vote.messages.length, 1);
  assert.ok(vote.mustSync);
});

test.run();
