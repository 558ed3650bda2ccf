import { basename, dirname } from 'node:path';
import type { PartialConfig } from '../core/config/options.ts';
import { NbosError } from '../core/errors.ts';
import type { ReportName } from '../core/record/columns.ts';
import { parseConfig, readJson } from '../traces/config-file.ts';
import { parseExperimentShape } from './matrix-schema.ts';
import type { TraceSpec } from './trace-source.ts';

/** A policy by name or path, with options of its own: `{ "policy": "notebookos", "replicas": 5 }`. */
export interface PolicyEntry {
  readonly label: string;
  readonly policy: string;
  readonly config: PartialConfig;
}

/** One value of the dimension `clusters` or `options`: some options and how reports call them. */
export interface OptionSet {
  readonly label: string;
  readonly config: PartialConfig;
}

export interface TraceEntry {
  readonly label: string;
  readonly spec: TraceSpec;
}

/** Which runs keep cells.csv, by far the largest report: none, those of the first seed, or all. */
export type KeepCells = 'none' | 'first-seed' | 'all';

/** A cartesian product of traces x policies x clusters x options x seeds. */
export interface Matrix {
  readonly name: string;
  readonly traces: readonly TraceEntry[];
  readonly policies: readonly PolicyEntry[];
  readonly clusters: readonly OptionSet[];
  readonly options: readonly OptionSet[];
  readonly seeds: readonly number[];
  /** each seed draws the sessions anew, so that intervals span workloads and not only latencies */
  readonly resample: boolean;
  readonly cells: KeepCells;
}

/** One point of the product, before its policy is loaded. */
export interface MatrixPoint {
  readonly matrix: string;
  readonly trace: TraceEntry;
  readonly policy: PolicyEntry;
  readonly cluster: OptionSet;
  readonly options: OptionSet;
  readonly seed: number;
  readonly resample: boolean;
  readonly reports: readonly ReportName[];
}

const MOST_POINTS = 1_000_000;

/**
 * Reads and checks an experiment file. Relative paths in it are relative to the file. Throws
 * `file-not-found`, `file-corrupt`, `experiment-invalid`, `config-unknown-key`, `config-bad-value`.
 */
export function readExperiment(path: string): Matrix {
  return parseExperiment(readJson(path), path, dirname(path));
}

/** As `readExperiment`, from a value; `where` names it in errors, `base` is the folder of its paths. */
export function parseExperiment(value: unknown, where: string, base: string): Matrix {
  const shape = parseExperimentShape(value, where, base);
  const seeds =
    typeof shape.seeds === 'number'
      ? Array.from({ length: shape.seeds }, (_, i) => i + 1)
      : shape.seeds;
  const matrix: Matrix = {
    name: shape.name,
    traces: distinct(
      shape.traces.map((spec, i) => ({ label: spec.label ?? traceLabel(spec, i), spec })),
      `${where}: traces`,
    ),
    policies: distinct(
      shape.policies.map((entry, i) => policyEntry(entry, `${where}: policies[${i}]`)),
      `${where}: policies`,
    ),
    clusters: distinct(
      shape.clusters.map((set, i) => optionSet(set, `${where}: clusters[${i}]`, true)),
      `${where}: clusters`,
    ),
    options: distinct(
      shape.options.map((set, i) => optionSet(set, `${where}: options[${i}]`)),
      `${where}: options`,
    ),
    seeds,
    resample: shape.resample,
    cells: shape.cells,
  };
  pointCount([matrix]);
  return matrix;
}

/** Number of points; throws `experiment-invalid` where they are too many to be meant. */
export function pointCount(matrices: readonly Matrix[]): number {
  let total = 0;
  for (const m of matrices) {
    const { traces, policies, clusters, options, seeds } = m;
    total += traces.length * policies.length * clusters.length * options.length * seeds.length;
  }
  if (total > MOST_POINTS)
    throw new NbosError(
      'experiment-invalid',
      `the product has ${total} runs; at most ${MOST_POINTS} are taken`,
      'Leave out values of a dimension, or split the experiment.',
    );
  return total;
}

/** The points in matrix order: seeds vary fastest, then options, clusters, policies, traces. */
export function pointsOf(matrix: Matrix): MatrixPoint[] {
  const points: MatrixPoint[] = [];
  for (const trace of matrix.traces)
    for (const policy of matrix.policies)
      for (const cluster of matrix.clusters)
        for (const options of matrix.options)
          for (const seed of matrix.seeds) {
            const keeps =
              matrix.cells === 'all' || (matrix.cells === 'first-seed' && seed === matrix.seeds[0]);
            points.push({
              matrix: matrix.name,
              trace,
              policy,
              cluster,
              options,
              seed,
              resample: matrix.resample,
              reports: keeps ? [...REPORTS_KEPT, 'cells.csv'] : REPORTS_KEPT,
            });
          }
  return points;
}

const REPORTS_KEPT: readonly ReportName[] = ['summary.csv', 'timeline.csv'];

function policyEntry(entry: string | Record<string, unknown>, where: string): PolicyEntry {
  if (typeof entry === 'string') return { label: policyLabel(entry), policy: entry, config: {} };
  const { policy, label, ...rest } = entry;
  const config = parseConfig(rest, where);
  const name = String(policy);
  const own = typeof label === 'string' ? label : `${policyLabel(name)} ${describe(rest)}`.trim();
  return { label: own, policy: name, config };
}

function policyLabel(policy: string): string {
  return basename(policy).replace(/\.[cm]?[jt]s$/, '');
}

function optionSet(set: Record<string, unknown>, where: string, cluster = false): OptionSet {
  const { label, ...rest } = set;
  const config = parseConfig(rest, where);
  if (typeof label === 'string') return { label, config };
  return { label: cluster ? clusterLabel(rest) : describe(rest), config };
}

function clusterLabel(set: Record<string, unknown>): string {
  const { hosts, gpusPerHost, fixed, ...rest } = set;
  const size = hosts === undefined ? 'default' : `${hosts}x${gpusPerHost ?? 8}`;
  return [size, fixed === true ? 'fixed' : '', describe(rest)].filter(Boolean).join(' ');
}

/** `key=value key=value`, structures as JSON: the label of a set that has none. */
export function describe(set: Readonly<Record<string, unknown>>): string {
  return Object.entries(set)
    .map(([key, value]) => `${key}=${typeof value === 'object' ? JSON.stringify(value) : value}`)
    .join(' ');
}

function traceLabel(spec: TraceSpec, index: number): string {
  if ('path' in spec) {
    const { path, ...rest } = spec;
    const extra = describe(rest as Record<string, unknown>);
    return [basename(path), extra].filter(Boolean).join(' ');
  }
  const name = 'demo' in spec ? 'demo' : 'synthetic';
  return index === 0 ? name : `${name}-${index + 1}`;
}

function distinct<T extends { readonly label: string }>(entries: T[], where: string): T[] {
  const seen = new Set<string>();
  for (const { label } of entries) {
    if (seen.has(label))
      throw new NbosError(
        'experiment-invalid',
        `${where}: "${label}" is there twice`,
        'Remove one, or give each a "label" of its own.',
      );
    seen.add(label);
  }
  return entries;
}
