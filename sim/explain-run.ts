import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { hostTypesOf } from '../core/config/config.ts';
import type { Config } from '../core/config/options.ts';
import { NbosError } from '../core/errors.ts';
import { REASONS, REFUSALS } from '../core/reasons.ts';
import { DELAY_STEPS } from '../core/record/columns.ts';
import {
  type Arguments,
  demandedText,
  interruption,
  isSet,
  numberOf,
  textOf,
} from '../traces/command-line.ts';
import { formatDuration } from '../traces/duration.ts';
import { NoteList } from '../traces/notes.ts';
import { fitToHosts } from '../traces/oversize.ts';
import { startProgress } from '../traces/progress.ts';
import { readReport, readRun } from '../traces/run-folder.ts';
import { suggestion } from '../traces/suggest.ts';
import { shortNumber } from '../traces/text-table.ts';
import type { Trace } from '../traces/trace.ts';
import { resolvePolicy } from './policy-file.ts';
import type { Explained } from './recorder.ts';
import { simulate } from './simulate.ts';
import { loadSource, type TraceSource } from './source.ts';

interface Source extends TraceSource {
  readonly policy: string;
  readonly policyHash: string;
}

export interface Explanation {
  readonly text: string;
  readonly json: unknown;
}

/**
 * Repeats a finished run up to one cell with explanations on. Throws `run-incomplete`,
 * `run-mismatch` when trace or policy are no longer what they were, `usage` for an unknown cell.
 */
export async function explainRun(given: Arguments): Promise<Explanation> {
  const folder = demandedText(given, 'run');
  const record = readRun(folder);
  const source = sourceIn(record['source'], folder);
  const { policy, hash } = await resolvePolicy(source.policy);
  if (hash !== source.policyHash)
    throw new NbosError(
      'run-mismatch',
      `${source.policy} has changed since ${folder} was run`,
      'Run it again.',
    );
  const config = record['config'] as Config;
  const path = textOf(given, 'trace') ?? source.path;
  const { trace: whole } = await loadSource(given, { ...source, path });
  const wanted = (record['trace'] as { hash?: string } | undefined)?.hash;
  if (whole.hash !== wanted)
    throw new NbosError(
      'run-mismatch',
      `${path} is not the trace that ${folder} was run on`,
      'Name the right one with --trace.',
    );
  // The same cut as in the run, so that sessions have the same numbers.
  const trace = fitToHosts(whole, hostTypesOf(config), config.oversize, new NoteList());
  const id = demandedText(given, 'session');
  const session = sessionNamed(trace, id);
  const cell = numberOf(given, 'cell')!;
  checkCell(trace, session, cell);
  const progress = startProgress('repeating', { unit: 'cells', quiet: isSet(given, 'quiet') });
  try {
    const { explanation } = await simulate({
      trace,
      policy,
      config,
      explain: { session, cell },
      onProgress: progress.update,
      signal: interruption.signal,
    });
    progress.end();
    const outcome = await outcomeOf(folder, id, cell);
    const title = `session ${id}, cell ${cell}, policy ${policy.name}`;
    return {
      text: explanationText(title, explanation, outcome),
      json: { session: id, cell, hops: explanation.map(plainHop), outcome: outcome ?? null },
    };
  } finally {
    progress.end();
  }
}

function sourceIn(value: unknown, folder: string): Source {
  const source = value as Partial<Source> | undefined;
  if (typeof source?.path === 'string' && typeof source.policy === 'string')
    return source as Source;
  throw new NbosError(
    'run-mismatch',
    `${folder}: its run.json does not say where its trace came from`,
    'Only runs of `nbos simulate`, `compare` and `demo` can be explained.',
  );
}

function sessionNamed(trace: Trace, id: string): number {
  const session = trace.sessions.ids.indexOf(id);
  if (session >= 0) return session;
  throw new NbosError(
    'usage',
    `--session: the trace has no session "${id}"`,
    suggestion(id, trace.sessions.ids, 'sessions.csv of the run lists them.'),
  );
}

function checkCell(trace: Trace, session: number, cell: number): void {
  const { firstCell } = trace.sessions;
  const cells = firstCell[session + 1]! - firstCell[session]!;
  if (cell < cells) return;
  const has = cells === 0 ? 'no cells' : `cells 0 to ${cells - 1}`;
  throw new NbosError('usage', `--cell: this session has ${has}, not ${cell}`);
}

/** What cells.csv says of the cell; undefined where the run did not keep it. */
async function outcomeOf(
  folder: string,
  id: string,
  cell: number,
): Promise<Record<string, string | number> | undefined> {
  if (!['', '.gz'].some((end) => existsSync(join(folder, `cells.csv${end}`)))) return undefined;
  const steps = DELAY_STEPS.map((step) => `${step}_ms`);
  const numbers = ['cell_index', 'submit_ms', 'delay_ms', 'tct_ms', ...steps];
  const table = await readReport(folder, 'cells.csv', [
    'session_id',
    'status',
    'reason',
    ...numbers,
  ]);
  const ids = table.texts('session_id');
  const cells = table.numbers('cell_index');
  const row = ids.findIndex((each, at) => each === id && cells[at] === cell);
  if (row < 0) return undefined;
  return {
    status: table.texts('status')[row]!,
    reason: table.texts('reason')[row]!,
    ...Object.fromEntries(numbers.map((name) => [name, table.numbers(name)[row]!])),
  };
}

function plainHop({ at, fact, host, gpuMillis, detail }: Explained) {
  return { atMs: at, hop: fact, host, gpus: gpuMillis / 1000, detail };
}

function explanationText(
  title: string,
  hops: readonly Explained[],
  outcome: Record<string, string | number> | undefined,
): string {
  const start = Number(outcome?.['submit_ms'] ?? hops[0]?.at ?? 0);
  const lines = [title];
  if (outcome !== undefined) lines.push(`submitted at ${formatDuration(start)} (${start} ms)`);
  for (const hop of hops)
    lines.push(`  +${formatDuration(hop.at - start).padEnd(12)} ${sentence(hop)}`);
  if (hops.length === 0) lines.push('  nothing stood in its way');
  if (outcome !== undefined) lines.push(...outcomeLines(outcome));
  return lines.join('\n');
}

function sentence({ fact, host, gpuMillis, detail }: Explained): string {
  const gpus = `${shortNumber(gpuMillis / 1000)} GPUs`;
  switch (fact) {
    case 'wait':
      return `waits for ${gpus}: ${meaning(detail)}`;
    case 'refuse':
      return `  host ${host} (${gpus} idle): ${refusal(detail)}`;
    case 'migrate':
      return `${detail} moves to host ${host} for it`;
    case 'commit':
      return `${gpus} are committed on host ${host}`;
    case 'release':
      return `${gpus} are released on host ${host}`;
    case 'reserve':
      return `${gpus} are reserved on host ${host} for its container`;
    case 'unreserve':
      return `${gpus} are reserved no more on host ${host}`;
    case 'keep':
      return `host ${host} takes no other work until it fits there, because it waited too long`;
    case 'suspend':
      return `the policy suspends it on host ${host}`;
    case 'reject':
      return `it is rejected: ${meaning(detail)}`;
    default:
      return [fact, host >= 0 ? `host ${host}` : '', detail].filter(Boolean).join(' ');
  }
}

function meaning(code: string): string {
  return REASONS[code as keyof typeof REASONS] ?? code;
}

/** `host: idle-gpus` in words. */
function refusal(detail: string): string {
  const [what, code = what!] = detail.split(': ');
  const words = REFUSALS[code as keyof typeof REFUSALS];
  const refused = words === undefined ? code : `refused: ${words}`;
  return what === 'replica' ? `${refused} (it holds a replica of this kernel)` : refused;
}

function outcomeLines(outcome: Record<string, string | number>): string[] {
  const delay = Number(outcome['delay_ms']);
  if (!Number.isFinite(delay))
    return [`${outcome['status']}: ${meaning(String(outcome['reason']))}`];
  const parts = DELAY_STEPS.map((step) => [step, Number(outcome[`${step}_ms`])] as const)
    .filter(([, ms]) => ms > 0)
    .map(([step, ms]) => `${step.replace('_', ' ')} ${formatDuration(ms)}`);
  return [
    `${outcome['status']} after ${formatDuration(delay)} of delay: ${meaning(String(outcome['reason']))}`,
    `the delay: ${parts.length > 0 ? parts.join(', ') : 'none'}`,
  ];
}
