import { mkdirSync, rmSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bytesOf, streamNote } from '../../jupyter/headers.ts';
import type { JupyterMessage } from '../../jupyter/message.ts';
import { decodeOutputs, encodeOutputs, type NumberedOutput } from './output-file.ts';

export type { NumberedOutput } from './output-file.ts';

/** An output on its way: of this executor nothing lies between it and number `after`. */
export interface SentOutput extends NumberedOutput {
  readonly after: number;
}

export interface OutputLimits {
  /** bytes of a kernel's outputs kept in memory; older ones go to files */
  memoryBytes: number;
  /** bytes of files; the oldest are given up beyond that */
  fileBytes: number;
  /** a larger message is replaced by a note */
  messageBytes: number;
}

export const OUTPUT_LIMITS: OutputLimits = {
  memoryBytes: 8 * 1024 * 1024,
  fileBytes: 256 * 1024 * 1024,
  messageBytes: 64 * 1024 * 1024,
};

/** What a message in memory costs beside its bytes. */
const OVERHEAD_BYTES = 400;
const SEGMENT_BYTES = 1024 * 1024;

/** Outputs `first` … `last`, in memory, on their way to a file, or in it. */
interface Segment {
  first: number;
  last: number;
  bytes: number;
  /** highest cell that has an output in it, -1 for none */
  cell: number;
  /** undefined once they are in the file */
  outputs: NumberedOutput[] | undefined;
  writing: boolean;
  lost: boolean;
}

/**
 * The outputs of one kernel on its executor's host, numbered in the order in which they came. They
 * are kept until the gateway has passed them on and their cell is decided, so that a gateway
 * without memory gets those of the running cell again from the first.
 */
export class KernelOutputs {
  readonly #directory: string;
  readonly #limits: OutputLimits;
  #segments: Segment[] = [];
  #next: number;
  /** number of the latest output */
  #latest = -1;
  #seen = -1;
  /** cells up to this one are decided */
  #decided = -1;
  #lastLost = -1;
  #lostParent: Uint8Array = bytesOf('{}');
  /** of segments that are in memory and not on their way to a file */
  #memoryBytes = 0;
  #writes: Promise<void> = Promise.resolve();
  #closed = false;

  /**
   * `directory`: for spilled outputs; what is in it is removed. `next`: number of the first output,
   * above all that earlier executors have used.
   */
  constructor(directory: string, next: number, limits: Partial<OutputLimits> = {}) {
    this.#directory = directory;
    this.#next = next;
    this.#limits = { ...OUTPUT_LIMITS, ...limits };
    rmSync(directory, { recursive: true, force: true });
  }

  /** Number of the next output. */
  get next(): number {
    return this.#next;
  }

  /** Number of the oldest output that can be sent again; `next` when there is none. */
  get first(): number {
    return this.#segments.find((segment) => !segment.lost)?.first ?? this.#next;
  }

  /** What `outputs-seen` said last. */
  get seen(): number {
    return this.#seen;
  }

  /** Goes on numbering from `next` when that is higher: another executor has used the numbers below. */
  advanceTo(next: number): void {
    if (next <= this.#next) return;
    this.#next = next;
  }

  /** Numbers and keeps a message. `cell` is -1 when its parent is not a cell's request. */
  add(cell: number, attempt: number, message: JupyterMessage): SentOutput {
    const size = sizeOf(message);
    const tooLong = size > this.#limits.messageBytes;
    const kept = tooLong ? noteOn(message, size) : message;
    const output = { seq: this.#next++, cell, attempt, message: kept };
    const bytes = (tooLong ? sizeOf(kept) : size) + OVERHEAD_BYTES;
    const last = this.#segments.at(-1);
    if (last?.outputs !== undefined && !last.writing && last.bytes < SEGMENT_BYTES) {
      last.outputs.push(output);
      last.last = output.seq;
      last.bytes += bytes;
      last.cell = Math.max(last.cell, cell);
    } else this.#segments.push(newSegment(output, bytes));
    this.#memoryBytes += bytes;
    if (this.#memoryBytes > this.#limits.memoryBytes) this.#spill();
    const after = this.#latest;
    this.#latest = output.seq;
    return { ...output, after };
  }

  /** All clients have the outputs up to `seq`. */
  outputsSeen(seq: number): void {
    this.#seen = Math.max(this.#seen, seq);
    this.#forget();
  }

  /** Cells up to `cell` have an END or ABORT. */
  decided(cell: number): void {
    this.#decided = Math.max(this.#decided, cell);
    this.#forget();
  }

  /**
   * Hands over the outputs from number `from` on, in order, also those that are added meanwhile. In
   * place of lost ones comes one note with the number of the last of them.
   */
  async resend(from: number, send: (output: SentOutput) => void): Promise<void> {
    let at = from;
    const sendFrom = (output: NumberedOutput): void => {
      send({ ...output, after: at - 1 });
      at = output.seq + 1;
    };
    if (at <= this.#lastLost) sendFrom(this.#gapBefore(at));
    for (;;) {
      const segment = this.#segments.find((each) => each.last >= at);
      if (segment === undefined) return;
      const outputs = segment.outputs ?? (await this.#read(segment));
      if (outputs === undefined) {
        this.#lose(segment);
        sendFrom(this.#gapBefore(at));
      } else for (const output of outputs) if (output.seq >= at) sendFrom(output);
      at = Math.max(at, segment.last + 1);
    }
  }

  /** Resolves when what has to go to files is there. */
  async settled(): Promise<void> {
    await this.#writes;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#segments = [];
    this.#memoryBytes = 0;
    await this.#writes;
    await rm(this.#directory, { recursive: true, force: true }).catch(() => undefined);
  }

  #gapBefore(from: number): NumberedOutput {
    const count = this.#lastLost - from + 1;
    const text = `[nbos] ${count} output message${count === 1 ? ' was' : 's were'} lost here.\n`;
    const message = streamNote(text, this.#lostParent, 'nbos');
    return { seq: this.#lastLost, cell: this.#decided + 1, attempt: 0, message };
  }

  /** Lets go of the oldest segments that nobody will ask for. */
  #forget(): void {
    while (this.#segments.length > 0) {
      const [oldest] = this.#segments;
      if (oldest!.last > this.#seen || oldest!.cell > this.#decided) return;
      this.#segments.shift();
      this.#remove(oldest!);
    }
  }

  #remove(segment: Segment): void {
    if (segment.outputs !== undefined && !segment.writing) this.#memoryBytes -= segment.bytes;
    else
      this.#writes = this.#writes.then(() =>
        rm(this.#file(segment), { force: true }).catch(() => undefined),
      );
  }

  /** Sends the oldest outputs in memory to files. */
  #spill(): void {
    for (const segment of this.#segments) {
      if (this.#memoryBytes <= this.#limits.memoryBytes) return;
      if (segment.outputs === undefined || segment.writing) continue;
      this.#memoryBytes -= segment.bytes;
      segment.writing = true;
      this.#writes = this.#writes.then(() => this.#write(segment));
    }
  }

  async #write(segment: Segment): Promise<void> {
    if (this.#closed || segment.outputs === undefined) return;
    try {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      await writeFile(this.#file(segment), encodeOutputs(segment.outputs), { mode: 0o600 });
      segment.outputs = undefined;
    } catch {
      this.#lose(segment);
    }
    let kept = 0;
    for (const each of [...this.#segments].reverse()) {
      if (each.outputs !== undefined || each.lost) continue;
      kept += each.bytes;
      if (kept > this.#limits.fileBytes) this.#lose(each);
    }
  }

  async #read(segment: Segment): Promise<NumberedOutput[] | undefined> {
    if (segment.lost) return undefined;
    const bytes = await readFile(this.#file(segment)).catch(() => undefined);
    return bytes === undefined ? undefined : decodeOutputs(bytes);
  }

  /** Gives up a segment and, since a gap is said once, all before it. */
  #lose(segment: Segment): void {
    const parent = segment.outputs?.at(-1)?.message.parent;
    if (parent !== undefined) this.#lostParent = parent;
    this.#lastLost = Math.max(this.#lastLost, segment.last);
    while (this.#segments.length > 0 && this.#segments[0]!.first <= segment.first) {
      const oldest = this.#segments.shift()!;
      oldest.lost = true;
      this.#remove(oldest);
      oldest.outputs = undefined;
    }
  }

  #file(segment: Segment): string {
    return join(this.#directory, `${segment.first}.outputs`);
  }
}

function newSegment(output: NumberedOutput, bytes: number): Segment {
  const { seq, cell } = output;
  const range = { first: seq, last: seq, bytes, cell };
  return { ...range, outputs: [output], writing: false, lost: false };
}

function sizeOf(message: JupyterMessage): number {
  const { header, parent, metadata, content, buffers } = message;
  const parts = header.length + parent.length + metadata.length + content.length;
  return buffers.reduce((sum, buffer) => sum + buffer.length, parts);
}

function noteOn(message: JupyterMessage, bytes: number): JupyterMessage {
  const megabytes = (bytes / 1e6).toFixed(1);
  const text = `[nbos] An output of ${megabytes} MB was left out: it is too large to be sent.\n`;
  return streamNote(text, message.parent, 'nbos');
}
