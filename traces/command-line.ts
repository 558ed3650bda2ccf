import type { Argv, Options } from 'yargs';
import { NbosError } from '../core/errors.ts';
import { durationOf } from './duration.ts';

/** Parsed options of a command by their names on the command line. */
export type Arguments = Readonly<Record<string, unknown>>;
export type Program = Argv;
export type OptionTable = Readonly<Record<string, Options>>;

/** Aborted by the first Ctrl-C; whatever takes long hears it, drops its temporaries and ends. */
export const interruption = new AbortController();

/** Adds `nbos NAME …` to a program; `run` is called with checked arguments. */
export function addCommand(
  program: Program,
  name: string,
  summary: string,
  options: OptionTable,
  run: (given: Arguments) => Promise<void> | void,
  positionals: OptionTable = {},
): Program {
  return program.command(
    name,
    summary,
    (command) => {
      for (const [word, positional] of Object.entries(positionals))
        command.positional(word, positional as never);
      return command.options(options);
    },
    (given) => run(given as Arguments),
  );
}

/** Adds `nbos NAME WORD …`, a group of commands. */
export function addGroup(
  program: Program,
  name: string,
  summary: string,
  fill: (group: Program) => Program,
): Program {
  return program.command(
    name,
    summary,
    (group) => fill(group).demandCommand(1, `${name}: name one of its commands`),
    () => undefined,
  );
}

/** An option that takes one word. */
export function word(describe: string, more: Options = {}): Options {
  return { type: 'string', requiresArg: true, describe, ...more };
}

/** An option that takes a whole number; anything else is a `usage` error that names it. */
export function count(name: string, min: number, describe: string, more: Options = {}): Options {
  return wholeNumber(name, [min, Number.MAX_SAFE_INTEGER], describe, more);
}

/** An option that takes a TCP port; from 0 where any free one will do. */
export function tcpPort(min: 0 | 1, describe: string): Options {
  return wholeNumber('port', [min, 65_535], describe);
}

function wholeNumber(
  name: string,
  [min, max]: [number, number],
  describe: string,
  more: Options = {},
): Options {
  const from = min > Number.MIN_SAFE_INTEGER ? ` from ${min}` : '';
  const to = max < Number.MAX_SAFE_INTEGER ? ` to ${max}` : '';
  return word(describe, {
    ...more,
    coerce: once(name, (text) => {
      const value = Number(text);
      const fits = Number.isSafeInteger(value) && value >= min && value <= max;
      if (text.trim() !== '' && fits) return value;
      const expected = `expected a whole number${from}${to}`;
      throw new NbosError('usage', `--${name}: ${expected}, found "${text}"`);
    }),
  });
}

/** An option that takes a number from `min`. */
export function amount(name: string, min: number, describe: string, more: Options = {}): Options {
  return word(describe, {
    ...more,
    coerce: once(name, (text) => {
      const value = Number(text);
      if (text.trim() !== '' && Number.isFinite(value) && value >= min) return value;
      throw new NbosError('usage', `--${name}: expected a number from ${min}, found "${text}"`);
    }),
  });
}

/** An option that takes a duration and gives ms. */
export function duration(name: string, describe: string, more: Options = {}): Options {
  return word(describe, { ...more, coerce: once(name, (text) => durationOf(`--${name}`, text)) });
}

export function flag(describe: string): Options {
  return { type: 'boolean', describe };
}

/** Defaults are given as text, so that one path checks them and what a user types. */
function once<T>(name: string, read: (text: string) => T): (given: unknown) => T | undefined {
  return (given) => {
    if (given === undefined) return undefined;
    if (Array.isArray(given)) throw new NbosError('usage', `--${name} is given twice`);
    return typeof given === 'string' ? read(given) : (given as T);
  };
}

/** The text of an option that takes one word; undefined where it is not given. */
export function textOf(given: Arguments, name: string): string | undefined {
  const value = given[name];
  if (Array.isArray(value)) throw new NbosError('usage', `--${name} is given twice`);
  return value === undefined ? undefined : String(value);
}

/** The text of an option or positional that yargs demanded. */
export function demandedText(given: Arguments, name: string): string {
  const text = textOf(given, name);
  if (text === undefined || text === '')
    throw new NbosError('usage', `--${name}: expected a value, found none`);
  return text;
}

export function numberOf(given: Arguments, name: string): number | undefined {
  return given[name] as number | undefined;
}

export function isSet(given: Arguments, name: string): boolean {
  const value = given[name];
  return Array.isArray(value) ? value.at(-1) === true : value === true;
}

export function wordsOf(given: Arguments, name: string): string[] {
  const value = given[name];
  if (value === undefined) return [];
  return Array.isArray(value) ? value.map(String) : [String(value)];
}

/** What `--policies a,b,c` and its like hold. */
export function commaList(name: string, text: string): string[] {
  const words = text.split(',').map((each) => each.trim());
  if (words.some((each) => each === '') || words.length === 0)
    throw new NbosError('usage', `--${name}: expected names joined by commas, found "${text}"`);
  return words;
}

/** Prints the outcome: `json` with --json, nothing with --quiet, else `text`. */
export function printResult(given: Arguments, text: string, json: unknown): void {
  if (isSet(given, 'json')) process.stdout.write(`${JSON.stringify(json, null, 2)}\n`);
  else if (!isSet(given, 'quiet')) process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
}

/** A remark for people, on stderr, so that output stays what it is. */
export function printNote(given: Arguments, text: string): void {
  if (!isSet(given, 'quiet')) process.stderr.write(`${text}\n`);
}
