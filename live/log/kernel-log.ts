import type { AppliedEntry, DecidedCell, OpenCell } from '../wire/messages.ts';
import type {
  AbortEntry,
  Delta,
  EndEntry,
  KernelMeta,
  LogEntry,
  ResetEntry,
  StartEntry,
  StateEntry,
  SubmitEntry,
  Unit,
  Unreplicated,
  YieldEntry,
} from './entries.ts';
import { type KernelLogState, readState, STATE_FORMAT } from './log-state.ts';

/** How much of the past is remembered: of decided cells, and of requests against duplicates. */
export const DECIDED_KEPT = 64;
export const REQUESTS_KEPT = 4096;

/** In the JSON text of a request; inside its code the quotes would be escaped. */
const GOES_ON = /"stop_on_error"\s*:\s*false/;

/** A cell that is accepted and undecided. */
export interface LoggedCell {
  readonly submit: SubmitEntry;
  /** the START in force */
  start: StartEntry | undefined;
}

/** What became of an entry. */
export interface Applied {
  readonly index: number;
  readonly entry: LogEntry;
  /** false for what lost, was stale, or was there already */
  readonly changed: boolean;
  /** as the gateway is told */
  readonly notice: AppliedEntry;
}

/**
 * The state machine over one kernel's log: the same entries give the same state on every member. It
 * knows nothing of processes: what a member's Python holds is a cache of `units`.
 */
export class KernelLog {
  meta: KernelMeta | undefined;
  /** index of the last entry applied */
  applied = 0;
  epoch = 0;
  /** member of the last START that won, 0 before the first */
  executor = 0;
  /** last execution count given */
  count = 0;
  nextCell = 0;
  nextAttempt = 1;
  /** number of the last output that an END told of, -1 for none */
  lastOutput = -1;
  /** the cell whose START is in force, undefined when none runs */
  running: LoggedCell | undefined;
  /** by cell number, in the order they were accepted */
  readonly open = new Map<number, LoggedCell>();
  /** oldest first */
  decided: DecidedCell[] = [];
  readonly units = new Map<string, Unit>();
  unreplicated: readonly Unreplicated[] = [];
  pinned: readonly string[] = [];
  stateBytes = 0;
  /** another number whenever `units` changed, on this member */
  revision = 0;
  /** blobs up to this index are in the store */
  saved = 0;
  /** index of the last entry that changed what the store is to have */
  changedAt = 0;
  /** under which the store has it, see Claims */
  generation = 0;
  /** index of the last RESET, 0 for none */
  resetAt = 0;
  /** how often a RESET has emptied the state: a process of an earlier life is useless */
  resets = 0;
  #stateSeq = -1;
  readonly #requests = new Map<string, number>();

  /** Takes the next committed entry. Never fails: what cannot hold changes nothing. */
  apply(index: number, entry: LogEntry): Applied {
    this.applied = index;
    const done = (changed: boolean, notice: AppliedEntry): Applied => {
      return { index, entry, changed, notice };
    };
    switch (entry.type) {
      case 'create': {
        const first = this.meta === undefined;
        if (first) {
          this.meta = entry.meta;
          this.changedAt = index;
        }
        return done(first, { type: 'create', meta: this.meta! });
      }
      case 'submit': {
        const { cell, session, msgId } = entry;
        const fresh = this.#submit(entry);
        const duplicate = !fresh && this.#requests.get(requestKey(entry)) !== cell;
        return done(fresh, { type: 'submit', cell, session, msgId, duplicate });
      }
      case 'start': {
        const changed = this.#start(entry);
        const { cell, attempt, epoch, executor } = entry;
        const won = changed || sameStart(this.open.get(cell)?.start, entry);
        const running = this.running?.submit.cell;
        const instead = won || running === undefined ? {} : { running };
        return done(changed, { type: 'start', cell, attempt, epoch, executor, won, ...instead });
      }
      case 'end':
        return this.#decide(index, entry, this.#mayEnd(entry));
      case 'abort':
        return this.#decide(index, entry, this.#mayAbort(entry));
      case 'reset': {
        const changed = this.#reset(entry);
        return done(changed, changed ? { type: 'reset', epoch: entry.epoch } : { type: 'other' });
      }
      case 'yield':
        return done(this.#yield(entry), { type: 'other' });
      case 'state':
        return done(this.#changeState(entry), { type: 'other' });
      case 'saved': {
        const claimed = (entry.generation ?? 0) > this.generation;
        const changed = claimed || entry.index > this.saved;
        this.saved = Math.max(this.saved, entry.index);
        if (claimed) {
          this.generation = entry.generation!;
          this.changedAt = index;
        }
        return done(changed, { type: 'other' });
      }
      case 'annotate': {
        const { v: _v, type: _type, ...fields } = entry;
        if (this.meta !== undefined) this.meta = { ...this.meta, ...fields };
        this.changedAt = index;
        return done(true, { type: 'other' });
      }
    }
  }

  /** One request has one cell, and one number names one request. */
  #submit(entry: SubmitEntry): boolean {
    const key = requestKey(entry);
    if (this.#requests.has(key) || entry.cell < this.nextCell) return false;
    this.#requests.set(key, entry.cell);
    if (this.#requests.size > REQUESTS_KEPT)
      this.#requests.delete(this.#requests.keys().next().value!);
    this.nextCell = entry.cell + 1;
    this.open.set(entry.cell, { submit: entry, start: undefined });
    return true;
  }

  /** An attempt counts once: one that was yielded does not come back by a repeated proposal. */
  #start(entry: StartEntry): boolean {
    if (entry.attempt < this.nextAttempt) return false;
    this.nextAttempt = entry.attempt + 1;
    const cell = this.open.get(entry.cell);
    if (cell === undefined || entry.epoch < this.epoch || this.running !== undefined) return false;
    this.#enterEpoch(entry.epoch);
    this.executor = entry.executor;
    this.count = entry.count;
    cell.start = entry;
    this.running = cell;
    return true;
  }

  #yield({ cell, attempt, epoch }: YieldEntry): boolean {
    const start = this.running?.start;
    if (start === undefined || start.cell !== cell || start.attempt !== attempt) return false;
    if (start.epoch !== epoch) return false;
    this.running!.start = undefined;
    this.running = undefined;
    return true;
  }

  #mayEnd({ cell, attempt, epoch }: EndEntry): boolean {
    const start = this.open.get(cell)?.start;
    return start !== undefined && start.attempt === attempt && start.epoch === epoch;
  }

  /** What never started may be aborted by anybody; what runs, only by who knows its attempt. */
  #mayAbort({ cell, attempt, epoch }: AbortEntry): boolean {
    const found = this.open.get(cell);
    if (found === undefined) return false;
    const { start } = found;
    if (start === undefined) return epoch >= this.epoch;
    // The log's epoch may be beyond its START's: waiting cells were taken back meanwhile.
    return start.attempt === attempt && epoch >= start.epoch;
  }

  #decide(index: number, entry: EndEntry | AbortEntry, wins: boolean): Applied {
    const { cell } = entry;
    if (!wins) {
      const before = this.decided.find((decided) => decided.cell === cell)?.entry;
      const notice = noticeOf(entry, this.executor, isRepeat(entry, before));
      return { index, entry, changed: false, notice };
    }
    const { submit, start } = this.open.get(cell)!;
    const notice = noticeOf(entry, start?.executor ?? this.executor, true);
    if (entry.type === 'end') {
      this.#take(entry.delta);
      this.#stateSeq = Math.max(this.#stateSeq, entry.n ?? -1);
      this.lastOutput = Math.max(this.lastOutput, entry.lastOutput);
    } else this.#enterEpoch(entry.epoch);
    this.#close(cell, submit, start, notice);
    // Elsewhere it goes on with what is saved: also that this cell has run, and its number.
    if (start !== undefined && this.meta?.visits === true) this.changedAt = index;
    return { index, entry, changed: true, notice };
  }

  #close(
    cell: number,
    { session, msgId, header, content }: SubmitEntry,
    start: StartEntry | undefined,
    entry: DecidedCell['entry'],
  ): void {
    this.open.delete(cell);
    if (this.running?.submit.cell === cell) this.running = undefined;
    const count = start?.count ?? 0;
    const how = GOES_ON.test(content) ? { goesOn: true } : {};
    const { applied: at } = this;
    this.decided.push({ cell, session, msgId, header, count, at, ...how, entry });
    if (this.decided.length > DECIDED_KEPT) this.decided.shift();
  }

  #changeState({ epoch, executor, n, delta }: StateEntry): boolean {
    if (epoch !== this.epoch || (executor ?? this.executor) !== this.executor) return false;
    if (n !== undefined && n <= this.#stateSeq) return false;
    if (n !== undefined) this.#stateSeq = n;
    this.#take(delta);
    return true;
  }

  #take({ units, dropped, unreplicated, pinned, stateBytes }: Delta): void {
    if (units.length + dropped.length > 0) {
      this.revision++;
      this.changedAt = this.applied;
    }
    for (const id of dropped) this.units.delete(id);
    for (const unit of units) this.units.set(unit.id, unit);
    this.unreplicated = unreplicated;
    this.pinned = pinned;
    this.stateBytes = stateBytes;
  }

  #reset({ epoch }: ResetEntry): boolean {
    if (epoch <= this.epoch) return false;
    this.#enterEpoch(epoch);
    for (const [cell, { submit, start }] of [...this.open]) {
      const abort: AbortEntry = {
        v: 1,
        type: 'abort',
        cell,
        attempt: start?.attempt ?? 0,
        epoch,
        reason: 'kernel-restarted',
        message: 'The kernel was restarted before this cell ended.',
      };
      this.#close(cell, submit, start, { type: 'abort', won: true, entry: abort });
    }
    this.units.clear();
    this.revision++;
    this.changedAt = this.applied;
    this.resetAt = this.applied;
    this.unreplicated = [];
    this.pinned = [];
    this.stateBytes = 0;
    this.count = 0;
    this.resets++;
    return true;
  }

  #enterEpoch(epoch: number): void {
    if (epoch > this.epoch) this.#stateSeq = -1;
    this.epoch = Math.max(this.epoch, epoch);
  }

  /** Open cells as the gateway is told of them, oldest first. */
  openCells(): OpenCell[] {
    return [...this.open.values()].map(({ submit, start }) => ({
      submit,
      attempt: start?.attempt ?? 0,
      executor: start?.executor ?? 0,
      devices: start?.devices ?? [],
      count: start?.count ?? 0,
    }));
  }

  /** All of it as plain data, the same on every member that applied the same entries. */
  state(): KernelLogState {
    return {
      v: STATE_FORMAT,
      applied: this.applied,
      meta: this.meta ?? null,
      epoch: this.epoch,
      executor: this.executor,
      count: this.count,
      nextCell: this.nextCell,
      nextAttempt: this.nextAttempt,
      lastOutput: this.lastOutput,
      saved: this.saved,
      changedAt: this.changedAt,
      resets: this.resets,
      ...(this.resetAt > 0 ? { resetAt: this.resetAt } : {}),
      ...(this.generation > 0 ? { generation: this.generation } : {}),
      stateSeq: this.#stateSeq,
      open: [...this.open.values()].map(({ submit, start }) => ({ submit, start: start ?? null })),
      decided: this.decided,
      requests: [...this.#requests],
      units: [...this.units.values()],
      unreplicated: this.unreplicated,
      pinned: this.pinned,
      stateBytes: this.stateBytes,
    };
  }

  /** Goes on from `state()` of any member. Throws `format-version` or `log-corrupt`. */
  static from(value: unknown): KernelLog {
    const state = readState(value);
    const log = new KernelLog();
    const { meta, v: _v, open, requests, units, stateSeq, decided, ...plain } = state;
    Object.assign(log, plain);
    log.meta = meta ?? undefined;
    log.decided = [...decided];
    log.#stateSeq = stateSeq;
    for (const { submit, start } of open) {
      const cell: LoggedCell = { submit, start: start ?? undefined };
      log.open.set(submit.cell, cell);
      if (start !== null) log.running = cell;
    }
    for (const [key, cell] of requests) log.#requests.set(key, cell);
    for (const unit of units) log.units.set(unit.id, unit);
    return log;
  }
}

function requestKey({ session, msgId }: SubmitEntry): string {
  return `${session}\n${msgId}`;
}

function sameStart(a: StartEntry | undefined, b: StartEntry): boolean {
  return a?.attempt === b.attempt && a.epoch === b.epoch && a.executor === b.executor;
}

/** A proposal that was tried again is no loser. */
function isRepeat(entry: EndEntry | AbortEntry, before: DecidedCell['entry'] | undefined): boolean {
  if (before === undefined || before.type !== entry.type) return false;
  if (before.type === 'end') return before.attempt === entry.attempt;
  return before.entry.attempt === entry.attempt && before.entry.epoch === entry.epoch;
}

function noticeOf(
  entry: EndEntry | AbortEntry,
  executor: number,
  won: boolean,
): DecidedCell['entry'] {
  if (entry.type === 'abort') return { type: 'abort', won, entry };
  const { cell, attempt, reply, lastOutput, timings } = entry;
  return { type: 'end', cell, attempt, won, executor, reply, lastOutput, timings };
}
