import type { Execution } from '../../core/books/execution-book.ts';
import { JOURNAL_FILE } from '../../core/record/journal.ts';
import { Recorder } from '../../sim/recorder.ts';
import { writeHosts, writeSessions, writeSummary } from '../../sim/reports.ts';
import { type Summary, summarize } from '../../sim/summary.ts';
import { Timeline } from '../../sim/timeline.ts';
import { oracleOf } from '../../traces/oracle.ts';
import { RunFolder } from '../../traces/run-folder.ts';
import { type JournalPart, parseJournal, replayPart } from './journal.ts';
import { indexedTrace, type RecordedWork, recordedWork } from './recorded-trace.ts';

export interface RecordedRun {
  readonly folder: string;
  readonly replace: boolean;
  /** NDJSON */
  readonly journal: string;
  readonly name: string;
  readonly provenance: Readonly<Record<string, unknown>>;
}

/**
 * Makes a run folder of a recorded journal: the journal itself and every report, by the simulator's
 * own recorder over the events of the live run. Of several parts (the gateway was started again in
 * between) reports tell the last.
 * @throws NbosError journal-invalid, file-exists, file-unwritable
 */
export async function writeRecordedRun(
  run: RecordedRun,
): Promise<{ summary: Summary; warnings: string[] }> {
  const parts = await parseJournal(run.journal, JOURNAL_FILE);
  const part = parts.at(-1)!;
  const folder = RunFolder.create(run.folder, { replace: run.replace });
  try {
    folder.write(JOURNAL_FILE, run.journal);
    const { summary, warnings } = writeReports(part, run.name, folder);
    if (parts.length > 1)
      warnings.push(`the gateway was started ${parts.length} times: reports tell the last part`);
    folder.finish({
      ...run.provenance,
      trace: { name: run.name },
      policy: part.policy.name,
      config: part.config,
      live: { startedAt: new Date(part.start.epochMs).toISOString(), parts: parts.length },
      warnings,
    });
    return { summary, warnings };
  } catch (error) {
    folder.abort();
    throw error;
  }
}

function writeReports(
  part: JournalPart,
  name: string,
  folder: RunFolder,
): { summary: Summary; warnings: string[] } {
  const cells = folder.csv('cells.csv');
  const events = folder.csv('events.csv');
  const rows = folder.csv('timeline.csv');
  const work = recordedWork(part);
  const trace = indexedTrace(work, name);
  const oracle = oracleOf(trace);
  const timeline = new Timeline(rows, part.config.timelineMs, oracle, work.endMs);
  const measured = measure(part, work, name, { cells, events, timeline });
  for (const writer of [cells, events, rows]) writer.close();
  const { recorder, state, summary, warnings } = measured;
  writeSessions(folder.csv('sessions.csv'), { trace, recorder, state, endMs: work.endMs });
  writeHosts(folder.csv('hosts.csv'), { trace, recorder, state, endMs: work.endMs });
  writeSummary(folder.csv('summary.csv'), summary);
  return { summary, warnings };
}

/** Replays a part under a recorder; the summary of the live run. */
export function measure(
  part: JournalPart,
  work: RecordedWork,
  name: string,
  targets: ConstructorParameters<typeof Recorder>[3] = {},
) {
  const { config, policy } = part;
  const trace = indexedTrace(work, name);
  const recorder = new Recorder(trace, config, work.endMs, targets);
  const { core, isSame, compared } = replayPart(part, recorder);
  recorder.finish();
  recorder.cut(work.endMs, (execution: Execution) => work.endMs - execution.executedAt);
  const { state } = core;
  const submitted = [...work.sessions.values()].reduce((sum, { cells }) => sum + cells.length, 0);
  const summary = summarize({
    trace,
    policy,
    config,
    oracle: oracleOf(trace),
    recorder,
    state,
    horizonMs: work.endMs,
    endMs: work.endMs,
    submitted,
  });
  const warnings = isSame
    ? []
    : ['the scheduler does not answer the recorded events as it did in the live run'];
  return { recorder, state, summary, isSame, compared, warnings };
}
