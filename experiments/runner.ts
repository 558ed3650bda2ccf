import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { NbosError } from '../core/errors.ts';
import { writeWholeFile } from '../traces/output-file.ts';
import { assemble } from './assemble.ts';
import { type PlannedPoint, type PlannedRun, planMatrices, runsOf } from './plan.ts';
import { runPool } from './pool.ts';
import { type Shard, shareOf } from './shard.ts';
import { ResultStore } from './store.ts';
import type { Study } from './study.ts';
import { canonicalJson } from './trace-source.ts';
import type { PlainError } from './worker-loop.ts';

export interface ExperimentOptions {
  /** folder of results; created, shared by shards */
  readonly out: string;
  /** worker processes; default 1 */
  readonly jobs?: number | undefined;
  /** demand that `out` holds this experiment, begun before */
  readonly resume?: boolean | undefined;
  readonly shard?: Shard | undefined;
  /** only the run with this key (or the start of one) */
  readonly only?: string | undefined;
  /** longest time of one run, ms; default one hour */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** program of the workers; default: the simulator */
  readonly worker?: URL | undefined;
}

export interface ExperimentOutcome {
  /** distinct runs of the whole experiment */
  readonly runs: number;
  /** of them performed now, found in the store, and still missing (other shards) */
  readonly performed: number;
  readonly reused: number;
  readonly missing: number;
  /** files written from the complete set; empty while runs are missing */
  readonly files: readonly string[];
  /** sentences about the results */
  readonly remarks: readonly string[];
}

const HOUR_MS = 3_600_000;
/** So many failures end an experiment: more of the same would only take time. */
const MOST_FAILURES = 5;
const MARK = 'experiment.json';

/**
 * Performs the runs of an experiment that the store lacks and, when none is missing any more,
 * writes results.csv, tables, figures and report.html from the stored results alone. Whatever the
 * number of jobs, shards and interruptions, these files are equal byte for byte.
 * Throws `experiment-failed` (with the command that repeats the run), `interrupted`,
 * `run-mismatch`, `file-unwritable` and what planning throws.
 */
export async function runExperiment(
  study: Study,
  options: ExperimentOptions,
): Promise<ExperimentOutcome> {
  const points = await planMatrices(study.matrices);
  const runs = runsOf(points);
  checkMark(study, points, options);
  const store = new ResultStore(options.out);
  writeMark(study, points, options.out);
  try {
    const share = options.only ? chosen(runs, options.only) : shareOf(runs, options.shard);
    const lacking = share.filter((run) => !store.has(run.key));
    await perform(study, lacking, store, options);
    const missing = runs.filter((run) => !store.has(run.key)).length;
    const done = missing === 0 ? await assemble(study, points, store, options.out) : undefined;
    return {
      runs: runs.length,
      performed: lacking.length,
      reused: share.length - lacking.length,
      missing,
      files: done?.files ?? [],
      remarks: done?.remarks ?? [],
    };
  } finally {
    store.dispose();
  }
}

async function perform(
  study: Study,
  runs: readonly PlannedRun[],
  store: ResultStore,
  options: ExperimentOptions,
): Promise<void> {
  const failures: { run: PlannedRun; text: string }[] = [];
  await runPool(runs, {
    jobs: options.jobs ?? 1,
    timeoutMs: options.timeoutMs ?? HOUR_MS,
    worker: options.worker ?? defaultWorker(),
    signal: options.signal,
    folderOf: (run) => store.temporary(run.key),
    onDone: (run, { summary, timings }) =>
      store.keep({ key: run.key, title: run.title, summary, timings }),
    onFailure: (run, error) => {
      failures.push({ run, text: failureText(run, error) });
      return failures.length < MOST_FAILURES;
    },
    onProgress: options.onProgress,
  });
  const first = failures[0];
  if (first === undefined) return;
  const more = failures.length > 1 ? ` (and ${failures.length - 1} more runs failed)` : '';
  throw new NbosError(
    'experiment-failed',
    `${first.text}${more}`,
    `Repeat it: ${study.command} --out ${options.out} --only ${first.run.key.slice(0, 12)}`,
  );
}

/** JavaScript from a build, TypeScript where this file is run from its source. */
function defaultWorker(): URL {
  const ending = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return new URL(`./worker.${ending}`, import.meta.url);
}

function failureText(run: PlannedRun, { code, message, hint, stack }: PlainError): string {
  const trace = stack === '' ? '' : `\n${stack}`;
  const what = code === '' || code === 'experiment-failed' ? message : `${code}: ${message}`;
  return `${run.title}: ${what}${hint === '' ? '' : `. ${hint}`}${trace}`;
}

function chosen(runs: readonly PlannedRun[], key: string): PlannedRun[] {
  const found = runs.filter((run) => run.key.startsWith(key));
  if (found.length === 1) return found;
  throw new NbosError(
    'usage',
    `--only ${key}: ${found.length} runs of the experiment have such a key`,
    '`nbos experiment show` lists the keys.',
  );
}

function markOf(study: Study, points: readonly PlannedPoint[]): string {
  return canonicalJson({ name: study.name, runs: points.map((point) => point.run.key) });
}

function checkMark(
  study: Study,
  points: readonly PlannedPoint[],
  { out, resume }: ExperimentOptions,
): void {
  const path = join(out, MARK);
  if (!resume) return;
  if (!existsSync(path))
    throw new NbosError(
      'run-mismatch',
      `${path} does not exist: there is no experiment to resume`,
      'Leave --resume out to begin it.',
    );
  if (readFileSync(path, 'utf8').trimEnd() === markOf(study, points)) return;
  throw new NbosError(
    'run-mismatch',
    `${path}: the experiment, its traces, a policy or the program changed since it began`,
    'Leave --resume out: results that still hold are used again.',
  );
}

function writeMark(study: Study, points: readonly PlannedPoint[], out: string): void {
  writeWholeFile(join(out, MARK), `${markOf(study, points)}\n`);
}
