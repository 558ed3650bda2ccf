import type { PartialConfig } from '../../core/config/options.ts';
import { NbosError } from '../../core/errors.ts';
import { configFor } from '../../sim/policy-file.ts';
import { simulate } from '../../sim/simulate.ts';
import type { Summary } from '../../sim/summary.ts';
import { type Form, HEADLINES, shownValue } from '../../sim/summary-text.ts';
import { quantileSorted, sortedCopy } from '../../traces/quantiles.ts';
import { readRun } from '../../traces/run-folder.ts';
import { textTable } from '../../traces/text-table.ts';
import type { Trace } from '../../traces/trace.ts';
import { fittedLatencies } from './fitted.ts';
import { type JournalPart, mostHosts, readJournal } from './journal.ts';
import { loopOf, type RecordedWork, recordedWork, workloadTrace } from './recorded-trace.ts';
import { stepSamples } from './step-samples.ts';
import { measure } from './write-run.ts';

export interface ComparedHeadline {
  readonly name: string;
  readonly label: string;
  readonly form: Form;
  /** NaN where there is nothing to measure */
  readonly live: number;
  /** median over the seeds */
  readonly simulated: number;
  /** least and most over the seeds */
  readonly low: number;
  readonly high: number;
  /** simulated - live, in the measure's unit */
  readonly error: number;
  /** error / live; NaN where live is 0 */
  readonly relative: number;
}

export interface Fidelity {
  /** whether core answered the recorded events as in the live run, over so many of them */
  readonly isSame: boolean;
  readonly compared: number;
  readonly events: number;
  readonly fitted: PartialConfig;
  readonly seeds: number;
  readonly headlines: readonly ComparedHeadline[];
  /**
   * measures of the cells of every other two sessions, with latencies fitted from the remaining
   * ones; empty where these have no cell
   */
  readonly heldOut: readonly ComparedHeadline[];
  readonly live: Summary;
  /** of the first seed */
  readonly simulated: Summary;
}

export interface FidelityOptions {
  /**
   * simulations, each with draws of its own: one is one of many courses that the same users and
   * latencies can take
   */
  readonly seeds: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Repeats a live run: its events through core, which must give the same effects, and its workload
 * through the simulator with latencies fitted from the run, whose measures are compared.
 * @throws NbosError file-not-found, run-incomplete, journal-invalid, trace-empty
 */
export async function fidelityOf(
  folder: string,
  { seeds, signal }: FidelityOptions,
): Promise<Fidelity> {
  readRun(folder);
  const parts = await readJournal(folder);
  const part = parts.at(-1)!;
  const work = recordedWork(part);
  const name = folder.split('/').filter(Boolean).at(-1) ?? 'live';
  const loop = loopOf(work);
  const trace = workloadTrace(work, name, loop);
  if (trace === undefined || trace.cells.count === 0)
    throw new NbosError('trace-empty', `${folder}: nobody ran a cell`, 'Replay a trace first.');
  const { summary: live, isSame, compared } = measure(part, work, name);
  const run: RecordedRun = { part, work, trace, loop, seeds, signal };
  const fitted = fittedLatencies(stepSamples(part));
  const simulated = await simulations(run, fitted);
  const headlines = HEADLINES.map((headline) => headlineOf(headline, live, simulated));
  const heldOut = await heldOutOf(run, name);
  const events = part.events.length;
  const checked = { isSame, compared, events };
  return { ...checked, fitted, seeds, headlines, heldOut, live, simulated: simulated[0]! };
}

interface RecordedRun extends FidelityOptions {
  readonly part: JournalPart;
  readonly work: RecordedWork;
  readonly trace: Trace;
  readonly loop: 'closed' | 'open';
}

/** The workload under fitted latencies, once for each seed. */
async function simulations(
  { part, trace, loop, seeds, signal }: RecordedRun,
  fitted: PartialConfig,
  counts?: (session: number) => boolean,
): Promise<Summary[]> {
  const { policy } = part;
  const summaries: Summary[] = [];
  for (let draw = 0; draw < seeds; draw++) {
    const asLive: PartialConfig = {
      loop,
      untilMs: 0,
      oversize: 'drop',
      releaseAfter: 'commit',
      // The seed stays: by it core chooses at random, as it did in the live run.
      latencySeed: draw,
      // Of those that might have joined only those that did are simulated.
      ...(part.config.fixed ? { hosts: Math.max(1, mostHosts(part.events)) } : {}),
    };
    const config = configFor(policy, part.config, fitted, asLive);
    const { summary } = await simulate({ trace, policy, config, counts, signal });
    summaries.push(summary);
  }
  return summaries;
}

/** Columns of summary.csv that are measured on cells. */
const OF_CELLS = /^(delay|tct)_p\d+_ms$|^(immediate|reuse)_share$/;

/**
 * Whether the simulator tells of users what it was not fitted to: of each four sessions the first
 * two are fitted, and the cells of the others are compared.
 */
async function heldOutOf(run: RecordedRun, name: string): Promise<ComparedHeadline[]> {
  const { part, work, trace } = run;
  const numbers = [...work.sessions.keys()];
  const held = new Set(numbers.filter((_, index) => index % 4 >= 2));
  const ids = new Set([...held].map((number) => work.sessions.get(number)!.id));
  const samples = stepSamples(part, (session) => !held.has(session));
  if (held.size === 0 || samples.requestHop.length === 0) return [];
  const { summary: live } = measure(part, work, name, { counts: (session) => held.has(session) });
  const isHeld = (session: number): boolean => ids.has(trace.sessions.ids[session]!);
  const simulated = await simulations(run, fittedLatencies(samples), isHeld);
  return HEADLINES.filter(([, column]) => OF_CELLS.test(column)).map((headline) =>
    headlineOf(headline, live, simulated),
  );
}

function headlineOf(
  [label, name, form]: (typeof HEADLINES)[number],
  live: Summary,
  simulated: readonly Summary[],
): ComparedHeadline {
  const value = (summary: Summary): number => {
    const found = summary[name];
    return typeof found === 'number' ? found : Number.NaN;
  };
  const was = value(live);
  const all = sortedCopy(Float64Array.from(simulated, value).filter(Number.isFinite));
  const is = quantileSorted(all, 0.5);
  const error = is - was;
  const relative = was === 0 ? Number.NaN : error / was;
  const range = { low: quantileSorted(all, 0), high: quantileSorted(all, 1) };
  return { name, label, form, live: was, simulated: is, ...range, error, relative };
}

/** The comparison as tables, and what the replay of the journal showed. */
export function fidelityText(fidelity: Fidelity): string {
  const { isSame, compared, events, seeds, headlines, heldOut } = fidelity;
  const others =
    heldOut.length === 0
      ? ''
      : `\nlatencies fitted from half of the sessions, cells of the others:\n${shownTable(heldOut)}`;
  const checked =
    compared === 0
      ? `${events} recorded events replayed; no hash of effects was recorded`
      : `${compared} of ${events} recorded events compared`;
  const verdict = isSame ? 'the same effects as in the live run' : 'OTHER effects than live';
  const many = `simulated: median, least and most of ${seeds} seeds`;
  return `${shownTable(headlines)}${others}\n${many}\n${checked}: ${verdict}\n`;
}

function shownTable(headlines: readonly ComparedHeadline[]): string {
  const rows = headlines.map(({ label, form, live, simulated, low, high, error, relative }) => [
    label,
    shownValue(live, form),
    shownValue(simulated, form),
    `${shownValue(low, form)} … ${shownValue(high, form)}`,
    shownError(error, relative, form),
  ]);
  const heads = ['measure', 'live', 'simulated', 'over seeds', 'error'];
  return textTable(heads, rows, { right: [1, 2, 3, 4] });
}

function shownError(error: number, relative: number, form: Form): string {
  if (!Number.isFinite(error)) return '-';
  const sign = error < 0 ? '-' : '+';
  if (form === 'share') return `${sign}${Math.abs(100 * error).toFixed(1)} points`;
  const size = `${sign}${shownValue(Math.abs(error), form)}`;
  if (!Number.isFinite(relative)) return size;
  return `${size} (${sign}${Math.abs(100 * relative).toFixed(1)} %)`;
}
