import { mkdirSync, openSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Logger, pino } from 'pino';
import { unwritable } from '../../traces/output-file.ts';

/** A log file that is larger when a process starts is set aside; of those one is kept. */
const MOST_BYTES = 50e6;

/**
 * A log of a process of the system: DATA/logs/NAME.ndjson, and errors on stderr when `aloud`.
 * Level by NBOS_LOG. Written in the background.
 */
export function openLog(data: string, name: string, aloud: boolean): Logger {
  const folder = join(data, 'logs');
  const file = join(folder, `${name}.ndjson`);
  let dest: number;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    if (size > MOST_BYTES) renameSync(file, `${file}.1`);
    // Open now: a command that fails at once still has its lines written when it exits.
    dest = openSync(file, 'a', 0o600);
  } catch (error) {
    throw unwritable(file, error);
  }
  const level = levelOf(process.env['NBOS_LOG']);
  const target = pino.destination({ dest, sync: false });
  const aloudStream = { level: 'error' as const, stream: { write: writeLine } };
  const streams = [{ level, stream: target }, ...(aloud ? [aloudStream] : [])];
  return pino({ level, base: { part: name, pid: process.pid } }, pino.multistream(streams));
}

type Level = 'trace' | 'debug' | 'info' | 'warn' | 'error';

function levelOf(text: string | undefined): Level {
  const levels: readonly Level[] = ['trace', 'debug', 'info', 'warn', 'error'];
  return levels.find((level) => level === text) ?? 'info';
}

/** A record for people: message and cause on one line. */
function writeLine(record: string): void {
  try {
    const { msg, err, part } = JSON.parse(record) as {
      msg?: string;
      part?: string;
      err?: { message?: string };
    };
    const cause = err?.message === undefined ? '' : `: ${err.message}`;
    process.stderr.write(`${part}: ${msg ?? ''}${cause}\n`);
  } catch {
    process.stderr.write(record);
  }
}
