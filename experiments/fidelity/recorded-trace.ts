import { STEP } from '../../core/books/execution-book.ts';
import type { Effect } from '../../core/effects.ts';
import type { Event } from '../../core/events.ts';
import { copyVector, type ResourceVector } from '../../core/resources.ts';
import { TraceBuilder } from '../../traces/build.ts';
import type { Trace } from '../../traces/trace.ts';
import { type JournalPart, replayPart } from './journal.ts';

/** A cell as it was in the live run. */
export interface RecordedCell {
  readonly session: number;
  /** number in its kernel, as in the events */
  readonly cell: number;
  readonly submittedAt: number;
  readonly need: Readonly<ResourceVector>;
  /** ms of user code; 0 until it ended */
  runMs: number;
  /** -1 until it was answered */
  repliedAt: number;
}

export interface RecordedSession {
  readonly session: number;
  readonly id: string;
  readonly user: string;
  readonly openedAt: number;
  closedAt: number;
  readonly need: Readonly<ResourceVector>;
  readonly gpuType: string;
  readonly cells: RecordedCell[];
}

/** What users did in a recorded part, by session number, and when it ended. */
export interface RecordedWork {
  readonly sessions: ReadonlyMap<number, RecordedSession>;
  /** at of the last event */
  readonly endMs: number;
}

/** Reads off a part who opened what and how long each cell ran. */
export function recordedWork(part: JournalPart): RecordedWork {
  const sessions = new Map<number, RecordedSession>();
  const open = (event: Extract<Event, { kind: 'session-opened' | 'session-adopted' }>): void => {
    const { session, need, gpuType, at } = event;
    const told = part.sessions.get(session);
    sessions.set(session, {
      session,
      id: nameOf(told, session, sessions),
      user: told?.user ?? '',
      openedAt: at,
      closedAt: -1,
      need: copyVector(need),
      gpuType,
      cells: [],
    });
  };
  const submit = (
    event: Extract<Event, { kind: 'cell-submitted' | 'execution-adopted' }>,
  ): void => {
    const { session, cell, submittedAt, need } = event;
    const cells = sessions.get(session)?.cells;
    cells?.push({ session, cell, submittedAt, need: copyVector(need), runMs: 0, repliedAt: -1 });
  };
  replayPart(part, {
    watch: () => undefined,
    before: () => undefined,
    after: (event, effects) => {
      if (event.kind === 'session-opened' || event.kind === 'session-adopted') open(event);
      else if (event.kind === 'cell-submitted' || event.kind === 'execution-adopted') submit(event);
      else if (event.kind === 'session-closed') {
        const session = sessions.get(event.session);
        if (session !== undefined) session.closedAt = event.at;
      }
      noteReplies(effects, event.at, sessions);
    },
  });
  return { sessions, endMs: part.events.at(-1)?.at ?? 0 };
}

function noteReplies(
  effects: readonly Effect[],
  at: number,
  sessions: ReadonlyMap<number, RecordedSession>,
): void {
  for (const effect of effects) {
    if (effect.kind !== 'reply') continue;
    const cells = sessions.get(effect.session)?.cells;
    const cell = cells?.findLast(({ cell: number }) => number === effect.cell);
    if (cell === undefined) continue;
    cell.runMs = effect.execution.steps[STEP.run]!;
    cell.repliedAt = at;
  }
}

/** Path of the notebook without what nbos replay adds, else the kernel's id; never twice. */
function nameOf(
  told: { path: string; kernel: string } | undefined,
  session: number,
  others: ReadonlyMap<number, RecordedSession>,
): string {
  const path = told?.path.replace(/^replay\/(.*)\.ipynb$/, '$1') ?? '';
  const name = path || told?.kernel || `s${session}`;
  const isTaken = [...others.values()].some(({ id }) => id === name);
  return isTaken ? `${name}-${session}` : name;
}

/**
 * The work as a trace whose session and cell numbers are those of the events, so that reports can
 * be made of a replay: numbers that did not occur are sessions and cells of nothing.
 */
export function indexedTrace(work: RecordedWork, name: string): Trace {
  const count = Math.max(-1, ...work.sessions.keys()) + 1;
  const shapes: ResourceVector[] = [];
  const shapeOf = (need: Readonly<ResourceVector>): number => {
    const same = (each: ResourceVector): boolean =>
      JSON.stringify(each) === JSON.stringify(copyVector(need));
    const known = shapes.findIndex(same);
    return known >= 0 ? known : shapes.push(copyVector(need)) - 1;
  };
  const none = shapeOf({ cpuMillis: 0, memoryMb: 0, gpuMillis: 0, vramMb: 0 });
  const users = [''];
  const gpuTypes = [''];
  const numberIn = (list: string[], word: string): number =>
    list.includes(word) ? list.indexOf(word) : list.push(word) - 1;
  const rows: { submit: number; duration: number; shape: number }[] = [];
  const sessions = Array.from({ length: count }, (_, number) => {
    const session = work.sessions.get(number);
    const firstCell = rows.length;
    for (const { cell, submittedAt, need, runMs } of session?.cells ?? []) {
      while (rows.length < firstCell + cell) rows.push({ submit: 0, duration: 0, shape: none });
      rows[firstCell + cell] = { submit: submittedAt, duration: runMs, shape: shapeOf(need) };
    }
    return {
      id: session?.id ?? '',
      startMs: session?.openedAt ?? 0,
      endMs: session === undefined ? 0 : endOf(session, work),
      shape: session === undefined ? none : shapeOf(session.need),
      gpuType: numberIn(gpuTypes, session?.gpuType ?? ''),
      user: numberIn(users, session?.user ?? ''),
      firstCell,
    };
  });
  return {
    name,
    source: 'a recorded journal',
    licence: 'not stated',
    hash: workloadTrace(work, name)?.hash ?? '',
    endMs: work.endMs,
    shapes,
    gpuTypes,
    users,
    models: [''],
    datasets: [''],
    sessions: {
      count,
      ids: sessions.map(({ id }) => id),
      startMs: Float64Array.from(sessions, ({ startMs }) => startMs),
      endMs: Float64Array.from(sessions, ({ endMs }) => endMs),
      shape: Uint32Array.from(sessions, ({ shape }) => shape),
      gpuType: Uint16Array.from(sessions, ({ gpuType }) => gpuType),
      user: Uint32Array.from(sessions, ({ user }) => user),
      firstCell: Uint32Array.from([...sessions.map(({ firstCell }) => firstCell), rows.length]),
    },
    cells: {
      count: rows.length,
      submitMs: Float64Array.from(rows, ({ submit }) => submit),
      durationMs: Float64Array.from(rows, ({ duration }) => duration),
      shape: Uint32Array.from(rows, ({ shape }) => shape),
      utilizationPct: new Uint8Array(rows.length).fill(255),
      model: new Uint16Array(rows.length),
      dataset: new Uint16Array(rows.length),
      stateBytes: new Float64Array(rows.length).fill(-1),
    },
  };
}

function endOf({ closedAt, openedAt, cells }: RecordedSession, work: RecordedWork): number {
  const end = closedAt === -1 ? work.endMs : closedAt;
  return Math.max(openedAt, end, ...cells.map(({ submittedAt, runMs }) => submittedAt + runMs));
}

/**
 * How the users of a run went on: after each reply (`closed`), or without waiting for it, so that
 * cells queued up in some kernel (`open`).
 */
export function loopOf({ sessions }: RecordedWork): 'closed' | 'open' {
  const isQueued = [...sessions.values()].some(({ cells }) =>
    cells.some(({ submittedAt }, index) => {
      const before = cells[index - 1];
      return before !== undefined && (before.repliedAt === -1 || submittedAt < before.repliedAt);
    }),
  );
  return isQueued ? 'open' : 'closed';
}

/**
 * The work as an ordinary trace, for the simulator; undefined when nobody did anything. For the
 * closed loop, time between a reply and the next cell is the user's and stays, but not what the
 * live system took: there the cells of a session come as if each had been answered at once.
 */
export function workloadTrace(
  work: RecordedWork,
  name: string,
  loop: 'closed' | 'open' = 'open',
): Trace | undefined {
  if (work.sessions.size === 0) return undefined;
  const builder = new TraceBuilder();
  for (const session of work.sessions.values()) {
    const { id, user, openedAt, need, gpuType, cells } = session;
    // What the live system has added to the session's time so far.
    let delayMs = 0;
    const times = cells.map(({ submittedAt, runMs, repliedAt }) => {
      const submitMs = Math.max(openedAt, submittedAt - delayMs);
      if (loop === 'closed' && repliedAt !== -1) delayMs += repliedAt - submittedAt - runMs;
      return submitMs;
    });
    const endMs = endOf(session, work) - delayMs;
    const handle = builder.addSession({ id, user, gpuType, startMs: openedAt, endMs, shape: need });
    cells.forEach(({ runMs: durationMs, need: shape }, index) => {
      builder.addCell({ session: handle, submitMs: times[index]!, durationMs, shape });
    });
  }
  return builder.build({ name, source: 'a recorded journal', endMs: work.endMs });
}
