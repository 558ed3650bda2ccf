import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Head, jupyterOf } from '../../../live/wire/codec.ts';
import { packGroups, unpackGroups } from '../../../live/wire/raft-frames.ts';
import { agentWords, gatewayWords, peerWords } from '../../../live/wire/shapes.ts';
import { encodeZ85 } from '../../../live/wire/z85.ts';
import { Dice } from '../../random-run.ts';

const SEED = Number(process.env['NBOS_SEED'] ?? 11);
const ROUNDS = 20_000;
const WORDS = [gatewayWords, agentWords, peerWords];

const SAMPLES = [
  { t: 'hello', v: 1, host: 'h', pid: 1, peer: '', key: '', kernels: [], pooled: [], gpus: 0 },
  { t: 'propose', rq: 4, kernel: 'k', entries: [{ v: 1, type: 'reset', epoch: 1 }] },
  { t: 'to-kernel', kernel: 'k', member: 1, channel: 'shell' },
  { t: 'raft', groups: [{ kernel: 'k', messages: [] }] },
  { t: 'blob', kernel: 'k', hash: 'a', offset: 0, total: 9 },
  { t: 'answer', rq: 1, ok: false, code: 'x', message: 'y' },
];

/** A message with something wrong about it, or not. */
function mangled(dice: Dice): Buffer {
  const text = JSON.stringify(dice.of(SAMPLES));
  const bytes = Buffer.from(text);
  switch (dice.between(0, 5)) {
    case 0:
      return bytes.subarray(0, dice.between(0, bytes.length));
    case 1:
      bytes[dice.between(0, bytes.length - 1)] = dice.between(0, 255);
      return bytes;
    case 2:
      return Buffer.from(Array.from({ length: dice.between(0, 40) }, () => dice.between(0, 255)));
    case 3:
      return Buffer.from(text.replace(/:("[^"]*"|\d+|\[\])/, `:${dice.of(ODD)}`));
    case 4:
      return Buffer.from(dice.of(ODD));
    default:
      return bytes;
  }
}

const ODD = [
  'null',
  '{}',
  '[]',
  '""',
  '-1',
  '1e999',
  '"__proto__"',
  '{"t":"constructor"}',
  '{"__proto__":{"t":"hello"}}',
  '{"t":"toString"}',
  '{"t":["hello"]}',
  '['.repeat(1000),
];

test('nothing that comes as a message throws, and what is taken has its fields', () => {
  const dice = new Dice(SEED);
  let taken = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = mangled(dice);
    for (const words of WORDS) {
      let head: Head | undefined;
      try {
        head = words.read(bytes);
      } catch (error) {
        throw new Error(`round ${round} of NBOS_SEED=${SEED}: ${error}`);
      }
      if (head === undefined) continue;
      taken++;
      assert.type(head.t, 'string');
      if (head.t === 'propose')
        assert.ok(Array.isArray((head as never as { entries: [] }).entries));
      if (head.rq !== undefined) assert.ok(Number.isSafeInteger(head.rq));
    }
  }
  assert.ok(taken > ROUNDS / 20, `${taken} of ${ROUNDS} were whole`);
});

test('raft frames in any disorder give members only what is a message', () => {
  const dice = new Dice(SEED);
  const entry = { v: 1, term: 1, index: 1, kind: 'data', data: 'x' } as const;
  const envelope = { from: 1, to: 2, term: 1, prevIndex: 0, prevTerm: 0, commit: 0 };
  const { groups, frames } = packGroups([
    { kernel: 'k', messages: [{ ...envelope, type: 'append', entries: [entry] }] },
  ]);
  const text = JSON.stringify(groups);
  for (let round = 0; round < ROUNDS / 10; round++) {
    const odd = text.replace(/:("[^"]*"|\d+|null)/g, (whole) =>
      dice.chance(10) ? `:${dice.of(['null', '-1', '"x"', '[]', '7', '0.5'])}` : whole,
    );
    for (const { kernel, messages } of unpackGroups(JSON.parse(odd), frames)) {
      assert.type(kernel, 'string', `round ${round} of NBOS_SEED=${SEED}`);
      for (const message of messages) assert.ok(message.from >= 1 && message.to >= 1);
    }
  }
});

test('a Jupyter message needs its four parts; buffers are what follows', () => {
  const part = (text: string): Buffer => Buffer.from(text);
  assert.is(jupyterOf([]), undefined);
  assert.is(jupyterOf([part('h'), part('p'), part('m')]), undefined);
  const message = jupyterOf(['h', 'p', 'm', 'c', 'b1', 'b2'].map(part))!;
  assert.equal(message.buffers.map(String), ['b1', 'b2']);
});

test("keys are written as ZeroMQ's own tools write them", () => {
  // The test vector of RFC 32.
  const bytes = Uint8Array.from([0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b]);
  assert.is(encodeZ85(bytes), 'HelloWorld');
});

test.run();
