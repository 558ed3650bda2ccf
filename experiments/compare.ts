import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { PartialConfig } from '../core/config/options.ts';
import { NbosError } from '../core/errors.ts';
import type { Policy } from '../core/policies/policy.ts';
import { type ReportName, SUMMARY_COLUMNS } from '../core/record/columns.ts';
import { configFor, resolvePolicy } from '../sim/policy-file.ts';
import { simulate } from '../sim/simulate.ts';
import { CsvWriter } from '../traces/csv.ts';
import { makeFolder, writeWholeFile } from '../traces/output-file.ts';
import { resample } from '../traces/sample.ts';
import type { Trace } from '../traces/trace.ts';
import { HEADLINE, isBusyDifferent, type Measure } from './headline.ts';
import { COMPARE_FILE, type ComparedFolders } from './report.ts';
import { bootstrapInterval, type Interval, pairedDifferences } from './statistics.ts';
import type { Summary } from './store.ts';

export interface CompareOptions {
  readonly trace: Trace;
  /** names, paths of policy files, or policies; the first is what the others are compared with */
  readonly policies: readonly (string | Policy)[];
  /** options over the defaults of each policy */
  readonly config?: PartialConfig | undefined;
  /** a number of seeds, counted up from the configured one, or a list; default 1 */
  readonly seeds?: number | readonly number[] | undefined;
  /** draw the sessions anew with each seed, so that intervals span workloads and not only latencies */
  readonly resample?: boolean | undefined;
  /**
   * folder for compare.csv, differences.csv and a run folder for each policy (first seed);
   * without it nothing is written
   */
  readonly out?: string | undefined;
  /** reports of those run folders; default: all but events.csv */
  readonly reports?: readonly ReportName[] | undefined;
  /** take the place of an earlier comparison in `out` */
  readonly replace?: boolean | undefined;
  readonly check?: boolean | undefined;
  /** how the trace was come by, for run.json: with it, `nbos explain` can repeat the runs */
  readonly source?: Readonly<Record<string, unknown>> | undefined;
  readonly signal?: AbortSignal | undefined;
  /** cells answered, of those of all runs */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly onWarning?: ((warning: string) => void) | undefined;
}

export interface ComparedRun {
  readonly policy: string;
  readonly seed: number;
  readonly summary: Summary;
}

export interface ComparedMeasure {
  readonly measure: Measure;
  /** over seeds */
  readonly value: Interval;
  /** this policy minus the first, seed by seed */
  readonly difference: Interval;
  /** savings only: in some seed, completed busy GPU-hours differ by more than 1 % */
  readonly isMarked: boolean;
}

export interface ComparedPolicy {
  readonly policy: string;
  readonly measures: readonly ComparedMeasure[];
  /** mean over seeds, and its relative difference to the first policy's */
  readonly busyGpuHours: number;
  readonly busyDifference: number;
}

export interface Comparison {
  readonly policies: readonly ComparedPolicy[];
  /** in order of policies, then seeds */
  readonly runs: readonly ComparedRun[];
  readonly warnings: readonly string[];
}

/**
 * Replays one trace under several policies with the same draws, and compares them with the first.
 * Throws what `simulate`, `resolvePolicy` and `configFor` throw.
 */
export async function compare(options: CompareOptions): Promise<Comparison> {
  if (options.policies.length === 0) throw new NbosError('usage', 'compare: no policy is named');
  const policies: Policy[] = [];
  const origins = new Map<Policy, { policy: string; policyHash: string }>();
  for (const given of options.policies) {
    const resolved = typeof given === 'string' ? await resolvePolicy(given) : undefined;
    const policy = resolved?.policy ?? (given as Policy);
    if (resolved !== undefined)
      origins.set(policy, { policy: resolved.file || policy.name, policyHash: resolved.hash });
    if (policies.some((other) => other.name === policy.name))
      throw new NbosError('usage', `compare: the policy ${policy.name} is named twice`);
    policies.push(policy);
  }
  const first = configFor(policies[0]!, options.config ?? {});
  const seeds = seedList(options.seeds, first.seed);
  const out = options.out === undefined ? undefined : claimFolder(options.out, options.replace);
  const warnings = new Set<string>();
  const runs: ComparedRun[] = [];
  let cellsBefore = 0;
  for (const [index, seed] of seeds.entries()) {
    const trace = options.resample ? resample(options.trace, seed) : options.trace;
    for (const policy of policies) {
      const config = configFor(policy, options.config ?? {}, { seed });
      const folder = out !== undefined && index === 0 ? join(out, policy.name) : undefined;
      const total = options.trace.cells.count * policies.length * seeds.length;
      const result = await simulate({
        trace,
        policy,
        config,
        out: folder,
        reports: options.reports,
        replace: options.replace ?? false,
        ...(options.source && {
          provenance: {
            source: {
              ...options.source,
              ...(options.resample && { resample: seed }),
              ...origins.get(policy),
            },
          },
        }),
        check: options.check ?? false,
        signal: options.signal,
        onProgress: (done) => options.onProgress?.(Math.min(cellsBefore + done, total), total),
        onWarning: (warning) => {
          // Each seed has sessions of its own then, and so may have warnings of its own.
          const from = options.resample ? `${policy.name}, seed ${seed}` : policy.name;
          const whole = `${from}: ${warning}`;
          if (!warnings.has(whole)) options.onWarning?.(whole);
          warnings.add(whole);
        },
      });
      cellsBefore += trace.cells.count;
      runs.push({ policy: policy.name, seed, summary: result.summary });
    }
  }
  const ordered = policies.flatMap(({ name }) => runs.filter((run) => run.policy === name));
  const compared = policies.map(({ name }) => comparedPolicy(name, policies[0]!.name, ordered));
  const comparison = { policies: compared, runs: ordered, warnings: [...warnings] };
  if (out !== undefined) writeComparison(out, comparison, options, seeds);
  return comparison;
}

function seedList(seeds: number | readonly number[] | undefined, from: number): readonly number[] {
  if (typeof seeds === 'object') {
    if (seeds.length === 0) throw new NbosError('usage', 'compare: no seed is given');
    return seeds;
  }
  const count = seeds ?? 1;
  if (!Number.isInteger(count) || count < 1)
    throw new NbosError('usage', `compare: expected a number of seeds from 1, found ${seeds}`);
  return Array.from({ length: count }, (_, i) => from + i);
}

function claimFolder(out: string, replace = false): string {
  if (!replace && existsSync(join(out, COMPARE_FILE)))
    throw new NbosError(
      'file-exists',
      `${out} holds a comparison`,
      'Name another folder, or remove this one first.',
    );
  makeFolder(out);
  return out;
}

function comparedPolicy(
  policy: string,
  first: string,
  runs: readonly ComparedRun[],
): ComparedPolicy {
  const mine = runs.filter((run) => run.policy === policy);
  const base = runs.filter((run) => run.policy === first);
  const reserved = runs.filter((run) => run.policy === 'reservation');
  const measures = HEADLINE.map((measure): ComparedMeasure => {
    const of = (list: readonly ComparedRun[]) =>
      list.map((run, i) => measure.of(run.summary, reserved[i]?.summary));
    const values = of(mine);
    const isSaving = measure.name.startsWith('saved') || measure.name === 'cost_lower_pct';
    return {
      measure,
      value: bootstrapInterval(values),
      difference: bootstrapInterval(pairedDifferences(values, of(base))),
      isMarked:
        isSaving && mine.some((run, i) => isBusyDifferent(run.summary, reserved[i]?.summary)),
    };
  });
  const busy = (list: readonly ComparedRun[]) =>
    list.reduce((sum, run) => sum + Number(run.summary['busy_gpu_hours_drained']), 0) / list.length;
  return {
    policy,
    measures,
    busyGpuHours: busy(mine),
    busyDifference: busy(mine) / busy(base) - 1,
  };
}

function writeComparison(
  out: string,
  comparison: Comparison,
  options: CompareOptions,
  seeds: readonly number[],
): void {
  writeCsv(
    join(out, 'compare.csv'),
    SUMMARY_COLUMNS.map(({ name }) => name),
    comparison.runs.map(({ summary }) => SUMMARY_COLUMNS.map(({ name }) => summary[name])),
  );
  const rows = comparison.policies.flatMap(({ policy, measures }) =>
    measures.map(({ measure, value, difference, isMarked }) => [
      policy,
      measure.name,
      measure.unit,
      value.count,
      value.mean,
      value.low,
      value.high,
      difference.mean,
      difference.low,
      difference.high,
      isMarked ? 1 : 0,
    ]),
  );
  writeCsv(join(out, 'differences.csv'), DIFFERENCE_COLUMNS, rows);
  const [first] = comparison.policies;
  const folders: ComparedFolders = {
    runs: comparison.policies.map(({ policy }) => ({ folder: policy, label: policy })),
    remarks: [
      ...comparison.policies
        .filter(({ measures }) => measures.some(({ isMarked }) => isMarked))
        .map(
          ({ policy }) =>
            `${policy} completed busy GPU-hours that differ from reservation's by more than 1 %: what it saved (*) is not for the same work.`,
        ),
      ...(seeds.length > 1
        ? [`Figures show seed ${seeds[0]}; differences.csv has means over ${seeds.length} seeds.`]
        : []),
    ],
    settings: [
      ['compared with', first?.policy ?? ''],
      ['seeds', seeds.join(', ')],
      ['sessions drawn anew with each seed', options.resample ? 'yes' : 'no'],
    ],
  };
  // Last: with it the folder counts as a whole comparison.
  writeWholeFile(join(out, COMPARE_FILE), `${JSON.stringify(folders, null, 2)}\n`);
}

/** Columns of differences.csv: a policy's mean over seeds and what sets it apart from the first. */
export const DIFFERENCE_COLUMNS = [
  'policy',
  'measure',
  'unit',
  'seeds',
  'mean',
  'low',
  'high',
  'difference',
  'difference_low',
  'difference_high',
  'work_differs',
] as const;

function writeCsv(
  path: string,
  columns: readonly string[],
  rows: readonly (readonly (string | number | undefined)[])[],
): void {
  const csv = CsvWriter.open(path, columns);
  for (const row of rows)
    csv.row(row.map((v) => (typeof v === 'number' && !Number.isFinite(v) ? '' : v)));
  csv.close();
}
