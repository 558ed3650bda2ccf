import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { Config, PartialConfig } from '../core/config/options.ts';
import { NbosError } from '../core/errors.ts';
import type { ReportName } from '../core/record/columns.ts';
import { configFor, type ResolvedPolicy, resolvePolicy } from '../sim/policy-file.ts';
import { codeVersion } from './code-version.ts';
import { type Matrix, type MatrixPoint, pointCount, pointsOf } from './matrix.ts';
import { canonicalJson, type TraceSpec, traceIdentity } from './trace-source.ts';

/** Everything that a worker needs for one run; plain data. */
export interface PlannedRun {
  /** names the result: equal keys mean equal results */
  readonly key: string;
  /** what it is called in progress and errors */
  readonly title: string;
  readonly trace: TraceSpec;
  readonly policy: string;
  readonly config: Config;
  readonly seed: number;
  readonly resample: boolean;
  readonly reports: readonly ReportName[];
}

/** A point of a matrix and the run that gives its result. */
export interface PlannedPoint extends MatrixPoint {
  readonly run: PlannedRun;
}

/** Bump when the stored form of a result changes. */
const FORMAT = 1;
const KEY_LENGTH = 32;

/**
 * Loads and checks the policies, completes every configuration and keys every run. Throws what
 * `resolvePolicy` and `configFor` throw, with the entry named.
 */
export async function planMatrices(matrices: readonly Matrix[]): Promise<PlannedPoint[]> {
  pointCount(matrices);
  const policies = new Map<string, ResolvedPolicy>();
  const planned: PlannedPoint[] = [];
  for (const matrix of matrices) {
    for (const point of pointsOf(matrix)) {
      const name = point.policy.policy;
      let policy = policies.get(name);
      if (policy === undefined) policies.set(name, (policy = await resolvePolicy(name)));
      planned.push({ ...point, run: await planRun(point, policy) });
    }
  }
  return planned;
}

async function planRun(point: MatrixPoint, resolved: ResolvedPolicy): Promise<PlannedRun> {
  const { trace, seed, resample, reports } = point;
  const title = titleOf(point);
  const layers: PartialConfig[] = [point.cluster.config, point.policy.config, point.options.config];
  let config: Config;
  try {
    config = configFor(resolved.policy, ...layers, { seed });
  } catch (error) {
    if (!(error instanceof NbosError)) throw error;
    throw new NbosError(error.code, `${title}: ${error.message}`, error.hint);
  }
  const identity = canonicalJson({
    format: FORMAT,
    node: process.versions.node.split('.')[0],
    code: codeVersion(),
    trace: await traceIdentity(trace.spec),
    policy: resolved.policy.name,
    policyHash: resolved.hash,
    config,
    seed,
    resample,
    reports,
  });
  const key = createHash('sha256').update(identity).digest('hex').slice(0, KEY_LENGTH);
  const policy = resolved.file === '' ? point.policy.policy : resolved.file;
  return { key, title, trace: trace.spec, policy, config, seed, resample, reports };
}

function titleOf(point: MatrixPoint): string {
  const parts = [
    point.matrix,
    `trace ${point.trace.label}`,
    `policy ${basename(point.policy.label)}`,
    `cluster ${point.cluster.label}`,
    point.options.label,
    `seed ${point.seed}`,
  ];
  return parts.filter(Boolean).join(', ');
}

/**
 * The distinct runs, those of one trace and seed together, so that a worker keeps what it loaded.
 * The order is the same in every process.
 */
export function runsOf(points: readonly PlannedPoint[]): PlannedRun[] {
  const groups = new Map<string, Map<string, PlannedRun>>();
  for (const { run } of points) {
    const group = canonicalJson([run.trace, run.seed]);
    let runs = groups.get(group);
    if (runs === undefined) groups.set(group, (runs = new Map()));
    runs.set(run.key, run);
  }
  return [...groups.values()].flatMap((runs) => [...runs.values()]);
}
