import { NbosError } from '../../core/errors.ts';
import type { Trace } from '../../traces/trace.ts';
import type { PlayedCell, PlayedSession } from './session-player.ts';

/**
 * The sessions of a trace in real time: all times divided by `speed`, users that think after each
 * reply as long as in the trace. Only the first `most` sessions.
 */
export function playedSessions(trace: Trace, speed: number, most: number): PlayedSession[] {
  const { sessions, cells, shapes } = trace;
  const gpusOf = (shape: number): number => shapes[shape]!.gpuMillis / 1000;
  const count = Math.min(most, sessions.count);
  return Array.from({ length: count }, (_, number) => {
    const openAt = sessions.startMs[number]!;
    let ready = openAt;
    const played: PlayedCell[] = [];
    for (let at = sessions.firstCell[number]!; at < sessions.firstCell[number + 1]!; at++) {
      const submit = cells.submitMs[at]!;
      const durationMs = cells.durationMs[at]!;
      played.push({
        index: played.length,
        thinkMs: Math.max(0, submit - ready) / speed,
        durationMs: durationMs / speed,
        gpus: gpusOf(cells.shape[at]!),
      });
      ready = submit + durationMs;
    }
    return {
      id: sessions.ids[number]!,
      openAtMs: openAt / speed,
      cells: played,
      closeAfterMs: Math.max(0, sessions.endMs[number]! - ready) / speed,
      gpus: gpusOf(sessions.shape[number]!),
    };
  });
}

/** @throws NbosError trace-oversize for a cell that no host of the system can run */
export function checkFits(sessions: readonly PlayedSession[], gpusPerHost: number): void {
  const tooBig = sessions.find(({ gpus }) => gpus > gpusPerHost);
  if (tooBig === undefined) return;
  throw new NbosError(
    'trace-oversize',
    `session ${tooBig.id} needs ${tooBig.gpus} GPUs; the largest host has ${gpusPerHost}`,
    'Start nbos up with more --gpus-per-host, or pick other sessions.',
  );
}
