import type { JupyterMessage } from '../../jupyter/message.ts';

/** A message on iopub with its number among all of its kernel. */
export interface NumberedOutput {
  readonly seq: number;
  readonly cell: number;
  readonly attempt: number;
  readonly message: JupyterMessage;
}

/** Numbers before the frames of an output: seq, cell, attempt as float64, count of frames. */
const HEAD_BYTES = 3 * 8 + 4;

/** Outputs as the content of a file: for each its numbers, the lengths of its frames, the frames. */
export function encodeOutputs(outputs: readonly NumberedOutput[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const { seq, cell, attempt, message } of outputs) {
    const { header, parent, metadata, content, buffers } = message;
    const frames = [header, parent, metadata, content, ...buffers];
    const head = Buffer.alloc(HEAD_BYTES + 4 * frames.length);
    head.writeDoubleLE(seq, 0);
    head.writeDoubleLE(cell, 8);
    head.writeDoubleLE(attempt, 16);
    head.writeUInt32LE(frames.length, 24);
    frames.forEach((frame, index) => {
      head.writeUInt32LE(frame.length, HEAD_BYTES + 4 * index);
    });
    parts.push(head, ...frames);
  }
  return Buffer.concat(parts);
}

/** The outputs in such a file; undefined when it is cut or damaged. */
export function decodeOutputs(bytes: Buffer): NumberedOutput[] | undefined {
  const outputs: NumberedOutput[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + HEAD_BYTES > bytes.length) return undefined;
    const count = bytes.readUInt32LE(at + 24);
    let start = at + HEAD_BYTES + 4 * count;
    if (count < 4 || start > bytes.length) return undefined;
    const frames: Buffer[] = [];
    for (let index = 0; index < count; index++) {
      const end = start + bytes.readUInt32LE(at + HEAD_BYTES + 4 * index);
      if (end > bytes.length) return undefined;
      frames.push(bytes.subarray(start, end));
      start = end;
    }
    const [header, parent, metadata, content, ...buffers] = frames;
    outputs.push({
      seq: bytes.readDoubleLE(at),
      cell: bytes.readDoubleLE(at + 8),
      attempt: bytes.readDoubleLE(at + 16),
      message: {
        header: header!,
        parent: parent!,
        metadata: metadata!,
        content: content!,
        buffers,
      },
    });
    at = start;
  }
  return outputs;
}
