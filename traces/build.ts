import { assert, NbosError } from '../core/errors.ts';
import { maxOf, type ResourceVector, vectorForGpus } from '../core/resources.ts';
import { traceHash } from './columns-file.ts';
import { bytes, floats, shorts, words } from './growable.ts';
import { NameList, Renumbering, ShapeList } from './interning.ts';
import type { Trace } from './trace.ts';

export interface SessionInput {
  readonly id: string;
  readonly startMs: number;
  readonly endMs: number;
  /** at least this much; without it the maximum over the session's cells */
  readonly shape?: Readonly<ResourceVector>;
  readonly gpuType?: string;
  readonly user?: string;
}

export interface CellInput {
  /** what `addSession` returned */
  readonly session: number;
  readonly submitMs: number;
  readonly durationMs: number;
  readonly shape: Readonly<ResourceVector>;
  /** % of the cell's GPUs, 0 … 100 */
  readonly utilizationPct?: number;
  readonly model?: string;
  readonly dataset?: string;
  readonly stateBytes?: number;
  /**
   * Position inside the session. Give it for all cells or for none: with it, order follows it and
   * time may not run backwards; without it, cells are ordered by submission.
   */
  readonly index?: number;
}

export interface TraceMeta {
  readonly name: string;
  readonly source: string;
  readonly licence?: string;
  /** end of the trace; default the last session's end */
  readonly endMs?: number;
  /** shift all times so that the first session opens at 0 */
  readonly rebase?: boolean;
}

const NO_UTILIZATION = 255;
const NO_STATE = -1;
const UNKNOWN_SHAPE = 0xffffffff;
const MOST_SHORT = 0xffff;
const MOST_WORD = 0xffffffff;

/**
 * Collects sessions and cells in any order, as columns, and makes a `Trace` of them: sessions by
 * (start, id), cells by session, names and shapes numbered by first use. Equal content gives an
 * equal trace, and an equal hash, whatever the order of the calls. Use it once.
 */
export class TraceBuilder {
  readonly #ids: string[] = [];
  readonly #handles = new Map<string, number>();
  readonly #start = floats();
  readonly #end = floats();
  readonly #sessionShape = words();
  readonly #gpuType = shorts();
  readonly #user = words();

  readonly #session = words();
  readonly #submit = floats();
  readonly #duration = floats();
  readonly #shape = words();
  readonly #utilization = bytes();
  readonly #model = shorts();
  readonly #dataset = shorts();
  /** filled only from the first cell that gives one */
  readonly #state = floats();
  readonly #index = words();

  readonly #shapes = new ShapeList();
  readonly #gpuTypes = new NameList('GPU types', MOST_SHORT);
  readonly #users = new NameList('users', MOST_WORD);
  readonly #models = new NameList('models', MOST_SHORT);
  readonly #datasets = new NameList('data sets', MOST_SHORT);

  get sessionCount(): number {
    return this.#ids.length;
  }

  get cellCount(): number {
    return this.#submit.length;
  }

  /** @returns a handle for `addCell`. @throws NbosError trace-duplicate for an id seen before */
  addSession(s: SessionInput): number {
    if (this.#handles.has(s.id))
      throw new NbosError('trace-duplicate', `session "${s.id}" exists twice`, 'Keep one of them.');
    const handle = this.#ids.length;
    this.#handles.set(s.id, handle);
    this.#ids.push(s.id);
    this.#start.push(s.startMs);
    this.#end.push(s.endMs);
    this.#sessionShape.push(s.shape ? this.#shapes.numberOf(s.shape) : UNKNOWN_SHAPE);
    this.#gpuType.push(this.#gpuTypes.numberOf(s.gpuType ?? ''));
    this.#user.push(this.#users.numberOf(s.user ?? ''));
    return handle;
  }

  /** The handle of a session, or undefined. */
  sessionOf(id: string): number | undefined {
    return this.#handles.get(id);
  }

  /** Corrects when a session closes, for sources that tell it late. */
  setSessionEnd(session: number, endMs: number): void {
    this.#end.data[session] = endMs;
  }

  /** Corrects when a session opens, as `setSessionEnd`. */
  setSessionStart(session: number, startMs: number): void {
    this.#start.data[session] = startMs;
  }

  sessionStart(session: number): number {
    return this.#start.data[session]!;
  }

  addCell(c: CellInput): void {
    this.#session.push(c.session);
    this.#submit.push(c.submitMs);
    this.#duration.push(c.durationMs);
    this.#shape.push(this.#shapes.numberOf(c.shape));
    this.#utilization.push(c.utilizationPct ?? NO_UTILIZATION);
    this.#model.push(c.model ? this.#models.numberOf(c.model) : 0);
    this.#dataset.push(c.dataset ? this.#datasets.numberOf(c.dataset) : 0);
    const stateBytes = c.stateBytes ?? NO_STATE;
    if (stateBytes !== NO_STATE || this.#state.length > 0) {
      this.#fillState(this.#submit.length - 1);
      this.#state.push(stateBytes);
    }
    if (c.index !== undefined) this.#index.push(c.index);
  }

  /**
   * @throws NbosError trace-empty without any session; trace-bad-value for a time that is not a
   * whole number of ms from 0 on; trace-order for a session that closes before it opens, a cell
   * outside its session, and time running backwards; trace-duplicate for equal cell indexes
   */
  build(meta: TraceMeta): Trace {
    if (this.#ids.length === 0)
      throw new NbosError(
        'trace-empty',
        `trace "${meta.name}" has no session`,
        'Check that the right file was named and that options did not drop everything.',
      );
    const order = this.#sessionOrder();
    const firstCell = new Uint32Array(order.length + 1);
    const cellOrder = this.#cellOrder(order, firstCell);
    const sessions = {
      count: order.length,
      ids: Array.from(order, (handle) => this.#ids[handle]!),
      startMs: this.#start.take(order),
      endMs: this.#end.take(order),
      shape: this.#sessionShape.take(order),
      gpuType: this.#gpuType.take(order),
      user: this.#user.take(order),
      firstCell,
    };
    const count = this.#submit.length;
    if (this.#state.length > 0) this.#fillState(count);
    const cells = {
      count,
      submitMs: this.#submit.take(cellOrder),
      durationMs: this.#duration.take(cellOrder),
      shape: this.#shape.take(cellOrder),
      utilizationPct: this.#utilization.take(cellOrder),
      model: this.#model.take(cellOrder),
      dataset: this.#dataset.take(cellOrder),
      stateBytes:
        this.#state.length > 0
          ? this.#state.take(cellOrder)
          : new Float64Array(count).fill(NO_STATE),
    };
    if (meta.rebase) rebase(sessions, cells);
    const names = this.#number(sessions, cells);
    const endMs = Math.max(meta.endMs ?? 0, lastOf(sessions.endMs));
    const { name, source, licence = 'not stated' } = meta;
    const trace = { name, source, licence, hash: '', endMs, ...names, sessions, cells };
    validate(trace);
    trace.hash = traceHash(trace);
    return trace;
  }

  #fillState(length: number): void {
    while (this.#state.length < length) this.#state.push(NO_STATE);
  }

  #sessionOrder(): Uint32Array {
    const start = this.#start.data;
    const order = Uint32Array.from(this.#ids.keys());
    return order.sort((a, b) => start[a]! - start[b]! || (this.#ids[a]! < this.#ids[b]! ? -1 : 1));
  }

  /** Fills `firstCell` and returns the order of the cells, or undefined when they lie so already. */
  #cellOrder(sessionOrder: Uint32Array, firstCell: Uint32Array): Uint32Array | undefined {
    const count = this.#submit.length;
    const session = this.#session.data;
    const rank = new Uint32Array(sessionOrder.length);
    for (let r = 0; r < sessionOrder.length; r++) rank[sessionOrder[r]!] = r;
    for (let i = 0; i < count; i++) firstCell[rank[session[i]!]! + 1]!++;
    for (let r = 0; r < sessionOrder.length; r++) firstCell[r + 1]! += firstCell[r]!;
    const next = firstCell.slice(0, sessionOrder.length);
    const order = new Uint32Array(count);
    for (let i = 0; i < count; i++) order[next[rank[session[i]!]!]!++] = i;
    const indexed = this.#index.length > 0;
    assert(!indexed || this.#index.length === count, 'cells with and without an index are mixed');
    const key = indexed ? this.#index.data : this.#submit.data;
    for (let r = 0; r < sessionOrder.length; r++) {
      const cells = order.subarray(firstCell[r]!, firstCell[r + 1]!);
      if (!isSorted(cells, key)) cells.sort((a, b) => key[a]! - key[b]! || a - b);
      if (indexed) this.#refuseEqualIndexes(cells, this.#ids[sessionOrder[r]!]!);
    }
    return order.every((cell, i) => cell === i) ? undefined : order;
  }

  #refuseEqualIndexes(cells: Uint32Array, id: string): void {
    const index = this.#index.data;
    for (let i = 1; i < cells.length; i++) {
      if (index[cells[i]!] === index[cells[i - 1]!])
        throw new NbosError(
          'trace-duplicate',
          `session "${id}" has cell ${index[cells[i]!]} twice`,
          'Keep one of the two rows.',
        );
    }
  }

  /** Gives sessions their shapes, and numbers shapes and names by first use. */
  #number(sessions: Trace['sessions'], cells: Trace['cells']) {
    for (let s = 0; s < sessions.count; s++) {
      const given = sessions.shape[s]!;
      let shape = given === UNKNOWN_SHAPE ? undefined : this.#shapes.shapes[given]!;
      let last = -1;
      for (let c = sessions.firstCell[s]!; c < sessions.firstCell[s + 1]!; c++) {
        const number = cells.shape[c]!;
        if (number === last) continue;
        last = number;
        const own = this.#shapes.shapes[number]!;
        shape = shape === undefined ? own : maxOf(shape, own);
      }
      sessions.shape[s] = this.#shapes.numberOf(shape ?? vectorForGpus(0));
    }
    const shapes = new Renumbering(this.#shapes.shapes.length);
    shapes.apply(sessions.shape);
    shapes.apply(cells.shape);
    return {
      shapes: shapes.used.map((old) => this.#shapes.shapes[old]!),
      gpuTypes: renumber(this.#gpuTypes, sessions.gpuType),
      users: renumber(this.#users, sessions.user),
      models: renumber(this.#models, cells.model),
      datasets: renumber(this.#datasets, cells.dataset),
    };
  }
}

function renumber(list: NameList, column: Uint32Array | Uint16Array): string[] {
  const numbering = new Renumbering(list.names.length, 1);
  numbering.apply(column);
  return numbering.used.map((old) => list.names[old]!);
}

function isSorted(cells: Uint32Array, key: Float64Array | Uint32Array): boolean {
  for (let i = 1; i < cells.length; i++) {
    if (key[cells[i]!]! < key[cells[i - 1]!]!) return false;
  }
  return true;
}

function lastOf(times: Float64Array): number {
  let last = 0;
  for (const time of times) if (time > last) last = time;
  return last;
}

function rebase(sessions: Trace['sessions'], cells: Trace['cells']): void {
  const first = sessions.startMs[0]!;
  for (const times of [sessions.startMs, sessions.endMs, cells.submitMs]) {
    for (let i = 0; i < times.length; i++) times[i]! -= first;
  }
}

/** A closed range of integers that double precision and the engine hold exactly. */
function isTime(ms: number): boolean {
  return ms >= 0 && ms <= Number.MAX_SAFE_INTEGER && ms === Math.floor(ms);
}

function validate({ sessions, cells }: Trace): void {
  for (let s = 0; s < sessions.count; s++) {
    const id = sessions.ids[s]!;
    const start = sessions.startMs[s]!;
    const end = sessions.endMs[s]!;
    if (!isTime(start) || !isTime(end)) refuseTime(`session "${id}"`, `${start} … ${end} ms`);
    if (end < start)
      refuseOrder(`session "${id}" closes at ${end} ms, before it opens at ${start} ms`);
    let previous = start;
    for (let c = sessions.firstCell[s]!; c < sessions.firstCell[s + 1]!; c++) {
      const submit = cells.submitMs[c]!;
      const duration = cells.durationMs[c]!;
      const name = `cell ${c - sessions.firstCell[s]!} of session "${id}"`;
      if (!isTime(submit) || !isTime(duration))
        refuseTime(name, `submission ${submit} ms, duration ${duration} ms`);
      if (submit < previous || submit > end)
        refuseOrder(
          `${name} is submitted at ${submit} ms, ${
            submit > end
              ? `after the session closes at ${end} ms`
              : previous === start
                ? `before the session opens at ${start} ms`
                : `before the cell ahead of it at ${previous} ms`
          }`,
        );
      previous = submit;
    }
  }
}

function refuseTime(what: string, found: string): never {
  throw new NbosError(
    'trace-bad-value',
    `${what}: ${found}; expected whole milliseconds from 0 on`,
    'Correct the times.',
  );
}

function refuseOrder(what: string): never {
  throw new NbosError('trace-order', what, 'Correct the times, or split the session there.');
}
