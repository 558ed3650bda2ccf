import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseHeader, parseObject, readField } from '../../../live/jupyter/fields.ts';
import { bytesOf, messageOf, newHeader, streamNote } from '../../../live/jupyter/headers.ts';
import {
  isWellFormed,
  parseZmqFrames,
  signatureOf,
  zmqFrames,
} from '../../../live/jupyter/zmq-message.ts';
import { randomBytesOf, seeded } from './seeded.ts';

const message = messageOf({
  header: newHeader('execute_request', 's'),
  content: { code: 'x = "ü"' },
  buffers: [Buffer.from([1, 2, 3])],
});

test('a message survives its frames, with identities and buffers', () => {
  const frames = zmqFrames(message, 'key', [Buffer.from('id')]);
  const parsed = parseZmqFrames(frames, 'key')!;
  assert.equal(parsed.message, message);
  assert.equal(
    parsed.identities.map((id) => Buffer.from(id).toString()),
    ['id'],
  );
});

test('the signature is the one of the protocol', () => {
  const known = {
    header: bytesOf('{"a":1}'),
    parent: bytesOf('{}'),
    metadata: bytesOf('{}'),
    content: bytesOf('{}'),
    buffers: [],
  };
  // python3 -c "import hmac; print(hmac.new(b'k', b'{\"a\":1}{}{}{}', 'sha256').hexdigest())"
  const digest = 'df48333744c93a068698742b5d4af647d20e4e71a5a8e2e117cb18a59072bfa2';
  assert.is(signatureOf(known, 'k'), digest);
});

test('a wrong key, a changed part, a cut signature are refused', () => {
  assert.is(parseZmqFrames(zmqFrames(message, 'key'), 'other'), undefined);
  const changed = zmqFrames({ ...message, content: bytesOf('{"code":"y"}') }, 'key');
  changed[1] = zmqFrames(message, 'key')[1]!;
  assert.is(parseZmqFrames(changed, 'key'), undefined);
  const cut = zmqFrames(message, 'key');
  cut[1] = cut[1]!.subarray(1);
  assert.is(parseZmqFrames(cut, 'key'), undefined);
  assert.is.not(parseZmqFrames(zmqFrames(message, 'x')), undefined);
});

test('garbage is not a message and never throws', () => {
  const { seed, next } = seeded();
  for (let round = 0; round < 2000; round++) {
    const frames = zmqFrames(message, 'key') as Buffer[];
    const kind = Math.floor(next() * 4);
    if (kind === 0) frames.splice(Math.floor(next() * frames.length), 1);
    else if (kind === 1) frames[Math.floor(next() * frames.length)] = randomBytesOf(next, 40);
    else if (kind === 2) frames.reverse();
    else frames.fill(randomBytesOf(next, 20));
    const parsed = parseZmqFrames(frames, 'key');
    if (parsed !== undefined)
      assert.is(signatureOf(parsed.message, 'key'), signatureOf(message, 'key'), `seed ${seed}`);
    for (const frame of frames) {
      readField(frame, 'msg_id');
      parseObject(frame);
      parseHeader(frame);
    }
  }
  assert.is(parseZmqFrames([]), undefined);
});

test('fields are read where JSON.parse finds them', () => {
  const { seed, next } = seeded();
  const texts = ['', 'a', '"msg_id"', '\\', '{"msg_id":"x"}', 'ü\n', '\u2028', ',:[]{}'];
  const pick = (): string => texts[Math.floor(next() * texts.length)]!;
  for (let round = 0; round < 3000; round++) {
    const entries: [string, unknown][] = [];
    for (let field = 0; field < 4; field++) {
      const values = [pick(), 5, null, { msg_id: pick() }, [pick(), { msg_id: 1 }], true];
      entries.push([pick(), values[Math.floor(next() * values.length)]]);
    }
    entries.splice(Math.floor(next() * 4), 0, ['msg_id', next() < 0.8 ? pick() : 7]);
    const object = Object.fromEntries(entries) as Record<string, unknown>;
    const text = JSON.stringify(object, undefined, next() < 0.3 ? 1 : 0);
    const expected = typeof object['msg_id'] === 'string' ? object['msg_id'] : undefined;
    assert.is(readField(bytesOf(text), 'msg_id'), expected, `seed ${seed}: ${text}`);
  }
});

test('what is no object has no fields', () => {
  for (const text of ['', '[]', '["msg_id","x"]', '5', '"msg_id"', '{"msg_id":', '{"msg_id":"x'])
    assert.is(readField(bytesOf(text), 'msg_id'), undefined, text);
  assert.is(parseObject(bytesOf('[1]')), undefined);
  assert.is(parseHeader(bytesOf('{"msg_id":"x"}')), undefined);
});

test('a message of which one part is no object is not well formed', () => {
  assert.ok(isWellFormed(message));
  assert.not(isWellFormed({ ...message, metadata: bytesOf('[]') }));
  assert.not(isWellFormed({ ...message, content: bytesOf('{') }));
});

test('a note answers the request it is given', () => {
  const note = streamNote('text\n', message.header, 'nbos');
  assert.equal(parseObject(note.parent), parseObject(message.header));
  assert.equal(parseObject(note.content), { name: 'stderr', text: 'text\n' });
});

test.run();
