import type { Config } from '../config/options.ts';
import type { Event } from '../events.ts';

/** Name of an exported journal in a run folder. */
export const JOURNAL_FILE = 'journal.ndjson';
export const JOURNAL_VERSION = 1;

/**
 * One line of an exported journal: what a live scheduler was given and what it answered, so that a
 * run can be repeated. Every start of a gateway opens a new part with `start`: the scheduler begins
 * afresh there.
 */
export type JournalLine = JournalStart | JournalEvent | JournalSession | JournalEffects;

export interface JournalStart {
  t: 'start';
  v: number;
  /** name of the policy, or path of its file */
  policy: string;
  /** complete */
  config: Config;
  /** ms since the epoch at which `at` is 0 */
  epochMs: number;
}

/** The next event that core was given and did not refuse. */
export interface JournalEvent {
  t: 'event';
  event: Event;
}

/** A session's number in the events of this part belongs to this kernel. */
export interface JournalSession {
  t: 'session';
  session: number;
  kernel: string;
  user: string;
  /** of its notebook, '' when it has none */
  path: string;
  name: string;
}

/**
 * Hash of all effects of this part so far: hex SHA-256 over the texts `JSON.stringify(effects)` +
 * '\n' of each event, in order, `fact` effects left out. Written at least at the end.
 */
export interface JournalEffects {
  t: 'effects';
  /** events of this part so far */
  events: number;
  hash: string;
}
