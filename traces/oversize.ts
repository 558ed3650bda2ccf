import type { HostType } from '../core/config/options.ts';
import { NbosError } from '../core/errors.ts';
import { fitsIn, type ResourceVector, vector } from '../core/resources.ts';
import { TraceBuilder } from './build.ts';
import type { NoteList } from './notes.ts';
import type { Trace } from './trace.ts';

export type OversizePolicy = 'error' | 'drop' | 'clip';

const MS_PER_HOUR = 3_600_000;
const MILLIS = 1_000;

type Shape = Readonly<ResourceVector>;

/**
 * Makes every cell and session fit the largest host: refuses, drops or clips what does not, and
 * notes how many cells and GPU-hours that concerns. The trace itself when all fits. A session goes
 * with the last of its cells; one that claims more than its remaining cells need is clipped.
 * @throws NbosError trace-oversize under 'error'
 */
export function fitToHosts(
  trace: Trace,
  hosts: readonly HostType[],
  policy: OversizePolicy,
  notes: NoteList,
): Trace {
  const capacities = hosts.map((h) =>
    vector(h.cpuMillis, h.memoryMb, Math.round(h.gpus * MILLIS), h.vramMb),
  );
  const fits = trace.shapes.map((shape) => capacities.some((host) => fitsIn(shape, host)));
  if (fits.every((fit) => fit)) return trace;
  const largest = capacities.reduce((a, b) => (b.gpuMillis > a.gpuMillis ? b : a));
  if (policy === 'error') throw refusal(trace, fits, largest);
  const clipped = trace.shapes.map((shape, i) => (fits[i] ? shape : clip(shape, largest)));
  return rebuild(trace, fits, clipped, policy, notes);
}

function clip(shape: Shape, host: Shape): Shape {
  return vector(
    Math.min(shape.cpuMillis, host.cpuMillis),
    Math.min(shape.memoryMb, host.memoryMb),
    Math.min(shape.gpuMillis, host.gpuMillis),
    Math.min(shape.vramMb, host.vramMb),
  );
}

function describe(v: Shape): string {
  return `${v.gpuMillis / MILLIS} GPUs, ${v.cpuMillis} mCPU, ${v.memoryMb} MB, ${v.vramMb} MB VRAM`;
}

function refusal(trace: Trace, fits: readonly boolean[], largest: Shape): NbosError {
  const { sessions, cells, shapes } = trace;
  let count = 0;
  let place = '';
  for (let s = 0; s < sessions.count; s++) {
    for (let c = sessions.firstCell[s]!; c < sessions.firstCell[s + 1]!; c++) {
      const shape = cells.shape[c]!;
      if (fits[shape]) continue;
      if (count++ > 0) continue;
      const name = `cell ${c - sessions.firstCell[s]!} of session "${sessions.ids[s]!}"`;
      place = `${name} needs ${describe(shapes[shape]!)}`;
    }
  }
  if (count === 0) {
    const s = sessions.shape.findIndex((shape) => !fits[shape]);
    place = `session "${sessions.ids[s]!}" claims ${describe(shapes[sessions.shape[s]!]!)}`;
  }
  return new NbosError(
    'trace-oversize',
    `${trace.name}: ${place}; the largest host has ${describe(largest)}` +
      (count > 1 ? ` (${count} such cells)` : ''),
    'Jobs over several hosts are not supported: use larger hosts, --oversize drop or --oversize clip.',
  );
}

function rebuild(
  trace: Trace,
  fits: readonly boolean[],
  clipped: readonly Shape[],
  policy: 'drop' | 'clip',
  notes: NoteList,
): Trace {
  const { sessions, cells, shapes } = trace;
  const builder = new TraceBuilder();
  let count = 0;
  let gpuHours = 0;
  let first = '';
  let goneSessions = 0;
  for (let s = 0; s < sessions.count; s++) {
    const from = sessions.firstCell[s]!;
    const to = sessions.firstCell[s + 1]!;
    const kept: number[] = [];
    for (let c = from; c < to; c++) {
      const shape = cells.shape[c]!;
      if (policy === 'clip' || fits[shape]) kept.push(c);
      if (fits[shape]) continue;
      if (count++ === 0) first = `cell ${c - from} of session "${sessions.ids[s]!}"`;
      const after = policy === 'clip' ? clipped[shape]!.gpuMillis : 0;
      gpuHours +=
        (((shapes[shape]!.gpuMillis - after) / MILLIS) * cells.durationMs[c]!) / MS_PER_HOUR;
    }
    const own = sessions.shape[s]!;
    const emptied = kept.length === 0 && (to > from || !fits[own]);
    if (policy === 'drop' && emptied) {
      goneSessions++;
      continue;
    }
    // A claim that fits stays; one that does not follows from the cells that are left.
    const shape = fits[own] || kept.length === 0 ? clipped[own] : undefined;
    copySession(trace, builder, { s, kept, clipped, shape });
  }
  const done = policy === 'clip' ? 'clipped' : 'dropped';
  const sum = `${gpuHours.toFixed(1)} GPU-hours`;
  if (count > 0)
    notes.add(
      `oversize-${done}`,
      `${done}: cells that need more than any host has, ${sum}; jobs over several hosts are not supported`,
      first,
      count,
    );
  if (goneSessions > 0)
    notes.add(
      'oversize-sessions-dropped',
      'dropped: sessions all of whose cells need more than any host has',
      first,
      goneSessions,
    );
  const { name, source, licence, endMs } = trace;
  return builder.build({ name, source, licence, endMs });
}

interface Copy {
  readonly s: number;
  readonly kept: readonly number[];
  readonly clipped: readonly Shape[];
  readonly shape: Shape | undefined;
}

function copySession(trace: Trace, builder: TraceBuilder, { s, kept, clipped, shape }: Copy): void {
  const { sessions, cells } = trace;
  const session = builder.addSession({
    id: sessions.ids[s]!,
    startMs: sessions.startMs[s]!,
    endMs: sessions.endMs[s]!,
    gpuType: trace.gpuTypes[sessions.gpuType[s]!]!,
    user: trace.users[sessions.user[s]!]!,
    ...(shape ? { shape } : {}),
  });
  for (const c of kept) {
    builder.addCell({
      session,
      submitMs: cells.submitMs[c]!,
      durationMs: cells.durationMs[c]!,
      shape: clipped[cells.shape[c]!]!,
      utilizationPct: cells.utilizationPct[c]!,
      model: trace.models[cells.model[c]!]!,
      dataset: trace.datasets[cells.dataset[c]!]!,
      stateBytes: cells.stateBytes[c]!,
    });
  }
}
