import { type Group, groupsOf, measureGroup, partnerFinder } from '../conclude.ts';
import { type BarMeasure, barsFigure, type Figure } from '../figures/index.ts';
import { COST_LOWER, SAVED, SAVED_SHARE } from '../headline.ts';
import type { Matrix } from '../matrix.ts';
import type { ResultRow, Table } from '../study.ts';
import {
  allCuts,
  CLUSTER,
  type Cut,
  cutLabel,
  cutTraces,
  NO_OPTIONS,
  policies,
  type StudyOptions,
  seedsUpTo,
} from './workloads.ts';

/** Name of the part of a study that varies where sessions are cut. */
export const CUTS = 'cuts';

/** What is saved under every way to cut the sessions of a trace. */
export function cutMatrix(options: StudyOptions, seeds: number): Matrix {
  return {
    name: CUTS,
    traces: cutTraces(options),
    policies: policies('reservation', 'notebookos', 'lcp'),
    clusters: [CLUSTER],
    options: NO_OPTIONS,
    seeds: seedsUpTo(seeds),
    resample: true,
    cells: 'none',
  };
}

/** Savings per cut: savings.csv. */
export function savingsTable(rows: readonly ResultRow[]): Table {
  const { groups, partner } = cutGroups(rows);
  const lines = groups.flatMap((group) =>
    [SAVED, SAVED_SHARE, COST_LOWER].map((measure) => {
      const { bootstrap, min, max } = measureGroup(group, measure, partner);
      const { mean, low, high, count } = bootstrap;
      const where = [group.trace, group.policy, measure.name, measure.unit];
      return [...where, count, mean, low, high, min, max];
    }),
  );
  return {
    name: 'savings',
    title: 'What is saved against reservation, by where sessions are cut',
    columns: [
      'sessions',
      'policy',
      'measure',
      'unit',
      'seeds',
      'mean',
      'low',
      'high',
      'min',
      'max',
    ],
    rows: lines,
  };
}

/** Lowest and highest mean over the cuts. */
export function savingsRange(
  rows: readonly ResultRow[],
  policy: string,
  measure = SAVED,
): { readonly low: number; readonly high: number } {
  const { groups, partner } = cutGroups(rows);
  const means = groups
    .filter((group) => group.policy === policy)
    .map((group) => measureGroup(group, measure, partner).bootstrap.mean)
    .filter(Number.isFinite);
  return { low: Math.min(...means), high: Math.max(...means) };
}

export function savingsFigure(rows: readonly ResultRow[]): Figure {
  const { groups, partner } = cutGroups(rows);
  const measure = (title: string, wanted: (cut: Cut) => boolean): BarMeasure => ({
    title,
    unit: '%',
    values: allCuts()
      .filter(wanted)
      .flatMap((cut) =>
        groups
          .filter((group) => group.trace === cutLabel(cut) && group.policy !== 'reservation')
          .map((group) => ({
            group: shortLabel(cut),
            policy: group.policy,
            value: measureGroup(group, SAVED_SHARE, partner).bootstrap,
          })),
      ),
  });
  return barsFigure(
    'savings',
    'GPU-hours saved against reservation, by where sessions are cut',
    'The trace does not say when a notebook was closed. Each group cuts sessions at idle gaps longer than so many hours (never: not at all) and closes them so many minutes after their last cell. Lines are 95 % confidence intervals over seeds.',
    [
      measure('Sessions keep their number of GPUs or change it', (cut) => !cut.splitOnGpuChange),
      measure('Sessions are also cut where the number of GPUs changes', (c) => c.splitOnGpuChange),
    ],
  );
}

function shortLabel({ splitGapHours, endPadMin }: Cut): string {
  return `${splitGapHours === undefined ? 'never' : `${splitGapHours} h`} +${endPadMin}`;
}

function cutGroups(rows: readonly ResultRow[]): {
  groups: Group[];
  partner: ReturnType<typeof partnerFinder>;
} {
  const mine = rows.filter((row) => row.matrix === CUTS);
  const partner = partnerFinder(mine);
  return { groups: groupsOf(mine).filter((group) => group.policy !== 'reservation'), partner };
}
