import { SUMMARY_COLUMNS } from '../core/record/columns.ts';
import type { State } from '../core/state.ts';
import type { CsvWriter } from '../traces/csv.ts';
import type { Trace } from '../traces/trace.ts';
import type { Recorder } from './recorder.ts';
import type { Summary } from './summary.ts';

const MS_PER_HOUR = 3_600_000;
const GPU_MS_PER_HOUR = 1000 * MS_PER_HOUR;

export interface EndedRun {
  readonly trace: Trace;
  readonly recorder: Recorder;
  readonly state: State;
  /** when it ended or was cut: what is open or up counts until then */
  readonly endMs: number;
}

/** Writes sessions.csv, in the order of the trace. */
export function writeSessions(writer: CsvWriter | undefined, run: EndedRun): void {
  if (writer === undefined) return;
  const { trace, recorder, state, endMs } = run;
  const { sessions, shapes, users } = trace;
  for (let id = 0; id < sessions.count; id++) {
    const session = state.sessions[id];
    if (session === undefined) continue; // never opened before the cut
    const closed = recorder.closedAt[id]!;
    const openMs = (closed === -1 ? endMs : closed) - session.openedAt;
    const gpuMillis = shapes[sessions.shape[id]!]!.gpuMillis;
    const reserved = (gpuMillis * openMs) / GPU_MS_PER_HOUR;
    const busy = recorder.busyGpuMsOf[id]! / GPU_MS_PER_HOUR;
    writer.row([
      sessions.ids[id]!,
      users[sessions.user[id]!]!,
      session.openedAt,
      closed === -1 ? null : closed,
      gpuMillis / 1000,
      recorder.submittedCells[id]!,
      recorder.completedCells[id]!,
      session.migrated,
      reserved,
      busy,
      reserved === 0 ? null : busy / reserved,
      recorder.delaySum[id]!,
      recorder.delayMax[id]!,
      recorder.tctSum[id]!,
      recorder.lostSum[id]!,
    ]);
  }
  writer.close();
}

/** Writes hosts.csv, in the order in which hosts were asked for. */
export function writeHosts(writer: CsvWriter | undefined, { state, endMs }: EndedRun): void {
  if (writer === undefined) return;
  for (const host of state.hosts) {
    const gone = host.endAt !== -1;
    const endAt = gone ? host.endAt : endMs;
    const upMs = host.upAt === -1 ? 0 : endAt - host.upAt;
    const provisioned = (host.spec.gpuMillis * upMs) / GPU_MS_PER_HOUR;
    const under = gone ? 0 : host.boundGpuMillis * (endMs - host.boundSince);
    const committed = (host.boundGpuMs + under) / GPU_MS_PER_HOUR;
    writer.row([
      host.id,
      state.hostTypes[host.type]!.name,
      host.spec.gpuMillis / 1000,
      host.requestedAt,
      host.upAt === -1 ? null : host.upAt,
      gone ? host.endAt : null,
      host.end,
      provisioned,
      committed,
      provisioned === 0 ? null : committed / provisioned,
      host.executions,
      host.replicasMax,
    ]);
  }
  writer.close();
}

/** Writes summary.csv: one row. */
export function writeSummary(writer: CsvWriter | undefined, summary: Summary): void {
  if (writer === undefined) return;
  writer.row(SUMMARY_COLUMNS.map(({ name }) => summary[name] ?? null));
  writer.close();
}
