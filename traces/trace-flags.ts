import { NbosError } from '../core/errors.ts';
import {
  type Arguments,
  amount,
  count,
  demandedText,
  duration,
  flag,
  numberOf,
  type OptionTable,
  textOf,
  word,
} from './command-line.ts';
import {
  IMPORT_OPTIONS,
  type ImportOption,
  type ImportOptionName,
  TRACE_FORMATS,
  type TraceFormat,
} from './import-options.ts';
import { suggestion } from './suggest.ts';

const NAMES = Object.keys(IMPORT_OPTIONS) as ImportOptionName[];
const IMPORTING = 'Reading traces:';
const FORMATS = ['auto', ...TRACE_FORMATS] as const;

/** The flags of every command that reads a trace: `--format` and those of the importers. */
export const TRACE_FLAGS: OptionTable = {
  format: word(`format of the trace: ${FORMATS.join(', ')}`, { default: 'auto', group: IMPORTING }),
  ...Object.fromEntries(
    NAMES.map((name) => [IMPORT_OPTIONS[name].flag, flagOf(IMPORT_OPTIONS[name])]),
  ),
};

function flagOf(option: ImportOption): OptionTable[string] {
  const formats = option.formats.length > 0 ? ` (${option.formats.join(', ')})` : '';
  const unit = option.unit === '' || option.unit === 'ms' ? '' : `, ${option.unit}`;
  const describe = `${option.meaning}${unit}${formats}`;
  switch (option.type) {
    case 'boolean':
      return { ...flag(describe), group: IMPORTING };
    case 'integer':
      if (option.unit === 'ms') return duration(option.flag, describe, { group: IMPORTING });
      return count(option.flag, option.min, describe, { group: IMPORTING });
    case 'number':
      return amount(option.flag, option.min, describe, { group: IMPORTING });
    case 'choice':
      return word(`${describe}: ${option.choices.join(', ')}`, { group: IMPORTING });
    case 'path':
      return word(describe, { group: IMPORTING });
  }
}

/** What `loadTrace` takes besides the path, from the command line; absent flags keep defaults. */
export function importRequest(given: Arguments): { format: TraceFormat | 'auto' } & Arguments {
  const format = textOf(given, 'format') ?? 'auto';
  if (!FORMATS.includes(format as TraceFormat))
    throw new NbosError(
      'format-unknown',
      `--format: unknown format "${format}"`,
      suggestion(format, FORMATS),
    );
  const options: Record<string, unknown> = {};
  for (const name of NAMES) {
    const value = given[IMPORT_OPTIONS[name].flag];
    if (value !== undefined) options[name] = value;
  }
  return { ...options, format: format as TraceFormat | 'auto' };
}

/** Flags that cut a window out of a trace or draw sessions from it. */
export const WINDOW_FLAGS: OptionTable = {
  window: duration('window', 'length of the window cut out of the trace, such as 17.5h'),
  from: duration('from', 'start of the window (default: drawn from the seed)'),
  peak: amount('peak', 0, 'most GPUs that the sessions drawn may reserve at one moment'),
};

export function windowRequest(given: Arguments, seed: number) {
  if (given['from'] !== undefined && given['window'] === undefined)
    throw new NbosError(
      'usage',
      '--from: the start of a window that has no length',
      'Add --window, such as --window 17.5h.',
    );
  return {
    windowMs: numberOf(given, 'window'),
    fromMs: numberOf(given, 'from'),
    peakGpus: numberOf(given, 'peak'),
    seed,
  };
}

/** Positional PATH of the commands on one trace. */
export const TRACE_PATH: OptionTable = {
  path: { type: 'string', describe: 'file or folder of the trace', demandOption: true },
};

export function tracePath(given: Arguments): string {
  return demandedText(given, 'path');
}
