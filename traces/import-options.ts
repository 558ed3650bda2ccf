import { NbosError } from '../core/errors.ts';

export const TRACE_FORMATS = [
  'native',
  'tiresias',
  'template',
  'raw',
  'philly',
  'openb',
  'run',
] as const;
export type TraceFormat = (typeof TRACE_FORMATS)[number];

interface Described {
  /** name on the command line, without dashes */
  readonly flag: string;
  /** '' for plain words and switches */
  readonly unit: string;
  /** formats that it matters to; empty for all */
  readonly formats: readonly TraceFormat[];
  readonly meaning: string;
}
interface NumberOption extends Described {
  readonly type: 'integer' | 'number';
  readonly default: number;
  readonly min: number;
  readonly max: number;
}
interface SwitchOption extends Described {
  readonly type: 'boolean';
  readonly default: boolean;
}
interface ChoiceOption<C extends string> extends Described {
  readonly type: 'choice';
  readonly default: C;
  readonly choices: readonly C[];
}
interface PathOption extends Described {
  readonly type: 'path';
  readonly default: string;
}
export type ImportOption = NumberOption | SwitchOption | ChoiceOption<string> | PathOption;

type Place = readonly [
  flag: string,
  unit: string,
  formats: readonly TraceFormat[],
  meaning: string,
];

function described([flag, unit, formats, meaning]: Place): Described {
  return { flag, unit, formats, meaning };
}
function integer(value: number, min: number, max: number, ...place: Place): NumberOption {
  return { type: 'integer', default: value, min, max, ...described(place) };
}
function number(value: number, min: number, max: number, ...place: Place): NumberOption {
  return { type: 'number', default: value, min, max, ...described(place) };
}
function turnOn(...place: Place): SwitchOption {
  return { type: 'boolean', default: false, ...described(place) };
}
function choice<const C extends string>(
  value: NoInfer<C>,
  choices: readonly C[],
  ...place: Place
): ChoiceOption<C> {
  return { type: 'choice', default: value, choices, ...described(place) };
}

const YEAR_MS = 31_536_000_000;

/** Every option of the importers; the command line makes its flags and its help from this table. */
export const IMPORT_OPTIONS = {
  timeUnit: choice(
    'minutes',
    ['minutes', 'seconds'],
    ...(['time-unit', '', ['tiresias'], 'unit of submit_time and duration'] as const),
  ),
  startPadMs: integer(
    120_000,
    0,
    YEAR_MS,
    ...([
      'start-pad',
      'ms',
      ['tiresias', 'run'],
      'a session opens so long before its first cell, where the source does not tell; also after a cut',
    ] as const),
  ),
  endPadMs: integer(
    0,
    0,
    YEAR_MS,
    ...([
      'end-pad',
      'ms',
      ['tiresias', 'run'],
      'a session closes so long after its last cell ends, where the source does not tell; also before a cut',
    ] as const),
  ),
  splitGapHours: number(
    0,
    0,
    1e6,
    'split-gap',
    'h',
    [],
    'cut sessions where they are idle for longer than this; 0 never cuts',
  ),
  splitOnGpuChange: turnOn(
    'split-on-gpu-change',
    '',
    [],
    'cut sessions where a cell asks for another number of GPUs than the one before',
  ),
  seed: integer(
    1,
    0,
    0x7fffffff,
    'import-seed',
    '',
    ['tiresias', 'template'],
    'seed of the offset inside the minute that each session gets, and of --sample',
  ),
  oversize: choice(
    'error',
    ['error', 'drop', 'clip'],
    ...(['oversize', '', [], 'what to do with cells that need more than any host has'] as const),
  ),
  sample: turnOn(
    'sample',
    '',
    ['template'],
    'keep only the fraction of sessions that the file asks for',
  ),
  rawIntervalS: number(
    0,
    0,
    86_400,
    'raw-interval',
    's',
    ['raw'],
    'time between samples; 0 takes the most common step of the file',
  ),
  rawThresholdPct: number(
    0,
    0,
    100,
    'raw-threshold',
    '%',
    ['raw'],
    'a GPU above this utilisation is running a cell',
  ),
  rawBridgeSamples: integer(
    2,
    0,
    1_000,
    'raw-bridge',
    'samples',
    ['raw'],
    'longest idle gap inside a cell',
  ),
  rawGpuMissing: integer(
    3,
    1,
    100_000,
    'raw-gpu-missing',
    'samples',
    ['raw'],
    'a session ends when so many GPU samples, and as many CPU samples as the next option says, are missing',
  ),
  rawCpuMissing: integer(
    10,
    1,
    100_000,
    'raw-cpu-missing',
    'samples',
    ['raw'],
    'see the option before',
  ),
  nodes: {
    type: 'path',
    default: '',
    ...described([
      'nodes',
      '',
      ['openb'],
      'node list of the cluster: becomes the host types of the run',
    ]),
  },
} as const satisfies Record<string, ImportOption>;

export type ImportOptionName = keyof typeof IMPORT_OPTIONS;

type ValueOf<O> = O extends { type: 'integer' | 'number' }
  ? number
  : O extends { type: 'boolean' }
    ? boolean
    : O extends { choices: readonly (infer C)[] }
      ? C
      : string;

export type ImportOptions = {
  readonly [K in ImportOptionName]: ValueOf<(typeof IMPORT_OPTIONS)[K]>;
};

/** Fills in the defaults. @throws NbosError config-bad-value naming the flag and what it takes */
export function resolveImportOptions(given: Partial<ImportOptions>): ImportOptions {
  const resolved: Record<string, unknown> = {};
  for (const name of Object.keys(IMPORT_OPTIONS) as ImportOptionName[]) {
    const option: ImportOption = IMPORT_OPTIONS[name];
    const value = given[name] ?? option.default;
    const expected = expectation(option);
    if (!isLegal(option, value))
      throw new NbosError(
        'config-bad-value',
        `--${option.flag} is ${JSON.stringify(value)}; expected ${expected}`,
        `It means: ${option.meaning}.`,
      );
    resolved[name] = value;
  }
  return resolved as unknown as ImportOptions;
}

function isLegal(option: ImportOption, value: unknown): boolean {
  switch (option.type) {
    case 'integer':
    case 'number':
      return (
        typeof value === 'number' &&
        value >= option.min &&
        value <= option.max &&
        (option.type === 'number' || Number.isInteger(value))
      );
    case 'boolean':
      return typeof value === 'boolean';
    case 'choice':
      return option.choices.includes(value as string);
    case 'path':
      return typeof value === 'string';
  }
}

function expectation(option: ImportOption): string {
  switch (option.type) {
    case 'integer':
    case 'number':
      return `${option.type === 'integer' ? 'a whole number' : 'a number'} from ${option.min} to ${option.max}`;
    case 'boolean':
      return 'true or false';
    case 'choice':
      return option.choices.join(', ');
    case 'path':
      return 'a path';
  }
}
