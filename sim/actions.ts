import { resolve } from 'node:path';
import { NbosError } from '../core/errors.ts';
import { PLACEMENTS } from '../core/placements/index.ts';
import { POLICIES } from '../core/policies/index.ts';
import {
  type Arguments,
  demandedText,
  interruption,
  isSet,
  printNote,
  printResult,
  textOf,
} from '../traces/command-line.ts';
import { configTable } from '../traces/config-file.ts';
import { startProgress } from '../traces/progress.ts';
import { shortNumber, textTable } from '../traces/text-table.ts';
import { printImportNotes } from '../traces/trace-actions.ts';
import { explainRun } from './explain-run.ts';
import { configFor, resolvePolicy } from './policy-file.ts';
import { runPolicySuite } from './policy-suite.ts';
import { configLayers, reportsAsked } from './run-flags.ts';
import { simulate } from './simulate.ts';
import { loadSource, sourceOf } from './source.ts';
import { summaryText } from './summary-text.ts';

export async function simulateOne(given: Arguments): Promise<void> {
  const { policy, hash, file } = await resolvePolicy(demandedText(given, 'policy'));
  const layers = await configLayers(given);
  configFor(policy, ...layers);
  const source = sourceOf(given, demandedText(given, 'trace'));
  const { trace, notes, recordedOn } = await loadSource(given, source);
  printImportNotes(given, notes);
  // The hosts that a trace was recorded on, unless the user says otherwise.
  const config = configFor(policy, recordedOn, ...layers);
  const progress = startProgress(policy.name, { unit: 'cells', quiet: isSet(given, 'quiet') });
  const out = textOf(given, 'out');
  const started = performance.now();
  try {
    const result = await simulate({
      trace,
      policy,
      config,
      out,
      reports: reportsAsked(given),
      replace: isSet(given, 'replace'),
      check: isSet(given, 'check'),
      provenance: { source: { ...source, policy: file || policy.name, policyHash: hash } },
      onProgress: progress.update,
      onWarning: (warning) => {
        progress.end();
        printNote(given, `warning: ${warning}`);
      },
      signal: interruption.signal,
    });
    progress.end();
    printImportNotes(given, result.notes);
    const seconds = (performance.now() - started) / 1000;
    const rate = trace.cells.count / Math.max(1e-9, result.timings.engineMs / 1000);
    const where = out === undefined ? 'no --out: nothing was written' : `reports in ${out}`;
    const took = `${seconds.toFixed(2)} s, engine ${shortNumber(Math.round(rate))} cells/s`;
    printResult(given, `${summaryText(result.summary)}${where} (${took})`, {
      out: out === undefined ? null : resolve(out),
      summary: result.summary,
      warnings: result.warnings,
      timings: result.timings,
    });
  } finally {
    progress.end();
  }
}

export async function explainOne(given: Arguments): Promise<void> {
  const { text, json } = await explainRun(given);
  printResult(given, text, json);
}

export function listPolicies(given: Arguments): Promise<void> {
  const policies = Object.values(POLICIES).map(({ name, summary }) => ({ name, summary }));
  const placements = Object.values(PLACEMENTS).map(({ name, summary }) => ({ name, summary }));
  const table = (kind: string, rows: typeof policies): string =>
    textTable(
      [kind, 'what it does'],
      rows.map(({ name, summary }) => [name, summary]),
    );
  printResult(
    given,
    `${table('policy', policies)}\n${table('placement', placements)}\n` +
      'A .ts or .js file of your own can stand wherever a policy is named: --policy ./mine.ts',
    { policies, placements },
  );
  return Promise.resolve();
}

export async function checkPolicyFile(given: Arguments): Promise<void> {
  const name = demandedText(given, 'file');
  const { policy } = await resolvePolicy(name);
  const outcomes = await runPolicySuite(policy, interruption.signal);
  const failed = outcomes.filter((outcome) => outcome.fault !== '');
  const lines = outcomes.map(({ check, fault }) =>
    fault === '' ? `ok    ${check}` : `FAIL  ${check}: ${fault}`,
  );
  printResult(
    given,
    `${lines.join('\n')}\n${policy.name}: ${outcomes.length - failed.length} of ${outcomes.length} checks passed`,
    { policy: policy.name, outcomes },
  );
  if (failed.length > 0)
    throw new NbosError(
      'policy-invalid',
      `${name}: ${failed.length} of ${outcomes.length} checks failed, first: ${failed[0]!.check}`,
    );
}

export function showConfig(given: Arguments): Promise<void> {
  const rows = configTable();
  const text = textTable(
    ['option', 'unit', 'default', 'source', 'meaning; values'],
    rows.map((row) => [
      row.option,
      row.unit,
      shown(row.default),
      row.source,
      `${row.meaning} (${row.values})`,
    ]),
    { width: process.stdout.columns ?? 140 },
  );
  printResult(given, text, rows);
  return Promise.resolve();
}

/** Structures are shown by size; --json has them whole. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? '[]' : `[${value.length} items]`;
  if (typeof value === 'object') return `{${Object.keys(value as object).length} items}`;
  return String(value);
}
