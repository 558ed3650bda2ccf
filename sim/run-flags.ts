import type { PartialConfig } from '../core/config/options.ts';
import { NbosError } from '../core/errors.ts';
import { REPORTS, type ReportName } from '../core/record/columns.ts';
import {
  type Arguments,
  commaList,
  count,
  duration,
  flag,
  isSet,
  type OptionTable,
  textOf,
  word,
  wordsOf,
} from '../traces/command-line.ts';
import { suggestion } from '../traces/suggest.ts';
import { DEFAULT_REPORTS } from './output.ts';

/** Flags of every command that runs a cluster; each stands for the option named beside it. */
export const RUN_FLAGS: OptionTable = {
  hosts: count('hosts', 1, 'most hosts at once'),
  'gpus-per-host': count('gpus-per-host', 0, 'GPUs of a host'),
  seed: count('seed', 0, 'seed of every draw'),
  fixed: flag('all hosts are up from the start to the end'),
  loop: word('closed: think time starts at the reply; open: cells at their trace time', {
    choices: ['closed', 'open'],
  }),
  until: duration('until', 'cut the run at this moment, such as 17.5h'),
  config: word('JSON file of options'),
  set: { type: 'array', string: true, requiresArg: true, describe: 'options as key=value …' },
  reports: word('reports to write, such as summary,sessions; default all but events'),
  check: flag('check the invariants of the books after every step'),
};

const FLAG_OPTIONS = {
  hosts: 'hosts',
  'gpus-per-host': 'gpusPerHost',
  seed: 'seed',
  fixed: 'fixed',
  loop: 'loop',
  until: 'untilMs',
  oversize: 'oversize',
} as const;

/** The layers over the policy's defaults: `--config`, then `--set`, then flags of their own. */
export async function configLayers(given: Arguments): Promise<PartialConfig[]> {
  const { parseConfig, parseSettings, readConfigFile } = await import('../traces/config-file.ts');
  const file = textOf(given, 'config');
  const flags: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(FLAG_OPTIONS))
    if (given[name] !== undefined) flags[option] = given[name];
  return [
    ...(file === undefined ? [] : [readConfigFile(file)]),
    parseSettings(wordsOf(given, 'set')),
    parseConfig(flags, 'the command line'),
  ];
}

/**
 * The reports to write: those named by `--reports`, else all but the events, which are many and
 * asked for with `--events`.
 * @throws NbosError usage
 */
export function reportsAsked(given: Arguments): ReportName[] {
  const text = textOf(given, 'reports');
  const reports = new Set(text === undefined ? DEFAULT_REPORTS : namedReports(text));
  if (isSet(given, 'events')) reports.add('events.csv');
  return [...reports];
}

function namedReports(text: string): ReportName[] {
  const known = Object.keys(REPORTS);
  return commaList('reports', text).map((word) => {
    const name = word.endsWith('.csv') ? word : `${word}.csv`;
    if (known.includes(name)) return name as ReportName;
    const hint = suggestion(name, known);
    throw new NbosError('usage', `--reports: there is no report "${word}"`, hint);
  });
}
