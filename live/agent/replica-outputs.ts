import { readField } from '../jupyter/fields.ts';
import type { JupyterMessage } from '../jupyter/message.ts';
import type { CurrentCell } from './replica-cell.ts';
import type { Numbered, ReplicaOptions } from './replica-options.ts';

/** Cells of this replica whose later outputs are known by their parent: threads print on. */
const CELLS_KEPT = 16;

interface Speaker {
  readonly member: number;
  /** of the kernel, 0 before the first cell */
  readonly executor: number;
  readonly current: CurrentCell | undefined;
}

interface KnownCell {
  readonly cell: number;
  readonly attempt: number;
}

/** What comes out of the process on its way to the gateway; a standby's output goes nowhere. */
export class OutputGate {
  readonly #kernel: string;
  readonly #options: ReplicaOptions;
  readonly #speaker: () => Speaker;
  readonly #cells = new Map<string, KnownCell>();
  #parent: Uint8Array = new Uint8Array();
  #parentCell: KnownCell | undefined;
  /** a client's message came to this replica */
  addressed = false;

  constructor(kernel: string, options: ReplicaOptions, speaker: () => Speaker) {
    this.#kernel = kernel;
    this.#options = options;
    this.#speaker = speaker;
  }

  fromKernel(channel: 'shell' | 'control' | 'stdin' | 'iopub', message: JupyterMessage): void {
    const { member } = this.#speaker();
    const kernel = this.#kernel;
    if (channel === 'iopub') this.#output(message);
    else this.#options.tell({ t: 'from-kernel', kernel, member, channel }, framesOf(message));
  }

  #output(message: JupyterMessage): void {
    const { member, executor, current } = this.#speaker();
    const speaks = executor === member || (executor === 0 && this.addressed);
    if (!speaks) return;
    const { cell, attempt } = this.#cellOf(message.parent, current) ?? NO_CELL;
    const output = this.#options.outputs.add(cell, attempt, message);
    if (current?.start.cell === cell) current.lastOutput = output.seq;
    this.#tell(output, member);
  }

  /** Outputs of one cell come with the same parent, byte by byte. */
  #cellOf(parent: Uint8Array, current: CurrentCell | undefined): KnownCell | undefined {
    if (current !== undefined) this.#know(current);
    if (isSame(parent, this.#parent)) return this.#parentCell;
    const id = readField(parent, 'msg_id');
    const known = id === undefined ? undefined : this.#cells.get(id);
    this.#parent = parent;
    this.#parentCell = known;
    return known;
  }

  #know({ start, submit }: CurrentCell): void {
    const { cell, attempt } = start;
    if (this.#cells.get(submit.msgId)?.attempt === attempt) return;
    this.#cells.set(submit.msgId, { cell, attempt });
    this.#parent = new Uint8Array();
    this.#parentCell = undefined;
    if (this.#cells.size > CELLS_KEPT) this.#cells.delete(this.#cells.keys().next().value!);
  }

  #tell({ message, ...numbers }: Numbered, member: number): void {
    const kernel = this.#kernel;
    this.#options.tell({ t: 'output', kernel, member, ...numbers }, framesOf(message));
  }

  async resend(from: number): Promise<void> {
    const { member } = this.#speaker();
    await this.#options.outputs.resend(from, (output) => this.#tell(output, member));
  }
}

const NO_CELL: KnownCell = { cell: -1, attempt: 0 };

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

/** Frames of a message as `to-kernel` and `output` carry them. */
export function framesOf({
  header,
  parent,
  metadata,
  content,
  buffers,
}: JupyterMessage): Uint8Array[] {
  return [header, parent, metadata, content, ...buffers];
}
