import { join } from 'node:path';
import { delayOf, type Execution, STEP } from '../../core/books/execution-book.ts';
import type { Effect } from '../../core/effects.ts';
import type { Event } from '../../core/events.ts';
import { type CellFacts, cellRow, type Field, tctOf } from '../../core/record/cell-row.ts';
import { JOURNAL_FILE } from '../../core/record/journal.ts';
import type { CsvWriter } from '../../traces/csv.ts';
import { RunFolder } from '../../traces/run-folder.ts';
import type { CoreLoop } from './core-loop.ts';
import type { Journal } from './journal.ts';

export interface RunRecordOptions {
  /** the run is written to FOLDER/run */
  folder: string;
  policy: string;
  version: string;
  loop: CoreLoop;
}

interface SessionSums {
  id: string;
  user: string;
  openedAt: number;
  closedAt: number;
  gpuMillis: number;
  cells: number;
  completed: number;
  migrated: number;
  busyGpuMs: number;
  delaySum: number;
  delayMax: number;
  tctSum: number;
  lostMs: number;
}

const MS_PER_HOUR = 3_600_000;
const GPU_MS_PER_HOUR = 1000 * MS_PER_HOUR;
/** Rows of cells that are kept for the report; beyond it, the journal alone has them. */
const ROWS_MOST = 200_000;

/** The run of this gateway as reports, with the same columns as a simulated one. */
export class RunRecord {
  readonly #options: RunRecordOptions;
  readonly #rows: Field[][] = [];
  readonly #sessions = new Map<number, SessionSums>();

  constructor(options: RunRecordOptions) {
    this.#options = options;
  }

  named(session: number, id: string, user: string): void {
    const known = this.#sessions.get(session);
    if (known !== undefined) {
      Object.assign(known, { id, user });
      return;
    }
    this.#sessions.set(session, {
      id,
      user,
      openedAt: this.#options.loop.now(),
      closedAt: -1,
      gpuMillis: 0,
      cells: 0,
      completed: 0,
      migrated: 0,
      busyGpuMs: 0,
      delaySum: 0,
      delayMax: 0,
      tctSum: 0,
      lostMs: 0,
    });
  }

  after(event: Event, effects: readonly Effect[]): void {
    if (event.kind === 'session-opened' || event.kind === 'session-adopted') {
      const session = this.#sessions.get(event.session);
      if (session !== undefined) session.gpuMillis = event.need.gpuMillis;
    } else if (event.kind === 'session-closed') {
      const session = this.#sessions.get(event.session);
      if (session !== undefined) session.closedAt = event.at;
    }
    for (const effect of effects)
      if (effect.kind === 'reply') this.#replied(effect.execution, effect.status);
  }

  #replied(execution: Readonly<Execution>, status: CellFacts['status']): void {
    const session = this.#sessions.get(execution.session);
    if (session === undefined) return;
    const { need, steps } = execution;
    const runMs = steps[STEP.run]!;
    session.cells++;
    session.lostMs += steps[STEP.lost]!;
    session.migrated = this.#options.loop.core.state.sessions[execution.session]?.migrated ?? 0;
    if (status === 'completed') {
      const delay = delayOf(execution);
      session.completed++;
      session.busyGpuMs += runMs * need.gpuMillis;
      session.delaySum += delay;
      session.delayMax = Math.max(session.delayMax, delay);
      session.tctSum += tctOf(execution);
    }
    if (this.#rows.length >= ROWS_MOST) return;
    const facts = { sessionId: session.id, durationMs: runMs, ...need, status, warmup: false };
    this.#rows.push([...cellRow([], execution, facts)]);
  }

  /** Writes the folder anew: cells.csv, sessions.csv, hosts.csv, the journal, then run.json. */
  async write(journal: Journal): Promise<void> {
    const { folder, policy, version, loop } = this.#options;
    const run = RunFolder.create(join(folder, 'run'), { replace: true });
    try {
      const cells = run.csv('cells.csv');
      for (const row of this.#rows) cells.row(row);
      cells.close();
      this.#writeSessions(run.csv('sessions.csv'));
      this.#writeHosts(run.csv('hosts.csv'));
      const lines: string[] = [];
      for await (const line of journal.lines()) lines.push(JSON.stringify(line));
      run.write(JOURNAL_FILE, `${lines.join('\n')}\n`);
      run.finish({
        code: version,
        policy,
        live: true,
        config: loop.core.state.config,
        epochMs: loop.epochMs,
        reports: ['cells.csv', 'sessions.csv', 'hosts.csv'],
      });
    } catch (error) {
      run.abort();
      throw error;
    }
  }

  #writeSessions(writer: CsvWriter): void {
    const now = this.#options.loop.now();
    for (const session of this.#sessions.values()) {
      const { gpuMillis, closedAt, openedAt, busyGpuMs } = session;
      const openMs = (closedAt === -1 ? now : closedAt) - openedAt;
      const reserved = (gpuMillis * openMs) / GPU_MS_PER_HOUR;
      const busy = busyGpuMs / GPU_MS_PER_HOUR;
      writer.row([
        session.id,
        session.user,
        openedAt,
        closedAt === -1 ? null : closedAt,
        gpuMillis / 1000,
        session.cells,
        session.completed,
        session.migrated,
        reserved,
        busy,
        reserved === 0 ? null : busy / reserved,
        session.delaySum,
        session.delayMax,
        session.tctSum,
        session.lostMs,
      ]);
    }
    writer.close();
  }

  #writeHosts(writer: CsvWriter): void {
    const { loop } = this.#options;
    const { state } = loop.core;
    const now = loop.now();
    for (const host of state.hosts) {
      const gone = host.endAt !== -1;
      const upMs = host.upAt === -1 ? 0 : (gone ? host.endAt : now) - host.upAt;
      const provisioned = (host.spec.gpuMillis * upMs) / GPU_MS_PER_HOUR;
      const under = gone ? 0 : host.boundGpuMillis * (now - host.boundSince);
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
}
