import { NbosError } from '../../core/errors.ts';
import type { Payload } from '../../core/raft/index.ts';
import { ENTRY_FORMAT, type LogEntry } from './entries.ts';
import { firstMistake } from './entry-shapes.ts';

/** An entry as the payload of the Raft log. */
export function encodeEntry(entry: LogEntry): string {
  return JSON.stringify(entry);
}

const UTF8 = new TextDecoder();

/**
 * The entry that a payload holds. Throws `entry-invalid` for anything else, and `format-version`
 * for an entry that a newer build wrote.
 */
export function parseEntry(payload: Payload): LogEntry {
  const text = typeof payload === 'string' ? payload : UTF8.decode(payload);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid('it is no JSON');
  }
  checkEntry(value);
  return value;
}

/** Throws as `parseEntry`, for a value that is no text. */
export function checkEntry(value: unknown): asserts value is LogEntry {
  const v = (value as { v?: unknown } | null)?.v;
  if (typeof v === 'number' && v > ENTRY_FORMAT)
    throw new NbosError(
      'format-version',
      `an entry of a kernel's log has format version ${v}; this build reads up to ${ENTRY_FORMAT}`,
      'Start the newer version again, or upgrade this one.',
    );
  if (v !== ENTRY_FORMAT) throw invalid('it has no format version');
  const mistake = firstMistake(value);
  if (mistake !== '') throw invalid(`field ${mistake} is missing or not what it holds`);
}

function invalid(why: string): NbosError {
  return new NbosError(
    'entry-invalid',
    `an entry for a kernel's log cannot be read: ${why}`,
    'Use the same version of NotebookOS on the gateway and all hosts.',
  );
}
