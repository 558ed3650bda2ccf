import type { PartialConfig } from '../../core/config/options.ts';
import { NbosError } from '../../core/errors.ts';
import { configFor } from '../../sim/policy-file.ts';
import { simulate } from '../../sim/simulate.ts';
import type { Summary } from '../../sim/summary.ts';
import { type Form, HEADLINES, shownValue } from '../../sim/summary-text.ts';
import { readRun } from '../../traces/run-folder.ts';
import { textTable } from '../../traces/text-table.ts';
import { fittedLatencies } from './fitted.ts';
import { mostHosts, readJournal } from './journal.ts';
import { loopOf, recordedWork, workloadTrace } from './recorded-trace.ts';
import { stepSamples } from './step-samples.ts';
import { measure } from './write-run.ts';

export interface ComparedHeadline {
  readonly name: string;
  readonly label: string;
  readonly form: Form;
  /** NaN where there is nothing to measure */
  readonly live: number;
  readonly simulated: number;
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
  readonly headlines: readonly ComparedHeadline[];
  readonly live: Summary;
  readonly simulated: Summary;
}

/**
 * Repeats a live run twice: its events through core, which must give the same effects, and its
 * workload through the simulator with latencies fitted from the run, whose measures are compared.
 * @throws NbosError file-not-found, run-incomplete, journal-invalid, trace-empty
 */
export async function fidelityOf(folder: string, signal?: AbortSignal): Promise<Fidelity> {
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
  const fitted = fittedLatencies(stepSamples(part));
  const asLive: PartialConfig = {
    loop,
    untilMs: 0,
    oversize: 'drop',
    releaseAfter: 'commit',
    // Of those that might have joined only those that did are simulated.
    ...(part.config.fixed ? { hosts: Math.max(1, mostHosts(part.events)) } : {}),
  };
  const config = configFor(part.policy, part.config, fitted, asLive);
  const { summary: simulated } = await simulate({ trace, policy: part.policy, config, signal });
  const headlines = HEADLINES.map(([label, column, form]) =>
    headlineOf(label, column, form, live, simulated),
  );
  return { isSame, compared, events: part.events.length, fitted, headlines, live, simulated };
}

function headlineOf(
  label: string,
  name: string,
  form: Form,
  live: Summary,
  simulated: Summary,
): ComparedHeadline {
  const value = (summary: Summary): number => {
    const found = summary[name];
    return typeof found === 'number' ? found : Number.NaN;
  };
  const [was, is] = [value(live), value(simulated)];
  const error = is - was;
  const relative = was === 0 ? Number.NaN : error / was;
  return { name, label, form, live: was, simulated: is, error, relative };
}

/** The comparison as a table, and what the replay of the journal showed. */
export function fidelityText({ isSame, compared, events, headlines }: Fidelity): string {
  const rows = headlines.map(({ label, form, live, simulated, error, relative }) => [
    label,
    shownValue(live, form),
    shownValue(simulated, form),
    shownError(error, relative, form),
  ]);
  const table = textTable(['measure', 'live', 'simulated', 'error'], rows, { right: [1, 2, 3] });
  const checked =
    compared === 0
      ? `${events} recorded events replayed; no hash of effects was recorded`
      : `${compared} of ${events} recorded events compared`;
  const verdict = isSame ? 'the same effects as in the live run' : 'OTHER effects than live';
  return `${table}\n${checked}: ${verdict}\n`;
}

function shownError(error: number, relative: number, form: Form): string {
  if (!Number.isFinite(error)) return '-';
  const sign = error < 0 ? '-' : '+';
  if (form === 'share') return `${sign}${Math.abs(100 * error).toFixed(1)} points`;
  const size = `${sign}${shownValue(Math.abs(error), form)}`;
  if (!Number.isFinite(relative)) return size;
  return `${size} (${sign}${Math.abs(100 * relative).toFixed(1)} %)`;
}
