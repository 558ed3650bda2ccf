import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { configurationOf, type Entry, type Message } from '../../../core/raft/index.ts';
import type { LogEntry } from '../../../live/log/entries.ts';
import { packGroups, unpackGroups } from '../../../live/wire/raft-frames.ts';
import { eventually } from '../wire/eventually.ts';
import { type LinkedHost, type LinkedHosts, linkedHosts } from './linked-hosts.ts';

let cluster: LinkedHosts;
let first: LinkedHost;
let second: LinkedHost;

test.before(async () => {
  cluster = await linkedHosts(3);
  [first, second] = cluster.hosts as [LinkedHost, LinkedHost];
});
test.after(() => cluster.close());

function entry(index: number, data: string | Uint8Array): Entry {
  return { v: 1, term: 1, index, kind: 'data', data };
}

function append(entries: readonly Entry[], prevIndex = 0): Message {
  const envelope = { from: 1, to: 2, term: 1 };
  return { ...envelope, type: 'append', prevIndex, prevTerm: 0, entries, commit: 0 };
}

function heartbeat(round: number): Message {
  return { from: 1, to: 2, term: 1, type: 'heartbeat', commit: 0, round, rest: false };
}

const ABORT: LogEntry = {
  v: 1,
  type: 'abort',
  cell: 1,
  attempt: 1,
  epoch: 1,
  reason: 'host-lost',
  message: '',
};

test('raft messages arrive as they were, in order, with their payloads', async () => {
  const config = configurationOf([1, 2, 3]);
  const messages: Message[] = [
    append([
      entry(1, 'text é " \\ '),
      entry(2, new Uint8Array([0, 255, 10])),
      entry(3, ''),
      { ...entry(4, ''), kind: 'config', config },
    ]),
    heartbeat(1),
    {
      ...{ from: 1, to: 2, term: 2, type: 'snapshot' },
      snapshot: { v: 1, index: 4, term: 1, config, data: 'the state' },
    } as Message,
  ];
  first.links.sendRaft('h2', 'k1', messages.slice(0, 1));
  first.links.sendRaft('h2', 'k2', [heartbeat(7)]);
  first.links.sendRaft('h2', 'k1', messages.slice(1));
  await eventually(() => second.raft.length === 4);
  const of = (kernel: string) =>
    second.raft.filter((each) => each.kernel === kernel).map(({ message }) => message);
  assert.equal(of('k1'), messages);
  assert.equal(of('k2'), [heartbeat(7)]);
});

test('what is no message of a member is left out, the rest is taken', () => {
  const { groups, frames } = packGroups([
    { kernel: 'k', messages: [append([entry(1, 'x')]), heartbeat(1)] },
  ]);
  const messages = groups[0]!.messages as Record<string, unknown>[];
  const entries = (change: object) => [
    { ...messages[0], entries: [{ ...(messages[0]!['entries'] as object[])[0], ...change }] },
  ];
  const wrong: unknown[] = [
    null,
    7,
    'k',
    {},
    { kernel: 'k' },
    { kernel: 7, messages: [] },
    { kernel: 'k', messages: [null, 1, {}, [], { type: 'append' }, { ...messages[1], to: 0 }] },
    { kernel: 'k', messages: entries({ data: 9 }) },
    { kernel: 'k', messages: entries({ data: -9 }) },
    { kernel: 'k', messages: entries({ data: 'inline' }) },
    { kernel: 'k', messages: entries({ data: null }) },
    { kernel: 'k', messages: entries({ index: 3 }) },
    { kernel: 'k', messages: [{ ...messages[0], entries: [null] }] },
    { kernel: 'k', messages: [{ ...messages[0], type: 'snapshot', snapshot: 3 }] },
  ];
  assert.equal(unpackGroups(wrong, frames), []);
  assert.is(unpackGroups([...wrong, ...groups], frames)[0]!.messages.length, 2);
});

test('proposals are forwarded and answered; silence and absence are told', async () => {
  second.answer = async (kernel, entries) => {
    assert.equal([kernel, entries], ['k1', [ABORT]]);
    return { ok: false, code: 'not-leader', leader: 'h3' };
  };
  const answer = await first.links.forward('h2', 'k1', [ABORT]);
  assert.equal(answer, { ok: false, code: 'not-leader', leader: 'h3' });
  second.answer = () => new Promise(() => undefined);
  assert.is(await codeOf(first.links.forward('h2', 'k1', [ABORT])), 'peer-unreachable');
  assert.is(await codeOf(first.links.forward('h9', 'k1', [ABORT])), 'peer-unreachable');
  second.answer = () => Promise.reject(new Error('broken'));
  assert.is((await first.links.forward('h2', 'k1', [ABORT])).code, 'failed');
});

async function codeOf(failing: Promise<unknown>): Promise<string> {
  return failing.then(
    () => '',
    (error) => error.code,
  );
}

test('a host that is cut off is not heard, and is heard again', async () => {
  const before = first.raft.length;
  second.faults.cut(600_000);
  const cutAt = performance.now();
  second.links.sendRaft('h1', 'k1', [heartbeat(1)]);
  // Whoever is not cut off has beaten several times meanwhile; what was on its way has arrived.
  await eventually(() => first.links.lastContact('h3') > cutAt + 250);
  assert.is(first.raft.length, before);
  const heardAt = first.links.lastContact('h2');
  assert.ok(second.links.lastContact('h3') <= cutAt);
  const lookedAt = performance.now();
  await eventually(() => first.links.lastContact('h3') > lookedAt + 150);
  assert.is(first.links.lastContact('h2'), heardAt);
  second.faults.cut(0);
  await eventually(() => first.links.lastContact('h2') > heardAt);
  second.links.sendRaft('h1', 'k1', [heartbeat(2)]);
  await eventually(() => first.raft.length > before);
  const { round } = first.raft.at(-1)!.message as { round: number };
  assert.equal([first.raft.length, round], [before + 1, 2]);
});

test('a slow host is late and keeps its order', async () => {
  second.raft = cluster.hosts[1]!.raft;
  const start = second.raft.length;
  second.faults.slow(100, 600_000);
  const began = performance.now();
  let round = 100;
  const timer = setInterval(() => first.links.sendRaft('h2', 'k1', [heartbeat(round++)]), 5);
  await eventually(() => second.raft.length > start);
  assert.ok(performance.now() - began > 90);
  second.faults.slow(0, 0);
  await eventually(() => second.raft.length > start + 40);
  clearInterval(timer);
  const rounds = second.raft
    .slice(start)
    .map(({ message }) => (message as { round: number }).round);
  assert.ok(rounds.length > 20);
  assert.equal(
    rounds,
    rounds.map((_, at) => 100 + at),
  );
});

test('hosts that are not named any more are let go', async () => {
  const third = cluster.hosts[2]!;
  first.links.setHosts([first.address, second.address]);
  assert.equal(first.links.hosts(), ['h2']);
  assert.is(first.links.lastContact('h3'), Number.NEGATIVE_INFINITY);
  first.links.sendRaft('h3', 'k', [heartbeat(1)]);
  first.links.setHosts([first.address, second.address, third.address]);
  await eventually(() => first.links.lastContact('h3') > 0);
});

test.run();
