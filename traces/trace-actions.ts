import { NbosError } from '../core/errors.ts';
import { checkTrace, type Finding } from './check.ts';
import {
  type Arguments,
  demandedText,
  interruption,
  isSet,
  numberOf,
  printNote,
  printResult,
  textOf,
} from './command-line.ts';
import { describe } from './describe.ts';
import { descriptionText } from './describe-text.ts';
import { type LoadedTrace, loadTrace } from './load.ts';
import { writeNativeTrace } from './native-writer.ts';
import { startProgress } from './progress.ts';
import { peakReservedGpus, sample } from './sample.ts';
import { suggestion } from './suggest.ts';
import { PROFILES, type ProfileName, synthesize } from './synthesize/index.ts';
import { shortNumber } from './text-table.ts';
import type { ImportNote, Trace } from './trace.ts';
import { importRequest, tracePath, windowRequest } from './trace-flags.ts';

/** Loads a trace with a bar of bytes, and says on stderr what its importer noted. */
export async function loadWithProgress(
  given: Arguments,
  path: string,
  request: Arguments,
): Promise<LoadedTrace> {
  const progress = startProgress('reading', {
    unit: 'MB',
    scale: 1e6,
    quiet: isSet(given, 'quiet'),
  });
  try {
    const onProgress = (done: number, total: number): void => {
      if (interruption.signal.aborted) throw new NbosError('interrupted', 'reading was stopped');
      progress.update(done, total);
    };
    return await loadTrace(path, { ...request, onProgress });
  } finally {
    progress.end();
  }
}

/** One line for each note, on stderr. */
export function printImportNotes(given: Arguments, notes: readonly ImportNote[]): void {
  for (const { code, message, count, first } of notes)
    printNote(given, `note: ${code}: ${message} (${shortNumber(count)}, first: ${first})`);
}

function requestOf(given: Arguments): Arguments {
  return importRequest(given);
}

/** Writes a native folder and prints what it holds. */
function save(given: Arguments, trace: Trace, seed: number | undefined): void {
  const out = demandedText(given, 'out');
  writeNativeTrace(trace, out, { seed, replace: isSet(given, 'replace') });
  const { sessions, cells, endMs, hash } = trace;
  const peakGpus = peakReservedGpus(trace);
  const hours = endMs / 3_600_000;
  printResult(
    given,
    `${out}: ${shortNumber(sessions.count)} sessions, ${shortNumber(cells.count)} cells, ` +
      `${shortNumber(hours)} h, at most ${shortNumber(peakGpus)} GPUs reserved at once`,
    { out, sessions: sessions.count, cells: cells.count, hours, peakGpus, hash },
  );
}

export async function importTrace(given: Arguments): Promise<void> {
  const { trace, notes, seed } = await loadWithProgress(given, tracePath(given), requestOf(given));
  printImportNotes(given, notes);
  save(given, trace, seed);
}

export async function checkOne(given: Arguments): Promise<void> {
  const path = tracePath(given);
  const { usable, findings, trace } = await checkTrace(path, requestOf(given));
  const errors = findings.filter((finding) => finding.severity === 'error');
  const warnings = findings.filter((finding) => finding.severity === 'warning');
  const size = trace
    ? `${shortNumber(trace.sessions.count)} sessions, ${shortNumber(trace.cells.count)} cells; `
    : '';
  const lines = [
    ...warnings.map((finding) => findingLine(finding)),
    `${path}: ${usable ? 'usable' : 'not usable'}; ${size}kinds of errors: ${errors.length}, ` +
      `of warnings: ${warnings.length}`,
  ];
  printResult(given, lines.join('\n'), { path, usable, findings });
  const [first] = errors;
  if (first !== undefined) throw new NbosError(first.code as 'file-corrupt', first.message);
}

function findingLine({ severity, code, message, count, first }: Finding): string {
  return `${severity}: ${code}: ${message} (${shortNumber(count)}, first: ${first})`;
}

export async function describeOne(given: Arguments): Promise<void> {
  const { trace, notes } = await loadWithProgress(given, tracePath(given), requestOf(given));
  printImportNotes(given, notes);
  const hosts = numberOf(given, 'hosts');
  const gpusPerHost = numberOf(given, 'gpus-per-host') ?? 8;
  const description = describe(trace, hosts === undefined ? undefined : { hosts, gpusPerHost });
  printResult(given, descriptionText(description), description);
}

export function synthesizeOne(given: Arguments): Promise<void> {
  const profile = demandedText(given, 'profile');
  if (!Object.hasOwn(PROFILES, profile))
    throw new NbosError(
      'usage',
      `--profile: unknown profile "${profile}"`,
      suggestion(profile, Object.keys(PROFILES)),
    );
  const seed = numberOf(given, 'seed')!;
  const trace = synthesize({
    profile: profile as ProfileName,
    sessions: numberOf(given, 'sessions')!,
    hours: numberOf(given, 'hours')!,
    seed,
    cells: numberOf(given, 'cells'),
    gapFactor: numberOf(given, 'gap-factor'),
    peakGpus: numberOf(given, 'peak'),
  });
  save(given, trace, seed);
  return Promise.resolve();
}

export async function sampleOne(given: Arguments): Promise<void> {
  const seed = numberOf(given, 'seed')!;
  const { trace, notes } = await loadWithProgress(given, tracePath(given), requestOf(given));
  printImportNotes(given, notes);
  if (textOf(given, 'window') === undefined && textOf(given, 'peak') === undefined)
    throw new NbosError('usage', 'sample: expected --window, --peak or both, found neither');
  save(given, sample(trace, windowRequest(given, seed)), seed);
}
