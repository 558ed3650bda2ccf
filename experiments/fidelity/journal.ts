import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../../core/config/options.ts';
import type { Effect } from '../../core/effects.ts';
import { NbosError } from '../../core/errors.ts';
import type { Event } from '../../core/events.ts';
import type { Policy } from '../../core/policies/policy.ts';
import {
  JOURNAL_FILE,
  JOURNAL_VERSION,
  type JournalEffects,
  type JournalLine,
  type JournalSession,
  type JournalStart,
} from '../../core/record/journal.ts';
import { Core } from '../../core/scheduler.ts';
import { resolvePolicy } from '../../sim/policy-file.ts';
import { checkConfig } from '../../traces/config-file.ts';

/** What one start of a gateway recorded until it ended. */
export interface JournalPart {
  readonly start: JournalStart;
  readonly policy: Policy;
  readonly config: Config;
  readonly events: readonly Event[];
  /** by session number */
  readonly sessions: ReadonlyMap<number, JournalSession>;
  readonly hashes: readonly JournalEffects[];
}

/** Reads journal.ndjson of a run folder. @throws NbosError file-not-found, as `parseJournal` */
export async function readJournal(folder: string): Promise<JournalPart[]> {
  const file = join(folder, JOURNAL_FILE);
  if (!existsSync(file))
    throw new NbosError(
      'file-not-found',
      `${folder} has no ${JOURNAL_FILE}`,
      'Name a run folder that nbos replay wrote.',
    );
  return parseJournal(readFileSync(file, 'utf8'), file);
}

/**
 * The parts of a journal. A last line that is cut off is left out: its writer was killed.
 * @throws NbosError journal-invalid, format-version, policy-unknown, config-bad-value
 */
export async function parseJournal(text: string, where: string): Promise<JournalPart[]> {
  const rows = text.split('\n');
  if (rows.at(-1) === '') rows.pop();
  const parts: JournalPart[] = [];
  let part: Mutable | undefined;
  for (const [index, row] of rows.entries()) {
    const place = `${where}:${index + 1}`;
    const line = lineOf(row);
    if (line === undefined) {
      if (index === rows.length - 1) break;
      throw invalid(place, 'no line of a journal');
    }
    if (line.t === 'start') {
      part = await startedPart(line, place);
      parts.push(part);
    } else if (part === undefined) throw invalid(place, 'a journal begins with a start');
    else if (line.t === 'event') part.events.push(line.event);
    else if (line.t === 'session') part.sessions.set(line.session, line);
    else part.hashes.push(line);
  }
  if (parts.length === 0) throw invalid(where, 'it is empty');
  return parts;
}

interface Mutable extends JournalPart {
  readonly events: Event[];
  readonly sessions: Map<number, JournalSession>;
  readonly hashes: JournalEffects[];
}

function lineOf(row: string): JournalLine | undefined {
  try {
    const line = JSON.parse(row) as JournalLine;
    return ['start', 'event', 'session', 'effects'].includes(line?.t) ? line : undefined;
  } catch {
    return undefined;
  }
}

async function startedPart(start: JournalStart, place: string): Promise<Mutable> {
  if (start.v > JOURNAL_VERSION)
    throw new NbosError(
      'format-version',
      `${place}: version ${start.v}; this program reads up to ${JOURNAL_VERSION}`,
      'Update NotebookOS.',
    );
  checkConfig(start.config);
  const { policy } = await resolvePolicy(start.policy);
  return { start, policy, config: start.config, events: [], sessions: new Map(), hashes: [] };
}

function invalid(place: string, what: string): NbosError {
  return new NbosError('journal-invalid', `${place}: ${what}`, 'Download the journal again.');
}

/** The most hosts that were up at once. */
export function mostHosts(events: readonly Event[]): number {
  const up = new Set<number>();
  let most = 0;
  for (const event of events) {
    if (event.kind === 'host-up') up.add(event.host);
    else if (event.kind === 'host-lost' || event.kind === 'host-released') up.delete(event.host);
    most = Math.max(most, up.size);
  }
  return most;
}

/** Sees a recorded run again; as the simulator's observers do. */
export interface ReplayObserver {
  watch(state: Core['state']): void;
  before(at: number): void;
  after(event: Event, effects: readonly Effect[]): void;
}

export interface Replayed {
  readonly core: Core;
  /** whether each recorded hash of effects came out again; true when none was recorded */
  readonly isSame: boolean;
  /** events until which hashes were compared */
  readonly compared: number;
  /** hash of the effects of all events */
  readonly hash: string;
}

/**
 * Gives core the events of a part again and compares what it answers.
 * @throws NbosError journal-invalid when core refuses an event that it took in the recorded run
 */
export function replayPart(part: JournalPart, observer?: ReplayObserver): Replayed {
  const core = Core.create(part.config, part.policy, { facts: observer !== undefined });
  observer?.watch(core.state);
  const digest = createHash('sha256');
  const recorded = new Map(part.hashes.map(({ events, hash }) => [events, hash]));
  let isSame = recorded.get(0) === undefined || recorded.get(0) === digest.copy().digest('hex');
  let compared = 0;
  for (const [index, event] of part.events.entries()) {
    observer?.before(event.at);
    const effects = stepped(core, event, index);
    const decided = effects.filter(({ kind }) => kind !== 'fact');
    digest.update(`${JSON.stringify(decided)}\n`);
    const expected = recorded.get(index + 1);
    if (expected !== undefined) {
      compared = index + 1;
      isSame &&= expected === digest.copy().digest('hex');
    }
    observer?.after(event, effects);
  }
  return { core, isSame, compared, hash: digest.digest('hex') };
}

function stepped(core: Core, event: Event, index: number): readonly Effect[] {
  try {
    return core.step(event);
  } catch (error) {
    if (!(error instanceof NbosError)) throw error;
    throw new NbosError(
      'journal-invalid',
      `event ${index + 1} (${event.kind} at ${event.at}) is refused: ${error.message}`,
      'The journal was written by another version of the scheduler, or damaged.',
    );
  }
}
