import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { NbosError } from '../core/errors.ts';
import { IMPORTERS } from './formats/index.ts';
import { TRACE_FORMATS, type TraceFormat } from './import-options.ts';
import { kindOf, readBytes } from './input-file.ts';

const HEAD_BYTES = 65_536;

/**
 * Tells the format of a file or folder by its content, never by its name.
 * @throws NbosError format-unknown with what each format would need; file-not-found, file-corrupt
 */
export async function detectFormat(path: string): Promise<TraceFormat> {
  const importers = TRACE_FORMATS.map((format) => IMPORTERS[format]);
  if (kindOf(path) === 'folder') {
    const found = importers.find(({ tellingFile: name }) => {
      if (name === undefined) return false;
      return existsSync(join(path, name)) || existsSync(join(path, `${name}.gz`));
    });
    if (found !== undefined) return found.format;
    if (existsSync(join(path, 'cells.csv')) && existsSync(join(path, 'sessions.csv')))
      throw new NbosError(
        'format-unknown',
        `${path} holds cells.csv and sessions.csv, but neither trace.json nor run.json`,
        'An unfinished run? Finish it, or name its cells.csv; a trace needs its trace.json.',
      );
    throw unknown(path, 'a folder without trace.json, run.json or gpu.csv');
  }
  const head = (await readHead(path)).replace(/^\ufeff/, '').trimStart();
  if (head === '') throw new NbosError('trace-empty', `${path} is empty`, 'Get the file again.');
  const json = importers.find(({ jsonStart }) => jsonStart === head[0]);
  if (json !== undefined) return json.format;
  const header = head.split('\n', 1)[0]!.trim();
  const columns = header.split(',').map((name) => name.replaceAll('"', ''));
  const table = importers.find(
    ({ tellingColumns: telling }) =>
      telling.length > 0 && telling.every((name) => columns.includes(name)),
  );
  if (table !== undefined) return table.format;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\u0000-\u0008\u000e-\u001f\ufffd]/.test(header))
    throw new NbosError(
      'file-corrupt',
      `${path}: binary data; expected a trace`,
      'Check that the right file was named.',
    );
  const near = nearest(columns);
  if (near !== undefined)
    throw new NbosError(
      'trace-bad-header',
      `${path}:1: no column ${near.lacking.join(', ')}, so it is not quite ${near.format}`,
      `Expected ${near.title}; another format is named with --format.`,
    );
  throw unknown(path, `the header "${header.length > 120 ? `${header.slice(0, 120)}…` : header}"`);
}

/** The format most of whose telling columns are there, with those that are not. */
function nearest(columns: readonly string[]) {
  const shares = TRACE_FORMATS.map((format) => {
    const { title, tellingColumns: telling } = IMPORTERS[format];
    const lacking = telling.filter((name) => !columns.includes(name));
    return { format, title, lacking, share: 1 - lacking.length / Math.max(1, telling.length) };
  });
  return shares
    .filter(({ share }) => share > 0.5 && share < 1)
    .sort((a, b) => b.share - a.share)[0];
}

async function readHead(path: string): Promise<string> {
  let head = '';
  for await (const chunk of readBytes(path)) {
    head += chunk.toString('utf8', 0, HEAD_BYTES);
    if (head.length >= HEAD_BYTES / 4 || head.includes('\n')) break;
  }
  return head;
}

function unknown(path: string, found: string): NbosError {
  const titles = TRACE_FORMATS.map((format) => `${format} (${IMPORTERS[format].title})`);
  return new NbosError(
    'format-unknown',
    `${path}: ${found} fits no format`,
    `Name it with --format: ${titles.join('; ')}.`,
  );
}
