import { setMaxListeners } from 'node:events';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { NbosError } from '../../core/errors.ts';
import {
  type Arguments,
  demandedText,
  interruption,
  isSet,
  numberOf,
  printNote,
  printResult,
  textOf,
} from '../../traces/command-line.ts';
import { formatDuration } from '../../traces/duration.ts';
import { startProgress } from '../../traces/progress.ts';
import { RUN_FILE } from '../../traces/run-folder.ts';
import { sample } from '../../traces/sample.ts';
import type { Trace } from '../../traces/trace.ts';
import { loadWithProgress, printImportNotes } from '../../traces/trace-actions.ts';
import { importRequest, windowRequest } from '../../traces/trace-flags.ts';
import { AdminClient } from '../commands/admin-client.ts';
import { RemoteKernel } from '../commands/remote-kernel.ts';
import { findSystem, plainUrl } from '../commands/running.ts';
import type { WriteRun } from './conclude.ts';
import { checkFits, playedSessions } from './plan.ts';
import { type PlayedSession, playSession } from './session-player.ts';

/** How much longer than its own time a cell may take: it may wait for GPUs for long. */
const PATIENCE_MS = 600_000;

interface Counts {
  ok: number;
  error: number;
  lost: number;
}

/** `nbos replay`: a trace as load of a running system, then its reports. */
export async function replayTrace(given: Arguments, writeRun: WriteRun): Promise<void> {
  const out = demandedText(given, 'out');
  refuseFinished(out, isSet(given, 'replace'));
  const client = clientOf(given);
  const status = await client.status();
  const trace = await loadedTrace(given);
  const speed = numberOf(given, 'speed')!;
  const most = numberOf(given, 'sessions') ?? Number.POSITIVE_INFINITY;
  const sessions = playedSessions(trace, speed, most);
  checkFits(sessions, Math.max(0, ...status.hosts.map(({ gpus }) => gpus)));
  const began = Date.now();
  const started = performance.now();
  const counts = await play(given, client, sessions);
  const seconds = (performance.now() - started) / 1000;
  if (interruption.signal.aborted)
    throw new NbosError(
      'interrupted',
      'the replay was stopped and its sessions closed',
      `Nothing was written to ${out}.`,
    );
  const source = { path: resolve(demandedText(given, 'trace')), import: importRequest(given) };
  const { summary, warnings } = await writeRun({
    folder: out,
    replace: isSet(given, 'replace'),
    journal: partsSince(await client.journal(), began),
    name: trace.name,
    provenance: {
      source: { ...source, speed, sessions: sessions.length, traceHash: trace.hash },
      replay: { ...counts, seconds },
    },
  });
  for (const warning of warnings) printNote(given, `warning: ${warning}`);
  printResult(
    given,
    `${sessions.length} sessions in ${formatDuration(seconds * 1000)}: ${counts.ok} cells ok, ` +
      `${counts.error} failed, ${counts.lost} without a reply\n` +
      `reports in ${out}; nbos fidelity ${out} compares them with the simulator`,
    { out: resolve(out), ...counts, seconds, summary, warnings },
  );
}

/**
 * The parts of a journal from the one that ran at `began` (ms since the epoch) on: what the system
 * did under earlier gateways belongs to no replay.
 */
export function partsSince(journal: string, began: number): string {
  const lines = journal.split('\n');
  const first = lines.findLastIndex((line) => {
    if (!line.startsWith('{"t":"start"')) return false;
    const { epochMs } = JSON.parse(line) as { epochMs: number };
    return epochMs <= began;
  });
  return lines.slice(Math.max(0, first)).join('\n');
}

function refuseFinished(out: string, replace: boolean): void {
  if (replace || !existsSync(join(out, RUN_FILE))) return;
  throw new NbosError(
    'file-exists',
    `${out} holds a finished run`,
    'Name another folder, or add --replace.',
  );
}

function clientOf(given: Arguments): AdminClient {
  const url = textOf(given, 'gateway');
  const env =
    url === undefined ? process.env : { ...process.env, NBOS_URL: plainUrl(url, '--gateway') };
  return new AdminClient(findSystem(env));
}

async function loadedTrace(given: Arguments): Promise<Trace> {
  const path = demandedText(given, 'trace');
  const { trace, notes } = await loadWithProgress(given, path, importRequest(given));
  printImportNotes(given, notes);
  const window = windowRequest(given, 1);
  const isCut = window.windowMs !== undefined || window.peakGpus !== undefined;
  return isCut ? sample(trace, window) : trace;
}

async function play(
  given: Arguments,
  client: AdminClient,
  sessions: readonly PlayedSession[],
): Promise<Counts> {
  const counts: Counts = { ok: 0, error: 0, lost: 0 };
  const total = sessions.reduce((sum, { cells }) => sum + cells.length, 0);
  const progress = startProgress('replaying', { unit: 'cells', quiet: isSet(given, 'quiet') });
  const limitMs = numberOf(given, 'limit');
  const end = new AbortController();
  const { signal } = end;
  const stop = (): void => end.abort();
  interruption.signal.addEventListener('abort', stop);
  const limit = limitMs === undefined ? undefined : setTimeout(stop, limitMs);
  // Every session listens to it.
  setMaxListeners(0, signal);
  const player = {
    signal,
    patienceMs: PATIENCE_MS,
    open: (session: PlayedSession) =>
      RemoteKernel.create(client, {
        spec: '',
        env: { KERNEL_GPUS: String(session.gpus) },
        path: `replay/${session.id}.ipynb`,
      }),
    onCell: (outcome: keyof Counts) => {
      counts[outcome]++;
      progress.update(counts.ok + counts.error + counts.lost, total);
    },
    onNote: (text: string) => printNote(given, `note: ${text}`),
  };
  try {
    await Promise.all(sessions.map((session) => playSession(session, player)));
  } finally {
    clearTimeout(limit);
    interruption.signal.removeEventListener('abort', stop);
    progress.end();
  }
  return counts;
}
