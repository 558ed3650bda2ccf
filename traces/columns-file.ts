import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { NbosError } from '../core/errors.ts';
import { vector } from '../core/resources.ts';
import type { Trace } from './trace.ts';

const MAGIC = 'NBOSCOLS';
export const COLUMNS_VERSION = 1;
/** magic, version, length of the header text */
const PREFIX_BYTES = 16;
const READ_BYTES = 16 << 20;
/** names of a trace; far above any real one, far below what a damaged length could claim */
const MAX_HEADER_BYTES = 1 << 30;

/** All of a trace that is not a typed array; its JSON opens the hashed part. */
interface Header {
  readonly endMs: number;
  readonly sessions: number;
  readonly cells: number;
  readonly shapes: readonly (readonly [number, number, number, number])[];
  readonly gpuTypes: readonly string[];
  readonly users: readonly string[];
  readonly models: readonly string[];
  readonly datasets: readonly string[];
  readonly ids: readonly string[];
}

function headerBytes(trace: Omit<Trace, 'hash'>): Buffer {
  const header: Header = {
    endMs: trace.endMs,
    sessions: trace.sessions.count,
    cells: trace.cells.count,
    shapes: trace.shapes.map((v) => [v.cpuMillis, v.memoryMb, v.gpuMillis, v.vramMb]),
    gpuTypes: trace.gpuTypes,
    users: trace.users,
    models: trace.models,
    datasets: trace.datasets,
    ids: trace.sessions.ids,
  };
  const text = Buffer.from(JSON.stringify(header));
  // Columns of doubles start at a multiple of 8, so that they can be used where they lie.
  return Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, ' ')]);
}

/** The columns in file order: widest first, so that each is aligned. */
function columnsOf({ sessions, cells }: Pick<Trace, 'sessions' | 'cells'>) {
  return [
    sessions.startMs,
    sessions.endMs,
    cells.submitMs,
    cells.durationMs,
    cells.stateBytes,
    sessions.shape,
    sessions.user,
    sessions.firstCell,
    cells.shape,
    sessions.gpuType,
    cells.model,
    cells.dataset,
    cells.utilizationPct,
  ];
}

/** The parts of the binary columns file of a trace, in order. All numbers are little-endian. */
export function* columnsFileParts(trace: Omit<Trace, 'hash'>): Generator<Uint8Array> {
  const header = headerBytes(trace);
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.write(MAGIC, 'latin1');
  prefix.writeUInt32LE(COLUMNS_VERSION, 8);
  prefix.writeUInt32LE(header.length, 12);
  yield prefix;
  yield header;
  for (const column of columnsOf(trace))
    yield new Uint8Array(column.buffer, column.byteOffset, column.byteLength);
}

/** SHA-256 (hex) over the header and the columns: the binary file without its first 16 bytes. */
export function traceHash(trace: Omit<Trace, 'hash'>): string {
  const hash = createHash('sha256');
  let prefix = true;
  for (const part of columnsFileParts(trace)) {
    if (!prefix) hash.update(part);
    prefix = false;
  }
  return hash.digest('hex');
}

export type TraceColumns = Omit<Trace, 'name' | 'source' | 'licence'>;

/**
 * Reads a binary columns file; the arrays are views of the one buffer read. `hash` is computed from
 * what was read: the caller compares it with the one it trusts.
 * @throws NbosError file-corrupt, format-version
 */
export function readColumnsFile(
  path: string,
  onProgress?: (doneBytes: number, totalBytes: number) => void,
): TraceColumns {
  const fd = openSync(path, 'r');
  try {
    const size = fstatSync(fd).size;
    const buffer = new ArrayBuffer(size);
    const all = new Uint8Array(buffer);
    const hash = createHash('sha256');
    for (let at = 0; at < size; ) {
      const read = readSync(fd, all, at, Math.min(READ_BYTES, size - at), at);
      if (read === 0) corrupt(path, 'it ends early');
      const from = Math.max(at, PREFIX_BYTES);
      at += read;
      if (at > from) hash.update(all.subarray(from, at));
      onProgress?.(at, size);
    }
    return { ...view(path, buffer), hash: hash.digest('hex') };
  } finally {
    closeSync(fd);
  }
}

function view(path: string, buffer: ArrayBuffer): Omit<TraceColumns, 'hash'> {
  const start = Buffer.from(buffer);
  if (start.length < PREFIX_BYTES || start.toString('latin1', 0, 8) !== MAGIC)
    corrupt(path, 'it is not a columns file');
  const version = start.readUInt32LE(8);
  if (version !== COLUMNS_VERSION)
    throw new NbosError(
      'format-version',
      `${path}: version ${version} of the columns file; this program reads ${COLUMNS_VERSION}`,
      'Update NotebookOS, or delete the file: the CSV files beside it are read instead.',
    );
  const length = start.readUInt32LE(12);
  if (length > MAX_HEADER_BYTES || PREFIX_BYTES + length > start.length)
    corrupt(path, 'its header is longer than the file');
  const header = parseHeader(path, start.toString('utf8', PREFIX_BYTES, PREFIX_BYTES + length));
  let offset = PREFIX_BYTES + length;
  type Maker<A> = { new (b: ArrayBuffer, o: number, n: number): A; BYTES_PER_ELEMENT: number };
  const take = <A>(make: Maker<A>, count: number): A => {
    const from = offset;
    offset += make.BYTES_PER_ELEMENT * count;
    if (offset > buffer.byteLength) corrupt(path, 'its columns are cut off');
    return new make(buffer, from, count);
  };
  const s = header.sessions;
  const c = header.cells;
  const [startMs, endMs] = [take(Float64Array, s), take(Float64Array, s)];
  const [submitMs, durationMs] = [take(Float64Array, c), take(Float64Array, c)];
  const stateBytes = take(Float64Array, c);
  const [shape, user] = [take(Uint32Array, s), take(Uint32Array, s)];
  const firstCell = take(Uint32Array, s + 1);
  const cellShape = take(Uint32Array, c);
  const gpuType = take(Uint16Array, s);
  const [model, dataset] = [take(Uint16Array, c), take(Uint16Array, c)];
  const utilizationPct = take(Uint8Array, c);
  if (offset !== buffer.byteLength) corrupt(path, 'bytes follow its last column');
  return {
    endMs: header.endMs,
    shapes: header.shapes.map(([cpu, memory, gpu, vram]) => vector(cpu, memory, gpu, vram)),
    gpuTypes: header.gpuTypes,
    users: header.users,
    models: header.models,
    datasets: header.datasets,
    sessions: { count: s, ids: header.ids, startMs, endMs, shape, gpuType, user, firstCell },
    cells: {
      count: c,
      submitMs,
      durationMs,
      shape: cellShape,
      utilizationPct,
      model,
      dataset,
      stateBytes,
    },
  };
}

function parseHeader(path: string, text: string): Header {
  let header: Partial<Header>;
  try {
    header = JSON.parse(text) as Partial<Header>;
  } catch {
    corrupt(path, 'its header is not JSON');
  }
  const { sessions = -1, cells = -1, ids = [] } = header;
  if (!Number.isInteger(sessions) || !Number.isInteger(cells) || ids.length !== sessions)
    corrupt(path, 'its header contradicts itself');
  return header as Header;
}

function corrupt(path: string, why: string): never {
  throw new NbosError(
    'file-corrupt',
    `${path}: ${why}`,
    'Delete it: the CSV files beside it are read instead.',
  );
}
