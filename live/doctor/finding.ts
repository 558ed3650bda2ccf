import { NbosError } from '../../core/errors.ts';
import type { Subject } from './subject.ts';

/** `warning`: it works, with less than there could be; `problem`: it will not work. */
export type Level = 'ok' | 'warning' | 'problem';

/** What one look told, for people. */
export interface Told {
  level: Level;
  /** what was found, with its place and figures */
  found: string;
  /** what to do about it, '' where nothing is to be done */
  todo: string;
}

export interface Finding extends Told {
  check: string;
}

/** One thing about a host that is looked at. */
export interface Check {
  name: string;
  /** a check, or several, that must have found no problem for this one to mean anything */
  after?: string | readonly string[];
  /** whether the command line asks for it */
  applies(subject: Subject): boolean;
  /** An NbosError that it throws is told as a problem. */
  look(subject: Subject): Promise<Told[]>;
}

export function ok(found: string): Told {
  return { level: 'ok', found, todo: '' };
}

export function warning(found: string, todo: string): Told {
  return { level: 'warning', found, todo };
}

export function problem(found: string, todo: string): Told {
  return { level: 'problem', found, todo };
}

/** What an error tells, as a problem. */
export function problemOf(error: unknown): Told {
  if (error instanceof NbosError) return problem(`${error.code}: ${error.message}`, error.hint);
  const { message } = error as Error;
  return problem(message || String(error), '');
}
