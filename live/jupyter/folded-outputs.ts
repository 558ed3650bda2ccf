import { parseObject, readField } from './fields.ts';
import type { JupyterMessage } from './message.ts';
import { TerminalText } from './terminal-text.ts';

/** An output as nbformat 4 has it. */
export type NotebookOutput =
  | { output_type: 'stream'; name: string; text: string }
  | {
      output_type: 'display_data';
      data: Record<string, unknown>;
      metadata: Record<string, unknown>;
    }
  | {
      output_type: 'execute_result';
      data: Record<string, unknown>;
      metadata: Record<string, unknown>;
      execution_count: number | null;
    }
  | { output_type: 'error'; ename: string; evalue: string; traceback: string[] };

interface Shown {
  output: NotebookOutput;
  displayId: string;
  /** of a stream, which more text may follow */
  text: TerminalText | undefined;
  bytes: number;
}

/** Most bytes of a cell's outputs that are kept; what comes later is left out, and said. */
const MAX_BYTES = 32 * 1024 * 1024;
const KINDS = new Set([
  'stream',
  'display_data',
  'update_display_data',
  'execute_result',
  'error',
  'clear_output',
]);

/**
 * The outputs of one cell as a notebook shows them: streams joined, lines written over by \r once,
 * cleared outputs gone, displays that were updated in their last state. So a progress bar of a
 * thousand steps is one line.
 */
export class FoldedOutputs {
  #shown: Shown[] = [];
  #clearOnNext = false;
  #bytes = 0;
  #leftOut = 0;

  /** Takes an iopub message of the cell; others than outputs change nothing. */
  add(message: JupyterMessage): void {
    const type = readField(message.header, 'msg_type') ?? '';
    if (!KINDS.has(type)) return;
    const content = parseObject(message.content);
    if (content !== undefined) this.addOutput(type, content);
  }

  /** The same for a message that has been parsed. */
  addOutput(type: string, content: Readonly<Record<string, unknown>>): void {
    if (type === 'clear_output') {
      if (content['wait'] === true) this.#clearOnNext = true;
      else this.#clear();
      return;
    }
    if (type === 'update_display_data') {
      this.update(content);
      return;
    }
    if (this.#clearOnNext) this.#clear();
    if (type === 'stream') this.#stream(String(content['name']), String(content['text'] ?? ''));
    else this.#show(type, content);
  }

  /** Gives all displays of an id new content; also for ids that an earlier cell has shown. */
  update(content: Readonly<Record<string, unknown>>): void {
    const id = displayIdOf(content);
    if (id === '') return;
    for (const shown of this.#shown) {
      if (shown.displayId !== id || !('data' in shown.output)) continue;
      shown.output.data = objectOf(content['data']);
      shown.output.metadata = objectOf(content['metadata']);
    }
  }

  /** The outputs so far, oldest first. */
  outputs(): NotebookOutput[] {
    const all = this.#shown.map(({ output, text }) =>
      output.output_type === 'stream' && text !== undefined
        ? { ...output, text: text.toString() }
        : output,
    );
    if (this.#leftOut === 0) return all;
    const note = `[nbos] ${this.#leftOut} later outputs of this cell were too large to be kept.\n`;
    return [...all, { output_type: 'stream', name: 'stderr', text: note }];
  }

  #clear(): void {
    this.#clearOnNext = false;
    this.#shown = [];
    this.#bytes = 0;
    this.#leftOut = 0;
  }

  #stream(name: string, text: string): void {
    const last = this.#shown.at(-1);
    if (last?.text !== undefined && 'name' in last.output && last.output.name === name) {
      const before = last.text.length;
      if (this.#bytes > MAX_BYTES) this.#leftOut++;
      else last.text.write(text);
      this.#bytes += last.text.length - before;
      return;
    }
    const written = new TerminalText();
    written.write(text);
    this.#keep({ output_type: 'stream', name, text: '' }, '', text.length, written);
  }

  #show(type: string, content: Readonly<Record<string, unknown>>): void {
    if (type === 'error') {
      const { ename, evalue, traceback } = content;
      const lines = Array.isArray(traceback) ? traceback.map(String) : [];
      const bytes = lines.reduce((sum, line) => sum + line.length, 0);
      const output = { ename: String(ename), evalue: String(evalue), traceback: lines };
      this.#keep({ output_type: 'error', ...output }, '', bytes, undefined);
      return;
    }
    const data = objectOf(content['data']);
    const metadata = objectOf(content['metadata']);
    const count = content['execution_count'];
    const bytes = Object.values(data).reduce((sum: number, each) => sum + String(each).length, 0);
    const output: NotebookOutput =
      type === 'execute_result'
        ? {
            output_type: 'execute_result',
            data,
            metadata,
            execution_count: typeof count === 'number' ? count : null,
          }
        : { output_type: 'display_data', data, metadata };
    this.#keep(output, displayIdOf(content), bytes, undefined);
  }

  #keep(output: NotebookOutput, displayId: string, bytes: number, text?: TerminalText): void {
    if (this.#bytes + bytes > MAX_BYTES) {
      this.#leftOut++;
      return;
    }
    this.#bytes += bytes;
    this.#shown.push({ output, displayId, text, bytes });
  }
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}

function displayIdOf(content: Readonly<Record<string, unknown>>): string {
  const id = objectOf(content['transient'])['display_id'];
  return typeof id === 'string' ? id : '';
}
