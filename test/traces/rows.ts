import { type LoadOptions, loadTrace } from '../../traces/load.ts';
import type { ImportNote, Trace } from '../../traces/trace.ts';
import { dataFile } from './scratch.ts';

export interface Row {
  readonly id: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly gpus: number;
  readonly cells: (readonly [submitMs: number, durationMs: number, gpus: number])[];
}

/** A trace as one would write it down. */
export function rowsOf({ sessions, cells, shapes }: Trace): Row[] {
  const gpus = (shape: number) => shapes[shape]!.gpuMillis / 1_000;
  return sessions.ids.map((id, s) => ({
    id,
    startMs: sessions.startMs[s]!,
    endMs: sessions.endMs[s]!,
    gpus: gpus(sessions.shape[s]!),
    cells: Array.from(
      { length: sessions.firstCell[s + 1]! - sessions.firstCell[s]! },
      (_, i) => sessions.firstCell[s]! + i,
    ).map((c) => [cells.submitMs[c]!, cells.durationMs[c]!, gpus(cells.shape[c]!)] as const),
  }));
}

/** Notes by code. */
export function counts(notes: readonly ImportNote[]): Record<string, number> {
  return Object.fromEntries(notes.map(({ code, count }) => [code, count]));
}

/** A fixture of test/data, loaded. */
export async function load(name: string, options: LoadOptions = {}) {
  return loadTrace(dataFile(name), options);
}
