import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NbosError } from '../../core/errors.ts';
import {
  configurationOf,
  DEFAULT_LIMITS,
  isMessage,
  MemoryStorage,
  type Message,
  RaftNode,
  type RaftOptions,
} from '../../core/raft/index.ts';
import { Group, storageWith } from './group.ts';

const SEED = 3_141;
const CONFIG = configurationOf([1, 2, 3]);

/** One of each type, as a group sends them. */
function samples(): Message[] {
  const entry = { v: 1, index: 2, term: 1, kind: 'data', data: 'x' } as const;
  const change = { v: 1, index: 3, term: 1, kind: 'config', data: '', config: CONFIG } as const;
  const snapshot = { v: 1, index: 5, term: 1, config: CONFIG, data: new Uint8Array([1]) };
  const way = { from: 2, to: 1, term: 1 };
  const entries = [entry, change];
  return [
    { type: 'append', ...way, prevIndex: 1, prevTerm: 1, entries, commit: 1 },
    { type: 'append-reply', ...way, ok: true, index: 1, hintIndex: 0, hintTerm: 0 },
    { type: 'heartbeat', ...way, commit: 0, round: 1, rest: false },
    { type: 'heartbeat-reply', ...way, round: 1 },
    { type: 'vote', ...way, pre: false, lastIndex: 3, lastTerm: 1, transfer: false },
    { type: 'vote-reply', ...way, pre: true, granted: true },
    { type: 'snapshot', ...way, snapshot },
    { type: 'timeout-now', ...way },
  ];
}

test('what members send passes as a message', () => {
  for (const message of samples()) assert.ok(isMessage(message), message.type);
});

test('a message with any field missing or of another kind does not pass', () => {
  for (const message of samples())
    for (const field of Object.keys(message))
      for (const wrong of [undefined, null, -1, 1.5, 'x', {}, [{}], 2 ** 53])
        assert.not.ok(
          isMessage({ ...message, [field]: wrong }),
          `${message.type}.${field} ${wrong}`,
        );
});

test('entries with holes, falling terms or terms of the future do not pass', () => {
  const [append] = samples() as [Extract<Message, { type: 'append' }>];
  const [entry, change] = append.entries;
  for (const entries of [
    [change],
    [entry, entry],
    [{ ...entry, term: 0 }, change],
    [entry, { ...change, term: 2 }],
    [{ ...entry, config: CONFIG }],
    [{ ...change, index: 2, config: undefined }],
    [{ ...change, index: 2, config: { voters: [2, 1], learners: [] } }],
    [{ ...change, index: 2, config: { voters: [1], learners: [1] } }],
    [{ ...entry, kind: 'other' }],
    [null],
  ])
    assert.not.ok(isMessage({ ...append, entries }), JSON.stringify(entries));
});

test('nothing whatever makes the check throw', () => {
  fc.assert(
    fc.property(fc.anything(), (value) => {
      isMessage(value);
      for (const message of samples())
        for (const field of Object.keys(message)) isMessage({ ...message, [field]: value });
    }),
    { seed: SEED, numRuns: 200 },
  );
});

const NUMBER = fc.integer({ min: 0, max: 8 });
const ENTRY = fc.record({
  v: fc.constantFrom(1, 1, 1, 2),
  index: NUMBER,
  term: NUMBER,
  kind: fc.constantFrom('data', 'empty'),
  data: fc.constant(''),
});
const ANY_MESSAGE = fc.record({
  type: fc.constantFrom(...samples().map(({ type }) => type)),
  from: fc.integer({ min: 1, max: 4 }),
  to: fc.integer({ min: 1, max: 2 }),
  term: NUMBER,
  prevIndex: NUMBER,
  prevTerm: NUMBER,
  entries: fc.array(ENTRY, { maxLength: 2 }),
  commit: NUMBER,
  ok: fc.boolean(),
  index: NUMBER,
  hintIndex: NUMBER,
  hintTerm: NUMBER,
  round: NUMBER,
  rest: fc.boolean(),
  pre: fc.boolean(),
  lastIndex: NUMBER,
  lastTerm: NUMBER,
  transfer: fc.boolean(),
  granted: fc.boolean(),
  snapshot: fc.record({
    v: fc.constant(1),
    index: NUMBER,
    term: NUMBER,
    config: fc.constant(CONFIG),
    data: fc.constant(''),
  }),
});

test('lies that pass as messages end in an outcome or in a named violation', () => {
  const lies = fc.array(ANY_MESSAGE, { maxLength: 40 });
  fc.assert(
    fc.property(lies, fc.boolean(), (messages, leads) => {
      const group = Group.withLogs([[1, 1, 2], [1, 1, 2], [1]]);
      if (leads) group.elect(1);
      try {
        for (const message of messages) {
          if (isMessage(message)) group.node(1).step(message);
          group.work(1);
        }
      } catch (error) {
        assert.instance(error, NbosError);
        assert.is((error as NbosError).code, 'invariant-violated');
      }
    }),
    { seed: SEED, numRuns: 3_000 },
  );
});

test('what concerns another, or comes from itself, is not taken', () => {
  const { node } = Group.of(3).at(1);
  const beat = { type: 'heartbeat', term: 1, commit: 0, round: 1, rest: false } as const;
  assert.is(node.step({ ...beat, from: 2, to: 3 }), 'not-for-me');
  assert.is(node.step({ ...beat, from: 1, to: 1 }), 'not-for-me');
  assert.is(node.step({ ...beat, from: 2, to: 1, commit: 4 }), 'senseless');
});

test('formats of a newer build are refused', () => {
  const group = Group.of(3);
  const entry = { v: 2, index: 1, term: 1, kind: 'data', data: '' } as const;
  const body = { from: 2, to: 1, term: 1, prevIndex: 0, prevTerm: 0, commit: 0 };
  const outcome = group.node(1).step({ type: 'append', ...body, entries: [entry] });
  assert.is(outcome, 'newer-format');
  assert.is(group.node(1).last, 0);
  const storage = MemoryStorage.forGroup(CONFIG);
  storage.append([entry]);
  storage.setHardState({ term: 1, vote: 0, commit: 0 });
  throws(() => new RaftNode({ id: 1, storage, random: () => 0 }), 'format-version', /version 2/);
  const newer = new MemoryStorage({ v: 2, index: 1, term: 1, config: CONFIG, data: '' });
  throws(() => new RaftNode({ id: 1, storage: newer, random: () => 0 }), 'format-version', /snap/);
});

function throws(act: () => unknown, code: string, text: RegExp): void {
  try {
    act();
  } catch (error) {
    assert.is((error as NbosError).code, code);
    assert.match((error as NbosError).message, text);
    return;
  }
  assert.unreachable(`${code} is thrown`);
}

test('an option out of bounds is named', () => {
  const start = (options: Partial<RaftOptions>): RaftNode => {
    const storage = MemoryStorage.forGroup(CONFIG);
    return new RaftNode({ id: 1, storage, random: () => 0, ...options });
  };
  for (const name of Object.keys(DEFAULT_LIMITS)) {
    if (name === 'preVote' || name === 'checkQuorum') continue;
    throws(() => start({ [name]: -1 }), 'config-bad-value', new RegExp(name));
    throws(() => start({ [name]: 1.5 }), 'config-bad-value', new RegExp(name));
  }
  throws(() => start({ id: 0 }), 'config-bad-value', /id/);
  throws(() => start({ heartbeatTicks: 10 }), 'config-bad-value', /heartbeatTicks/);
});

test('messages beyond maxOutbox are dropped and counted, and the group goes on', () => {
  const group = Group.of(3, { maxOutbox: 1 });
  group.node(1).campaign();
  assert.is(group.node(1).status().droppedMessages, 1);
  group.settle();
  for (let turn = 0; turn < 20 && group.at(1).appliedIndex < 1; turn++) {
    group.tick(1);
    group.settle();
  }
  assert.is(group.node(1).role, 'leader');
  assert.is(group.node(1).committed, 1);
});

test('applied entries are handed out again only after the applied index', () => {
  const storage = storageWith(CONFIG, [1, 1, 1], 1, 3);
  const node = new RaftNode({ id: 1, storage, random: () => 0, applied: 2 });
  assert.equal(
    node.ready()!.committed.map(({ index }) => index),
    [3],
  );
});

test('two Readies are never out at once, and an advance needs one', () => {
  const { node } = Group.of(1).at(1);
  throws(() => node.advance(), 'invariant-violated', /Ready/);
  node.campaign();
  assert.ok(node.ready() !== undefined);
  assert.ok(node.busy);
  throws(() => node.ready(), 'invariant-violated', /Ready/);
});

test.run();
