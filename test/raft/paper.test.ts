import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { configurationOf, MemoryStorage, RaftNode } from '../../core/raft/index.ts';
import { Group, storageWith } from './group.ts';

/**
 * One test for each claim of Ongaro and Ousterhout, In Search of an Understandable Consensus
 * Algorithm (2014), by its section; those of Ongaro's thesis are beside it.
 */

const PLAIN = { preVote: false, checkQuorum: false };

test('5.1: a smaller term is raised to a larger one that comes in', () => {
  const group = Group.of(3);
  group
    .node(1)
    .step({ type: 'heartbeat', from: 2, to: 1, term: 7, commit: 0, round: 1, rest: false });
  assert.is(group.node(1).term, 7);
  assert.is(group.node(1).leader, 2);
});

test('5.1: a leader or candidate that finds its term out of date becomes a follower', () => {
  for (const role of ['leader', 'candidate']) {
    const group = Group.of(3, PLAIN);
    if (role === 'leader') group.elect(1);
    else group.node(1).campaign();
    assert.is(group.node(1).role, role);
    group.node(1).step({ type: 'vote-reply', from: 2, to: 1, term: 9, pre: false, granted: false });
    assert.is(group.node(1).role, 'follower');
    assert.is(group.node(1).term, 9);
  }
});

test('5.1: a request with a stale term is rejected', () => {
  const group = Group.of(3);
  group.elect(1);
  const { term, last } = group.node(2);
  const stale = { to: 2, term: term - 1, prevIndex: 0, prevTerm: 0, entries: [], commit: 0 };
  assert.is(group.node(2).step({ type: 'append', from: 3, ...stale }), 'stale-term');
  assert.is(group.node(2).leader, 1);
  assert.is(group.node(2).last, last);
});

test('5.2: a server starts as a follower', () => {
  assert.is(Group.of(3).node(1).role, 'follower');
  const restarted = Group.of(3);
  restarted.elect(1);
  restarted.stop(1);
  assert.is(restarted.restart(1).node.role, 'follower');
});

test('5.2: a leader sends heartbeats to all others in each interval', () => {
  const group = Group.of(3, { heartbeatTicks: 3, electionTicks: 10 });
  group.elect(1);
  group.tick(1, 2);
  group.work(1);
  assert.equal(group.inFlight, []);
  group.tick(1);
  group.work(1);
  assert.equal(
    group.sent('heartbeat').map(({ to }) => to),
    [2, 3],
  );
});

test('5.2: a follower that hears nothing raises its term, votes for itself and asks for votes', () => {
  const group = Group.of(3, PLAIN);
  group.tick(1, 10);
  group.work(1);
  assert.is(group.node(1).role, 'candidate');
  assert.equal(group.at(1).storage.hardState(), { term: 1, vote: 1, commit: 0 });
  assert.equal(
    group.sent('vote').map(({ to, term }) => [to, term]),
    [
      [2, 1],
      [3, 1],
    ],
  );
});

test('5.2: votes of a majority make a leader, and only those', () => {
  const cases: [voters: number, grants: number, refusals: number, role: string][] = [
    [1, 0, 0, 'leader'],
    [3, 1, 0, 'leader'],
    [3, 0, 1, 'candidate'],
    [3, 0, 2, 'follower'],
    [5, 1, 0, 'candidate'],
    [5, 1, 3, 'follower'],
    [5, 2, 2, 'leader'],
    [4, 1, 0, 'candidate'],
    [4, 2, 0, 'leader'],
  ];
  for (const [voters, grants, refusals, role] of cases) {
    const group = Group.of(voters, PLAIN);
    group.node(1).campaign();
    group.work(1);
    for (let voter = 2; voter < 2 + grants + refusals; voter++) {
      const granted = voter < 2 + grants;
      const reply = { to: 1, term: 1, pre: false, granted };
      group.node(1).step({ type: 'vote-reply', from: voter, ...reply });
    }
    assert.is(group.node(1).role, role, `${voters} voters, ${grants} for, ${refusals} against`);
  }
});

test('5.2: a vote is given once a term, first come, also across a restart', () => {
  const group = Group.of(3, PLAIN);
  const ask = { to: 1, term: 1, pre: false, lastIndex: 0, lastTerm: 0, transfer: false };
  group.node(1).step({ type: 'vote', from: 2, ...ask });
  group.work(1);
  group.stop(1);
  group.restart(1);
  group.node(1).step({ type: 'vote', from: 3, ...ask });
  group.node(1).step({ type: 'vote', from: 2, ...ask });
  group.work(1);
  assert.equal(
    group.sent('vote-reply').map(({ to, granted }) => [to, granted]),
    [
      [2, true],
      [3, false],
      [2, true],
    ],
  );
});

test('5.2: a candidate that hears of a leader of its term, or a later one, follows it', () => {
  for (const term of [1, 2]) {
    const group = Group.of(3, PLAIN);
    group.node(1).campaign();
    const empty = { prevIndex: 0, prevTerm: 0, entries: [], commit: 0 };
    group.node(1).step({ type: 'append', from: 2, to: 1, term, ...empty });
    assert.is(group.node(1).role, 'follower');
    assert.is(group.node(1).leader, 2);
  }
});

test('5.2: a candidate without a majority campaigns anew, in the next term', () => {
  const group = Group.of(3, PLAIN);
  group.cut([1]);
  group.tick(1, 10);
  group.settle();
  group.tick(1, 10);
  assert.is(group.node(1).role, 'candidate');
  assert.is(group.node(1).term, 2);
});

test('5.2: election timeouts are spread over one to two times the least', () => {
  for (const [draw, expected] of [
    [0, 10],
    [0.35, 13],
    [0.999, 19],
  ] as [number, number][]) {
    const storage = MemoryStorage.forGroup(configurationOf([1, 2, 3]));
    const node = new RaftNode({ id: 1, storage, random: () => draw, electionTicks: 10 });
    let ticks = 0;
    for (; node.role === 'follower'; ticks++) node.tick();
    assert.is(ticks, expected, `a draw of ${draw}`);
  }
});

test('5.3: a proposal is appended, replicated in parallel, committed and applied everywhere', () => {
  const group = Group.of(3);
  group.elect(1);
  group.propose(1, 'a');
  group.work(1);
  assert.equal(
    group.sent('append').map(({ to, entries }) => [to, entries.map(({ data }) => data)]),
    [
      [2, ['a']],
      [3, ['a']],
    ],
  );
  assert.equal(group.at(1).applied, [], 'nothing is applied before a majority has it');
  group.settle();
  for (const id of [1, 2, 3]) assert.equal(group.at(id).applied, ['a']);
});

test('5.3: an entry is committed once a majority has it, slow members or not', () => {
  for (const [voters, cut, committed] of [
    [3, [3], true],
    [3, [2, 3], false],
    [5, [4, 5], true],
    [5, [3, 4, 5], false],
  ] as [number, number[], boolean][]) {
    const group = Group.of(voters, PLAIN);
    group.elect(1);
    group.cut(cut);
    group.propose(1, 'a');
    group.settle();
    assert.equal(group.at(1).applied, committed ? ['a'] : []);
  }
});

test('5.3: committing an entry commits all before it, of earlier leaders too', () => {
  const group = Group.withLogs([[1, 1, 2], [1, 1, 2], [1]], PLAIN);
  group.elect(1);
  assert.is(group.node(1).committed, 4);
  assert.equal(group.at(3).applied, ['1of1', '2of1', '3of2']);
});

test('5.3: an append is refused where the entry before it is not there', () => {
  const group = Group.withLogs([[1, 1, 2]], PLAIN);
  for (const [prevIndex, prevTerm, ok] of [
    [0, 0, true],
    [2, 1, true],
    [3, 2, true],
    [3, 3, false],
    [2, 2, false],
    [4, 2, false],
  ] as [number, number, boolean][]) {
    const body = { to: 1, term: 3, prevIndex, prevTerm, entries: [], commit: 0 };
    group.node(1).step({ type: 'append', from: 2, ...body });
    group.work(1);
    assert.is(group.sent('append-reply').at(-1)!.ok, ok, `after ${prevIndex}/${prevTerm}`);
  }
});

test('5.3: conflicting entries are cut, agreeing ones never', () => {
  const entry = (index: number, term: number) => ({
    v: 1,
    index,
    term,
    kind: 'data' as const,
    data: '',
  });
  for (const [entries, expected] of [
    [[entry(2, 1)], [1, 1, 1]],
    [[entry(2, 2)], [1, 2]],
    [
      [entry(2, 1), entry(3, 2), entry(4, 2)],
      [1, 1, 2, 2],
    ],
  ] as [ReturnType<typeof entry>[], number[]][]) {
    const group = Group.withLogs([[1, 1, 1]], PLAIN);
    const body = { to: 1, term: 2, prevIndex: 1, prevTerm: 1, entries, commit: 0 };
    group.node(1).step({ type: 'append', from: 2, ...body });
    assert.equal(group.terms(1), expected);
  }
});

test('5.3: a follower commits no further than what the append proved equal', () => {
  // Entries 2 and 3 are of an old leader; the new one asks only about entry 1, and has committed 3.
  const group = Group.withLogs([[1, 1, 1]], PLAIN);
  const body = { to: 1, term: 2, prevIndex: 1, prevTerm: 1, entries: [], commit: 3 };
  group.node(1).step({ type: 'append', from: 2, ...body });
  assert.is(group.node(1).committed, 1);
});

test('5.3: the leader finds where logs meet, skipping a term at a time, and repairs them', () => {
  const old = [1, 1, 1, 2, 2, 2, 2, 2, 2, 3];
  const group = Group.withLogs([[1, 1, 1, 4], [1, 1, 1, 4], old], PLAIN);
  group.node(1).campaign();
  let refusals = 0;
  for (let turn = 0; turn < 20; turn++) {
    group.workAll();
    refusals += group.sent('append-reply').filter(({ ok }) => !ok).length;
    group.deliver();
  }
  assert.equal(group.terms(3), group.terms(1));
  assert.ok(refusals <= 2, `${refusals} refusals`);
});

test('5.4.1: a vote goes only to a log that is as up to date, by last term, then by length', () => {
  for (const [terms, lastIndex, lastTerm, granted] of [
    [[1], 1, 1, true],
    [[1], 2, 1, true],
    [[1, 1], 1, 1, false],
    [[1], 1, 2, true],
    [[1, 1], 1, 2, true],
    [[2], 1, 1, false],
    [[2], 2, 1, false],
  ] as [number[], number, number, boolean][]) {
    const group = Group.withLogs([terms], PLAIN);
    const ask = { to: 1, term: 3, pre: false, lastIndex, lastTerm, transfer: false };
    group.node(1).step({ type: 'vote', from: 2, ...ask });
    group.work(1);
    const name = `${lastIndex}/${lastTerm} asks a log of ${terms}`;
    assert.is(group.sent('vote-reply')[0]!.granted, granted, name);
  }
});

test('5.4.2: only entries of the leader’s own term are committed by counting', () => {
  const group = Group.withLogs([[1, 2], [1], [1]], { ...PLAIN, maxMessageBytes: 1 });
  group.node(1).campaign();
  group.work(1);
  group.deliver();
  group.workAll();
  group.deliver();
  group.work(1);
  const reply = { to: 1, term: 3, ok: true, hintIndex: 0, hintTerm: 0 };
  group.node(1).step({ type: 'append-reply', from: 2, index: 2, ...reply });
  assert.is(group.node(1).committed, 0);
  group.node(1).step({ type: 'append-reply', from: 2, index: 3, ...reply });
  assert.is(group.node(1).committed, 3);
});

test('5.5: requests are idempotent', () => {
  const group = Group.of(3);
  group.elect(1);
  group.propose(1, 'a');
  group.work(1);
  group.inFlight = group.inFlight.flatMap((message) => [message, message]);
  group.settle();
  for (const id of [1, 2, 3]) assert.equal(group.at(id).applied, ['a']);
});

test('5.6: availability needs the majority only', () => {
  const group = Group.of(5);
  group.elect(1);
  group.stop(4);
  group.stop(5);
  group.propose(1, 'a');
  group.settle();
  assert.equal(group.at(3).applied, ['a']);
});

test('7: a snapshot stands for a log, with its last index, term and members', () => {
  const group = Group.of(3);
  group.elect(1);
  group.propose(1, 'a', 'b');
  group.settle();
  group.compact(1);
  const { index, term, config, data } = group.at(1).storage.snapshot();
  assert.equal(
    { index, term, config, data },
    {
      index: 3,
      term: 1,
      config: configurationOf([1, 2, 3]),
      data: 'a b',
    },
  );
  group.stop(1);
  assert.equal(group.restart(1).applied, ['a', 'b']);
});

test('7: a snapshot that a follower’s log already covers keeps the entries after it', () => {
  const group = new Group(PLAIN);
  const config = configurationOf([1, 2, 3]);
  group.start(1, storageWith(config, [1, 1, 1], 1));
  const snapshot = { v: 1, index: 2, term: 1, config, data: 'x' };
  group.node(1).step({ type: 'snapshot', from: 2, to: 1, term: 1, snapshot });
  assert.equal(group.terms(1), [1, 1, 1]);
  assert.is(group.node(1).committed, 2);
});

test('7: a snapshot that a follower lacks replaces its whole log', () => {
  const group = new Group(PLAIN);
  const config = configurationOf([1, 2, 3]);
  group.start(1, storageWith(config, [1, 1, 1], 1));
  const snapshot = { v: 1, index: 2, term: 2, config, data: 'x' };
  group.node(1).step({ type: 'snapshot', from: 2, to: 1, term: 2, snapshot });
  group.work(1);
  assert.equal(group.terms(1), []);
  assert.equal(group.at(1).applied, ['x']);
  assert.is(group.node(1).first, 3);
});

test('8: a leader opens its term with an entry of its own', () => {
  const group = Group.of(3);
  group.elect(1);
  const [entry] = group.node(1).entriesAt(1, 1);
  assert.is(entry!.kind, 'empty');
});

test('8: a leader that was replaced unknowingly serves no read', () => {
  const group = Group.of(3, PLAIN);
  group.elect(1);
  group.cut([1]);
  group.node(2).campaign();
  group.settle();
  assert.is(group.node(1).role, 'leader', 'it does not know');
  group.propose(2, 'news');
  group.settle();
  assert.is(group.node(1).read(1), undefined);
  group.told = [];
  group.settle();
  group.heal();
  group.tick(1);
  group.settle();
  assert.ok(!group.told.some((line) => line.includes('may read')));
  assert.ok(group.told.includes('1 lost read 1'));
});

test.run();
