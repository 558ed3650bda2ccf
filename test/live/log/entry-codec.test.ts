import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { LogEntry } from '../../../live/log/entries.ts';
import { encodeEntry, parseEntry } from '../../../live/log/entry-codec.ts';
import { isEntry } from '../../../live/log/entry-shapes.ts';
import { unitOf } from '../replica/fake-python.ts';
import { META, startOf, submitOf } from '../replica/world.ts';

const DELTA = {
  units: [unitOf('x', 1, '[1,2,3]')],
  dropped: ['y'],
  unreplicated: [{ name: 'f', reason: 'an open file' }],
  pinned: ['a thread'],
  stateBytes: 7,
};

const ENTRIES: LogEntry[] = [
  { v: 1, type: 'create', meta: META },
  submitOf(0, 'print("ü")'),
  startOf(0, 1, 1, 2),
  { v: 1, type: 'yield', cell: 0, attempt: 1, epoch: 1 },
  { v: 1, type: 'state', epoch: 1, executor: 2, n: 3, delta: DELTA },
  {
    v: 1,
    type: 'end',
    cell: 0,
    attempt: 1,
    epoch: 1,
    reply: { content: '{}', metadata: '{}' },
    lastOutput: -1,
    n: 3,
    delta: DELTA,
    timings: { prepareMs: 0.5, runMs: 1, captureMs: 0, saveMs: 2 },
  },
  { v: 1, type: 'abort', cell: 0, attempt: 1, epoch: 1, reason: 'fenced', message: 'cut off' },
  { v: 1, type: 'saved', index: 9 },
  { v: 1, type: 'reset', epoch: 4 },
  { v: 1, type: 'annotate', path: 'b.ipynb' },
];

test('every kind of entry survives the log, as text and as bytes', () => {
  for (const entry of ENTRIES) {
    assert.equal(parseEntry(encodeEntry(entry)), entry);
    assert.equal(parseEntry(Buffer.from(encodeEntry(entry))), entry);
  }
});

function codeOf(payload: string | Uint8Array): string {
  try {
    parseEntry(payload);
    return '';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

test('a field that is missing or of another kind is refused', () => {
  for (const entry of ENTRIES) {
    for (const name of Object.keys(entry)) {
      const wrong = { ...entry, [name]: Number.NaN };
      assert.is(codeOf(JSON.stringify(wrong)), 'entry-invalid', `${entry.type}.${name}`);
    }
  }
  assert.is(codeOf(JSON.stringify({ ...ENTRIES[7], v: 2 })), 'format-version');
  for (const type of ['toString', '__proto__', 'constructor', ''])
    assert.is(codeOf(JSON.stringify({ v: 1, type })), 'entry-invalid');
});

/** Seeded garbage: cut, flipped and nested texts. */
function* garbage(seed: number): Generator<string | Uint8Array> {
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let round = 0; round < 3_000; round++) {
    const bytes = Buffer.from(encodeEntry(ENTRIES[random(ENTRIES.length)]!));
    const kind = random(4);
    if (kind === 0) yield bytes.subarray(0, random(bytes.length));
    else if (kind === 1) {
      for (let flips = 1 + random(4); flips > 0; flips--) bytes[random(bytes.length)] = random(256);
      yield bytes;
    } else if (kind === 2) yield '['.repeat(random(2_000)) + bytes.toString();
    else yield Buffer.from(Array.from({ length: random(60) }, () => random(256)));
  }
}

test('garbage never throws anything but a refusal', () => {
  for (const payload of garbage(7)) {
    const code = codeOf(payload);
    assert.ok(['', 'entry-invalid', 'format-version'].includes(code), `${code}: ${payload}`);
    if (code === '') assert.ok(isEntry(parseEntry(payload)));
  }
});

test.run();
