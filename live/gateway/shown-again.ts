import { parseObject } from '../jupyter/fields.ts';
import { FoldedOutputs, type NotebookOutput } from '../jupyter/folded-outputs.ts';
import { messageOf, newHeader, streamNote } from '../jupyter/headers.ts';
import type { JupyterMessage } from '../jupyter/message.ts';
import type { Cell, LiveKernel } from './kernel.ts';

/** Outputs of a cell so far, as a notebook shows them. */
export function outputsOfCell(kernel: LiveKernel, { cell }: Cell): readonly NotebookOutput[] {
  const folded = new FoldedOutputs();
  for (const entry of kernel.replay.ofCell(cell))
    if (entry.channel === 'iopub') folded.add(entry.message);
  return folded.outputs();
}

/** What `nbos.output(n)` in a running cell shows: outputs of an earlier one, in its own name. */
export function shownAgain(kernel: LiveKernel, asked: JupyterMessage): JupyterMessage[] {
  const count = parseObject(asked.content)?.['count'];
  const cell = [...kernel.known.values()].find((each) => each.count === count);
  const note = (text: string): JupyterMessage => streamNote(text, asked.parent, kernel.id);
  if (cell === undefined) return [note(`NotebookOS: the output of cell ${count} is not kept.\n`)];
  const outputs = outputsOfCell(kernel, cell);
  if (outputs.length === 0) return [note(`NotebookOS: cell ${count} had no output.\n`)];
  return outputs.map((output) => messageFor(kernel, output, asked.parent));
}

/** A result is shown as a display: the asking cell has a result of its own. */
function messageFor(
  kernel: LiveKernel,
  output: NotebookOutput,
  parent: Uint8Array,
): JupyterMessage {
  const { output_type: kind } = output;
  const type = kind === 'execute_result' ? 'display_data' : kind;
  const header = newHeader(type, kernel.id);
  switch (output.output_type) {
    case 'stream':
      return messageOf({ header, parent, content: { name: output.name, text: output.text } });
    case 'error': {
      const { ename, evalue, traceback } = output;
      return messageOf({ header, parent, content: { ename, evalue, traceback } });
    }
    default: {
      const { data, metadata } = output;
      return messageOf({ header, parent, content: { data, metadata, transient: {} } });
    }
  }
}
