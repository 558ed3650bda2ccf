import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NbosError } from '../../../core/errors.ts';
import { membersOf } from '../../../live/jupyter/json-members.ts';
import { CHANNELS, type JupyterMessage } from '../../../live/jupyter/message.ts';
import { decodeLegacy, encodeLegacy } from '../../../live/jupyter/websocket-legacy.ts';
import { decodeV1, encodeV1 } from '../../../live/jupyter/websocket-v1.ts';

const seed = Number(process.env['NBOS_SEED'] ?? 7);
const RUNS = { seed, numRuns: 2_000 };
const repeat = `NBOS_SEED=${seed}`;

const bytes = fc.uint8Array({ maxLength: 60 }).map((each) => Buffer.from(each));
const object = fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 4 });
const jsonObject = object.map((each) => Buffer.from(JSON.stringify(each)));
const message: fc.Arbitrary<JupyterMessage> = fc.record(
  {
    header: jsonObject,
    parent: jsonObject,
    metadata: jsonObject,
    content: jsonObject,
    buffers: fc.array(bytes, { maxLength: 4 }),
  },
  { noNullPrototype: true },
);
const channel = fc.constantFrom(...CHANNELS);

/** Only an NbosError may come out of a decoder. */
function survives(decode: () => unknown): void {
  try {
    decode();
  } catch (error) {
    assert.instance(error, NbosError, repeat);
    assert.is((error as NbosError).code, 'message-invalid', repeat);
  }
}

test('a message comes back whole from both framings', () => {
  const check = fc.property(channel, message, (on, sent) => {
    assert.equal(decodeV1(encodeV1(on, sent)), { channel: on, message: sent });
    const { data, binary } = encodeLegacy(on, sent);
    assert.is(binary, sent.buffers.length > 0);
    const got = decodeLegacy(data, binary);
    assert.is(got.channel, on);
    for (const part of ['header', 'parent', 'metadata', 'content'] as const)
      assert.is(String(got.message[part]), String(sent[part]));
    assert.equal(got.message.buffers, sent.buffers);
  });
  fc.assert(check, RUNS);
});

test('frames are as Jupyter writes them', () => {
  const part = (text: string): Buffer => Buffer.from(text);
  const sent = {
    header: part('{"msg_id":"1","msg_type":"t"}'),
    parent: part('{}'),
    metadata: part('{}'),
    content: part('{"a":1.0}'),
    buffers: [part('AB')],
  };
  const v1 = encodeV1('shell', sent);
  const words = Array.from({ length: 8 }, (_, at) => Number(v1.readBigUInt64LE(8 * at)));
  assert.equal(words, [7, 64, 69, 98, 100, 102, 111, 113]);
  assert.is(v1.toString('latin1', 64), 'shell{"msg_id":"1","msg_type":"t"}{}{}{"a":1.0}AB');
  const { data } = encodeLegacy('shell', sent);
  assert.is(data.readUInt32BE(0), 2);
  assert.is(data.readUInt32BE(4), 12);
  const end = data.readUInt32BE(8);
  assert.is(data.toString('latin1', end), 'AB');
  assert.equal(JSON.parse(data.toString('latin1', 12, end)), {
    header: { msg_id: '1', msg_type: 't' },
    msg_id: '1',
    msg_type: 't',
    parent_header: {},
    metadata: {},
    content: { a: 1 },
    buffers: [],
    channel: 'shell',
  });
});

test('numbers keep the form they were written in', () => {
  const content = '{"float": 1.0, "large":12345678901234567890 , "s":"\\"},{:"}';
  const text = `{"channel":"shell","header":{"msg_id":"a"},"content":${content},"extra":[1,{}]}`;
  assert.is(String(decodeLegacy(Buffer.from(text), false).message.content), content);
});

test('members are found in whatever JSON', () => {
  const check = fc.property(object, fc.nat(3), (value, indent) => {
    const members = membersOf(JSON.stringify(value, null, indent));
    assert.equal([...members.keys()].sort(), Object.keys(value).sort());
    for (const [key, text] of members) assert.equal(JSON.parse(text), value[key]);
  });
  fc.assert(check, RUNS);
  assert.equal(membersOf('{"a":1,"a":2}').get('a'), '2');
  assert.is(membersOf(' { } ').size, 0);
  for (const bad of ['', '[]', 'null', '7', '{', '{"a":}', '{"a":1}x', '\u0000'])
    assert.throws(
      () => membersOf(bad),
      (error: NbosError) => error.code === 'message-invalid',
    );
});

test('garbage is refused by both framings, whatever it is', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (data, binary) => {
      survives(() => decodeV1(Buffer.from(data)));
      survives(() => decodeLegacy(Buffer.from(data), binary));
    }),
    RUNS,
  );
  fc.assert(
    fc.property(fc.json(), (text) => survives(() => decodeLegacy(Buffer.from(text), false))),
    RUNS,
  );
});

test('damaged frames are refused or read within their bounds', () => {
  const damage = fc.record({
    at: fc.nat(400),
    value: fc.nat(255),
    cut: fc.option(fc.nat(300)),
  });
  const check = fc.property(channel, message, fc.array(damage), (on, sent, damages) => {
    for (const original of [encodeV1(on, sent), encodeLegacy(on, sent).data]) {
      let data = Buffer.from(original);
      for (const { at, value, cut } of damages) {
        if (data.length > 0) data[at % data.length] = value;
        if (cut !== null) data = data.subarray(0, cut);
      }
      survives(() => decodeV1(data));
      survives(() => decodeLegacy(data, true));
      survives(() => decodeLegacy(data, false));
    }
  });
  fc.assert(check, RUNS);
});

test('every truncation of a frame is refused', () => {
  const sent: JupyterMessage = {
    header: Buffer.from('{"msg_id":"1"}'),
    parent: Buffer.from('{}'),
    metadata: Buffer.from('{}'),
    content: Buffer.from('{"code":"1"}'),
    buffers: [Buffer.from('xyz')],
  };
  const v1 = encodeV1('shell', sent);
  for (let end = 0; end < v1.length; end++)
    assert.throws(() => decodeV1(v1.subarray(0, end)), /frame/, String(end));
  const { data } = encodeLegacy('shell', sent);
  const start = data.readUInt32BE(8);
  for (let end = 0; end < start; end++)
    assert.throws(() => decodeLegacy(data.subarray(0, end), true), /message/, String(end));
});

test.run();
