import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decodeOutputs, encodeOutputs } from '../../../live/agent/kernel/output-file.ts';
import {
  KernelOutputs,
  type OutputLimits,
  type SentOutput,
} from '../../../live/agent/kernel/outputs.ts';
import { messageOf, newHeader } from '../../../live/jupyter/headers.ts';
import { seeded } from '../jupyter/seeded.ts';

const folder = mkdtempSync(join(tmpdir(), 'nbo-'));
let count = 0;

function textOf(output: SentOutput): string {
  return String(JSON.parse(Buffer.from(output.message.content).toString()).text);
}

function make(limits: Partial<OutputLimits> = {}): { outputs: KernelOutputs; path: string } {
  const path = join(folder, String(count++));
  return { outputs: new KernelOutputs(path, 0, limits), path };
}

function print(outputs: KernelOutputs, cell: number, text: string): SentOutput {
  const header = newHeader('stream', 'k');
  return outputs.add(cell, 1, messageOf({ header, content: { name: 'stdout', text } }));
}

async function resent(outputs: KernelOutputs, from: number): Promise<SentOutput[]> {
  const all: SentOutput[] = [];
  await outputs.resend(from, (output) => all.push(output));
  return all;
}

test('numbers that other executors have used are no gap: each output says what it follows', async () => {
  const { outputs } = make();
  const added = [print(outputs, 0, 'a'), print(outputs, 0, 'b')];
  outputs.advanceTo(7);
  added.push(print(outputs, 1, 'c'));
  const numbers = (all: readonly SentOutput[]): number[][] =>
    all.map(({ after, seq }) => [after, seq]);
  assert.equal(numbers(added), [
    [-1, 0],
    [0, 1],
    [1, 7],
  ]);
  assert.equal(numbers(await resent(outputs, 0)), numbers(added));
  assert.equal(numbers(await resent(outputs, 4)), [[3, 7]]);
});

test('outputs are numbered and sent again from any number', async () => {
  const { outputs } = make();
  for (let i = 0; i < 5; i++) assert.is(print(outputs, 0, `${i}`).seq, i);
  assert.equal((await resent(outputs, 3)).map(textOf), ['3', '4']);
  assert.is(outputs.next, 5);
  outputs.advanceTo(100);
  outputs.advanceTo(7);
  assert.is(print(outputs, 1, 'x').seq, 100);
  assert.equal(
    (await resent(outputs, 4)).map(({ seq }) => seq),
    [4, 100],
  );
});

test('they are let go once they are seen and their cell is decided', async () => {
  const { outputs } = make();
  print(outputs, 0, 'a');
  outputs.outputsSeen(0);
  assert.is(outputs.first, 0);
  outputs.decided(0);
  assert.is(outputs.first, outputs.next);
  print(outputs, 1, 'b');
  outputs.decided(1);
  assert.equal((await resent(outputs, 0)).map(textOf), ['b']);
  outputs.outputsSeen(1);
  assert.equal(await resent(outputs, 0), []);
});

test('what memory does not hold comes back from files, in order', async () => {
  const { outputs, path } = make({ memoryBytes: 3_000_000 });
  const text = 'x'.repeat(100_000);
  for (let i = 0; i < 100; i++) print(outputs, 0, `${i} ${text}`);
  await outputs.settled();
  assert.ok(readdirSync(path).length >= 5);
  const all = await resent(outputs, 0);
  assert.equal(
    all.map(({ seq }) => seq),
    Array.from({ length: 100 }, (_, i) => i),
  );
  assert.ok(all.every((output, i) => textOf(output).startsWith(`${i} x`)));
  outputs.decided(0);
  outputs.outputsSeen(99);
  await outputs.settled();
  assert.equal(readdirSync(path), []);
  await outputs.close();
  assert.not(existsSync(path));
});

test('a lost or damaged file is one note in place of what was in it', async () => {
  const { outputs, path } = make({ memoryBytes: 1_200_000 });
  const text = 'x'.repeat(100_000);
  for (let i = 0; i < 40; i++) print(outputs, 0, text);
  await outputs.settled();
  const file = readdirSync(path).sort(
    (a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10),
  )[1]!;
  writeFileSync(join(path, file), 'short');
  const all = await resent(outputs, 0);
  const note = all.find((output) => textOf(output).includes('lost here'))!;
  const after = all.slice(all.indexOf(note) + 1);
  assert.is(after[0]!.seq, note.seq + 1);
  assert.is(after.at(-1)!.seq, 39);
  const again = await resent(outputs, 0);
  assert.match(textOf(again[0]!), new RegExp(`${note.seq + 1} output messages were lost`));
  await outputs.close();
});

test('files have a limit: the oldest outputs are given up first', async () => {
  const { outputs } = make({ memoryBytes: 1_200_000, fileBytes: 4_000_000 });
  for (let i = 0; i < 100; i++) print(outputs, 0, 'x'.repeat(100_000));
  await outputs.settled();
  const all = await resent(outputs, 0);
  assert.match(textOf(all[0]!), /lost here/);
  assert.is(all.at(-1)!.seq, 99);
  assert.ok(all.length > 30 && all.length < 70, String(all.length));
  assert.is(outputs.first, all[0]!.seq + 1);
  await outputs.close();
});

test('a disk that takes nothing costs the outputs in question, no more', async () => {
  const { outputs, path } = make({ memoryBytes: 1_000_000 });
  writeFileSync(path, 'a file where the folder should be');
  for (let i = 0; i < 30; i++) print(outputs, 0, 'x'.repeat(100_000));
  await outputs.settled();
  const all = await resent(outputs, 0);
  assert.match(textOf(all[0]!), /lost here/);
  assert.is(all.at(-1)!.seq, 29);
  await outputs.close();
});

test('a message that is too large is a note', async () => {
  const { outputs } = make({ messageBytes: 1000 });
  assert.match(textOf(print(outputs, 0, 'x'.repeat(2000))), /left out/);
  assert.is(textOf(print(outputs, 0, 'short')), 'short');
});

test('files survive any content; cut ones are not believed', () => {
  const { seed, next } = seeded();
  const list = Array.from({ length: 20 }, (_, seq) => ({
    seq,
    cell: seq % 3 === 0 ? -1 : seq,
    attempt: 1,
    message: {
      ...messageOf({ header: newHeader('stream', 'k'), content: { text: 'ü' } }),
      buffers: Array.from({ length: seq % 4 }, () => Buffer.alloc(Math.floor(next() * 100), seq)),
    },
  }));
  const bytes = encodeOutputs(list);
  assert.equal(decodeOutputs(bytes), list);
  for (let round = 0; round < 300; round++) {
    const cut = Math.floor(next() * bytes.length);
    const some = decodeOutputs(bytes.subarray(0, cut));
    assert.ok(some === undefined || some.length < list.length, `seed ${seed}`);
  }
});

test.after(() => rmSync(folder, { recursive: true, force: true }));
test.run();
