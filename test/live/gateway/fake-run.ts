import { messageOf, newHeader } from '../../../live/jupyter/headers.ts';
import type { JupyterMessage } from '../../../live/jupyter/message.ts';
import type { Delta, EndEntry, StartEntry } from '../../../live/log/entries.ts';
import type { FakeGroup } from './fake-group.ts';

const NO_CHANGE: Delta = { units: [], dropped: [], unreplicated: [], pinned: [], stateBytes: 0 };

/**
 * Runs a cell as kernels in memory do: `print N` says N lines, `fail` raises, `hang` waits for an
 * interrupt, `slow MS` takes that long. `say` takes its outputs, `ended` its END.
 */
export function runCell(
  group: FakeGroup,
  start: StartEntry,
  say: (type: string, content: object) => void,
  ended: (entry: EndEntry) => void,
): void {
  const { submit } = group.log.open.get(start.cell)!;
  const { code } = JSON.parse(submit.content) as { code: string };
  const [word, argument] = code.split('\n').at(-1)!.split(' ');
  group.nextOutput = Math.max(group.nextOutput, start.firstOutput ?? 0);
  const end = (failed: boolean): void => {
    if (group.run?.start !== start) return;
    group.run = undefined;
    const status = failed ? 'error' : 'ok';
    const content = JSON.stringify({ status, execution_count: start.count, ename: word });
    const { cell, attempt, epoch } = start;
    ended({
      ...{ v: 1, type: 'end', cell, attempt, epoch, delta: NO_CHANGE },
      reply: { content, metadata: '{}' },
      lastOutput: group.nextOutput - 1,
      timings: { prepareMs: 0, runMs: 1, captureMs: 0, saveMs: 0 },
    });
  };
  group.run = { start, end };
  say('status', { execution_state: 'busy' });
  say('execute_input', { code, execution_count: start.count });
  if (word === 'print')
    for (let line = 0; line < Number(argument); line++)
      say('stream', { name: 'stdout', text: `${line}\n` });
  if (word === 'slow') setTimeout(() => end(false), Number(argument));
  else if (word !== 'hang') setImmediate(() => end(word === 'fail'));
}

/** What its process answers to a request on shell or control. */
export function answerTo(request: Uint8Array, kernel: string, member: number): JupyterMessage {
  const header = JSON.parse(Buffer.from(request).toString()) as { msg_type: string };
  const type = header.msg_type.replace('_request', '_reply');
  const content = { status: 'ok', member };
  return messageOf({ header: newHeader(type, kernel), parent: request, content });
}
