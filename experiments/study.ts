import type { Figure } from './figures/figure.ts';
import type { Matrix, MatrixPoint } from './matrix.ts';
import { describe } from './matrix.ts';
import type { Summary } from './store.ts';

/** The result of one run with its place in the experiment. */
export interface ResultRow extends MatrixPoint {
  readonly key: string;
  readonly summary: Summary;
  readonly timings: Readonly<Record<string, number>>;
  /** run folder with the reports it kept */
  readonly folder: string;
}

export interface Table {
  readonly title: string;
  /** file name without its ending */
  readonly name: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
}

/** What an experiment says beyond results.csv. */
export interface Findings {
  readonly tables: readonly Table[];
  readonly figures: readonly Figure[];
  /** sentences for the top of the report and for the terminal */
  readonly remarks: readonly string[];
  /** lines for the terminal alone, where the report has a table */
  readonly lines?: readonly string[];
}

/** An experiment: one or several products of runs, and what is made of their results. */
export interface Study {
  readonly name: string;
  readonly title: string;
  readonly matrices: readonly Matrix[];
  /** the command that repeats it, without --out and --jobs */
  readonly command: string;
  readonly conclude?: (rows: readonly ResultRow[]) => Promise<Findings>;
}

export function studyOf(matrix: Matrix, file: string): Study {
  return {
    name: matrix.name,
    title: `Experiment ${matrix.name}`,
    matrices: [matrix],
    command: `nbos experiment run ${file}`,
  };
}

/** Parameters by which points of an experiment differ, as columns of results.csv. */
export const PARAMETER_COLUMNS = [
  'part',
  'trace_label',
  'policy_label',
  'cluster',
  'options',
  'seed',
  'resample',
] as const;

export function parametersOf(point: MatrixPoint): (string | number)[] {
  return [
    point.matrix,
    point.trace.label,
    point.policy.label,
    point.cluster.label,
    point.options.label || describe(point.options.config),
    point.seed,
    point.resample ? 1 : 0,
  ];
}
