import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { POLICIES } from '../core/policies/index.ts';
import { configLayers, reportsAsked } from '../sim/run-flags.ts';
import { loadSource, sourceOf } from '../sim/source.ts';
import {
  type Arguments,
  commaList,
  demandedText,
  interruption,
  isSet,
  numberOf,
  printNote,
  printResult,
  textOf,
} from '../traces/command-line.ts';
import { startProgress } from '../traces/progress.ts';
import { shortNumber, textTable } from '../traces/text-table.ts';
import { printImportNotes } from '../traces/trace-actions.ts';
import { type CompareOptions, type Comparison, compare } from './compare.ts';
import { comparisonText } from './compare-text.ts';
import { runDemo } from './demo.ts';
import { pointCount } from './matrix.ts';
import { planMatrices, runsOf } from './plan.ts';
import { writeReport } from './report.ts';
import { type ExperimentOutcome, runExperiment } from './runner.ts';
import { shardOf } from './shard.ts';
import { findStudy } from './studies/index.ts';
import type { Study } from './study.ts';

export async function comparePolicies(given: Arguments): Promise<void> {
  const policies = commaList('policies', demandedText(given, 'policies'));
  const layers = await configLayers(given);
  const source = sourceOf(given, demandedText(given, 'trace'));
  const { trace, notes, recordedOn } = await loadSource(given, source);
  printImportNotes(given, notes);
  const out = textOf(given, 'out');
  const comparison = await withBar(given, {
    trace,
    policies,
    config: Object.assign({}, recordedOn, ...layers),
    seeds: numberOf(given, 'seeds'),
    resample: isSet(given, 'resample'),
    out,
    reports: reportsAsked(given),
    replace: isSet(given, 'replace'),
    check: isSet(given, 'check'),
    source: { ...source },
  });
  const where = out === undefined ? '' : `\nreports in ${out}; figures: nbos report ${out}`;
  printResult(given, comparisonText(comparison) + where, plainComparison(comparison));
}

/** Compares with a bar of cells and warnings above it. */
async function withBar(given: Arguments, options: CompareOptions): Promise<Comparison> {
  const bar = startProgress('comparing', { unit: 'cells', quiet: isSet(given, 'quiet') });
  try {
    return await compare({
      ...options,
      signal: interruption.signal,
      onProgress: bar.update,
      onWarning: (warning) => {
        bar.end();
        printNote(given, `warning: ${warning}`);
      },
    });
  } finally {
    bar.end();
  }
}

function plainComparison({ policies, runs, warnings }: Comparison): unknown {
  return {
    policies: policies.map(({ policy, measures, busyGpuHours, busyDifference }) => ({
      policy,
      busyGpuHours,
      busyDifference,
      measures: measures.map(({ measure, value, difference, isMarked }) => {
        const { name, label, unit } = measure;
        return { name, label, unit, value, difference, workDiffers: isMarked };
      }),
    })),
    runs,
    warnings,
  };
}

function studyFor(given: Arguments): Study {
  return findStudy(demandedText(given, 'file'), {
    trace: textOf(given, 'trace'),
    seeds: numberOf(given, 'seeds'),
  });
}

export async function validateExperiment(given: Arguments): Promise<void> {
  const study = studyFor(given);
  const runs = runsOf(await planMatrices(study.matrices)).length;
  const points = pointCount(study.matrices);
  printResult(given, `${study.name}: valid, ${points} points, ${runs} distinct runs`, {
    name: study.name,
    points,
    runs,
  });
}

export async function showExperiment(given: Arguments): Promise<void> {
  const study = studyFor(given);
  const out = textOf(given, 'out') ?? join('results', study.name);
  const runs = runsOf(await planMatrices(study.matrices));
  const rows = runs.map(({ key, title }) => {
    const isDone = existsSync(join(out, 'runs', key, 'result.json'));
    return { key, title, isDone };
  });
  const text = textTable(
    ['key', 'state', 'run'],
    rows.map(({ key, title, isDone }) => [key.slice(0, 12), isDone ? 'done' : 'lacking', title]),
  );
  const done = rows.filter(({ isDone }) => isDone).length;
  printResult(given, `${text}${rows.length} runs, ${done} of them done in ${out}`, {
    name: study.name,
    out,
    runs: rows,
  });
}

export async function runOneExperiment(given: Arguments): Promise<void> {
  const study = studyFor(given);
  const out = textOf(given, 'out') ?? join('results', study.name);
  const shard = shardOf(textOf(given, 'shard'), process.env);
  const bar = startProgress(study.name, { unit: 'runs', quiet: isSet(given, 'quiet') });
  let outcome: ExperimentOutcome;
  try {
    outcome = await runExperiment(study, {
      out,
      jobs: numberOf(given, 'jobs'),
      resume: isSet(given, 'resume'),
      shard,
      only: textOf(given, 'only'),
      timeoutMs: numberOf(given, 'timeout'),
      signal: interruption.signal,
      onProgress: bar.update,
    });
  } finally {
    bar.end();
  }
  const { runs, performed, reused, missing, files, remarks } = outcome;
  const state =
    missing === 0
      ? `results in ${out}: ${files.length} files`
      : `${missing} runs are still missing; the reports follow with the last of them`;
  const part = shard === undefined ? '' : ` (part ${shard.index} of ${shard.count})`;
  printResult(
    given,
    [
      `${study.name}${part}: ${runs} runs, ${performed} performed, ${reused} found`,
      ...remarks,
      state,
    ].join('\n'),
    { name: study.name, out, ...outcome },
  );
}

export async function reportOn(given: Arguments): Promise<void> {
  const files = await writeReport(demandedText(given, 'folder'));
  printResult(given, files.join('\n'), { files });
}

export async function demonstrate(given: Arguments): Promise<void> {
  const started = performance.now();
  const out = demandedText(given, 'out');
  const { trace, comparison, report, hosts } = await runDemo({
    seed: numberOf(given, 'seed')!,
    out,
    compare: (options) => withBar(given, options),
  });
  const { sessions, cells, endMs } = trace;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const names = Object.keys(POLICIES).join(', ');
  printResult(
    given,
    `${shortNumber(sessions.count)} sessions, ${shortNumber(cells.count)} cells in ` +
      `${shortNumber(endMs / 3_600_000)} h, on at most ${hosts} hosts of 8 GPUs\n\n` +
      `${comparisonText(comparison)}\n${seconds} s; CSV files and figures: ${report}\n` +
      `policies there are: ${names}; your own trace: npx nbos simulate --trace PATH`,
    { out, ...(plainComparison(comparison) as object) },
  );
}
