import type Docker from 'dockerode';
import { diagnoseExit, LAST_WORDS } from '../../doctor/exit-diagnosis.ts';
import { type Engine, statusOf } from './engine.ts';

export const REMOVED = 'its container was removed from outside';
const ASK_MS = 5_000;
const TAIL_LINES = 5;
const TAIL_CHARACTERS = 1000;
/** What ipykernel says at each start where no parent waits for it: these lines tell nothing. */
const GREETING =
  /^(NOTE: When using the|To exit, you will|"quit" from a|To read more|To connect|--exist)/;
const GREETING_LINES = 10;
/** One piece of a container's log: stream, three zeros, length; then the text. */
const PIECE_HEAD_BYTES = 8;

/** One clause on how a container ended, with the last lines of its log. */
export async function exitOf(
  engine: Engine,
  container: Docker.Container,
  code: number,
  memoryMb: number,
): Promise<string> {
  const what = 'the end of a container';
  let outOfMemory = false;
  try {
    const found = await engine.ask(what, () => container.inspect(), { ms: ASK_MS });
    if (found.State.Status === 'removing') return REMOVED;
    outOfMemory = found.State.OOMKilled && code === 137;
  } catch (error) {
    if (statusOf(error) === 404) return REMOVED;
  }
  const words = await engine.ask(what, () => lastLines(container), { ms: ASK_MS }).catch(() => '');
  const { cause } = diagnoseExit({ code, outOfMemory, words });
  const how = outOfMemory ? `${cause} (${memoryMb} MB)` : cause;
  return words === '' ? how : how + LAST_WORDS + words;
}

/** The last lines that a container wrote, joined. */
export async function lastLines(container: Docker.Container): Promise<string> {
  const tail = TAIL_LINES + GREETING_LINES;
  const log = await container.logs({ stdout: true, stderr: true, tail });
  const lines = textOf(log as unknown as Buffer).split('\n');
  const words = lines
    .map((line) => line.trim())
    .filter((line) => line !== '' && !GREETING.test(line));
  return words.slice(-TAIL_LINES).join(' | ').slice(-TAIL_CHARACTERS);
}

/** The text of a log that comes in pieces of both streams. */
export function textOf(log: Buffer): string {
  let text = '';
  for (let at = 0; at + PIECE_HEAD_BYTES <= log.length; ) {
    const length = log.readUInt32BE(at + 4);
    at += PIECE_HEAD_BYTES;
    text += log.toString('utf8', at, at + length);
    at += length;
  }
  return text;
}
