import { NbosError } from '../../core/errors.ts';

/** So many of the last lines of a build are told when it fails. */
const LAST_LINES = 4;

/** One of the JSON objects in which an engine tells how a build or an import goes. */
interface Progress {
  stream?: string;
  error?: string;
}

/**
 * Reads what an engine says while it works, to its end. `onStep` gets the line of each step.
 * Rejects `image-failed` with the last lines and `hint` when it reports a failure or goes away.
 */
export async function followAnswers(
  answers: AsyncIterable<Buffer | string>,
  what: string,
  hint: string,
  onStep: (line: string) => void,
): Promise<void> {
  const last: string[] = [];
  const failed = (reason: string): NbosError =>
    new NbosError('image-failed', `${what}: ${[...last, reason].join(' | ')}.`, hint);
  let rest = '';
  try {
    for await (const chunk of answers) {
      const pieces = (rest + chunk.toString()).split('\n');
      rest = pieces.pop()!;
      for (const piece of pieces) {
        const { stream, error } = readProgress(piece);
        if (error !== undefined) throw failed(error.trim());
        for (const line of (stream ?? '').split('\n').filter((each) => each.trim() !== '')) {
          if (line.startsWith('Step ')) onStep(line.trimEnd());
          else last.push(line.trim());
          if (last.length > LAST_LINES) last.shift();
        }
      }
    }
  } catch (error) {
    throw error instanceof NbosError ? error : failed((error as Error).message);
  }
}

function readProgress(line: string): Progress {
  try {
    const said: unknown = JSON.parse(line);
    return typeof said === 'object' && said !== null ? (said as Progress) : {};
  } catch {
    return {};
  }
}
