import {
  completionFigure,
  delayFigure,
  type Figure,
  gpuHoursFigure,
  moneyFigure,
  type RunColumns,
  stepsFigure,
  subscriptionFigure,
} from './figures/index.ts';
import { HEADLINE, isBusyDifferent } from './headline.ts';
import type { Table } from './study.ts';

/** The figures that compare runs of one trace; those whose reports were not kept are left out. */
export function runFigures(runs: readonly RunColumns[]): Figure[] {
  const withTimeline = runs.filter((run) => run.timeline.timeMs.length > 1);
  const withCells = runs.filter((run) => run.delaysMs.length > 0);
  const withSummary = runs.filter((run) => Object.keys(run.summary).length > 0);
  return [
    ...(withTimeline.length > 0 ? [gpuHoursFigure(withTimeline)] : []),
    ...(withCells.length > 0 ? [delayFigure(withCells), completionFigure(withCells)] : []),
    ...(withSummary.length > 0 ? [stepsFigure(withSummary)] : []),
    ...(withTimeline.length > 0 ? [subscriptionFigure(withTimeline)] : []),
    ...(withTimeline.length > 0 && withSummary.length > 0 ? [moneyFigure(withTimeline)] : []),
  ];
}

/** Headline measures of each run, one column a run. */
export function headlineTable(runs: readonly RunColumns[]): Table {
  const baseline = runs.find((run) => run.policy === 'reservation')?.summary;
  const rows = HEADLINE.map((measure) => {
    const values = runs.map((run) => {
      const value = measure.of(run.summary, baseline);
      if (Number.isNaN(value)) return '–';
      const marked = measure.name.startsWith('saved') && isBusyDifferent(run.summary, baseline);
      return marked ? `${value.toPrecision(4)} *` : value;
    });
    return [`${measure.label}${measure.unit ? ` (${measure.unit})` : ''}`, ...values];
  });
  const marked = rows.some((row) => row.some((v) => typeof v === 'string' && v.endsWith(' *')));
  const shown = rows.filter((row) => row.slice(1).some((value) => value !== '–'));
  return {
    name: 'headline',
    title: `Headline measures${marked ? ' (* completed busy GPU-hours differ by more than 1 %)' : ''}`,
    columns: ['', ...runs.map((run) => run.label)],
    rows: shown,
  };
}
