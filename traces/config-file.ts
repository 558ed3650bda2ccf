import { readFileSync } from 'node:fs';
import type { z } from 'zod';
import type { Option } from '../core/config/option.ts';
import {
  type Config,
  OPTIONS,
  type OptionName,
  type PartialConfig,
} from '../core/config/options.ts';
import { NbosError } from '../core/errors.ts';
import { formOf, MEMBERS, schemaOf } from './config-schema.ts';
import { suggestion } from './suggest.ts';

const NAMES = Object.keys(OPTIONS) as OptionName[];
const SCHEMAS = new Map<OptionName, z.ZodType>();

/**
 * Reads a JSON file of options. Throws `file-not-found`, `file-corrupt` (not JSON, with line and
 * column), `config-unknown-key` and `config-bad-value`, each naming file and key.
 */
export function readConfigFile(path: string): PartialConfig {
  return parseConfig(readJson(path), path);
}

/** The value of a JSON file; throws `file-not-found` or `file-corrupt` with line and column. */
export function readJson(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const why = UNREADABLE[(error as NodeJS.ErrnoException).code ?? ''] ?? String(error);
    throw new NbosError('file-not-found', `${path}: ${why}`, 'Name a JSON file.');
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new NbosError('file-corrupt', `${path}: not JSON: ${jsonFault(text)}`);
  }
}

const UNREADABLE: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EISDIR: 'a folder; expected a file',
  ENOTDIR: 'no such file: a part of the path is not a folder',
  EACCES: 'it may not be read',
};

function jsonFault(text: string): string {
  const offset = viableLength(text);
  const before = text.slice(0, offset).split('\n');
  const place = `line ${before.length}, column ${before.at(-1)!.length + 1}`;
  return offset >= text.trimEnd().length ? 'it ends too early' : `unexpected text at ${place}`;
}

/** Length of the longest start of `text` that JSON could begin with; engines do not always say. */
function viableLength(text: string): number {
  let viable = 0;
  let broken = text.length + 1;
  while (broken - viable > 1) {
    const middle = (viable + broken) >> 1;
    if (isViable(text.slice(0, middle).replace(/[\w.+-]+$/, ''))) viable = middle;
    else broken = middle;
  }
  return viable;
}

function isViable(start: string): boolean {
  try {
    JSON.parse(start);
    return true;
  } catch (error) {
    const position = /at position (\d+)/.exec((error as Error).message)?.[1];
    if (position !== undefined) return Number(position) >= start.length;
    return (error as Error).message.includes('end of JSON input');
  }
}

/** Checks an object of options; `where` names its file in errors. */
export function parseConfig(value: unknown, where: string): PartialConfig {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new NbosError('config-bad-value', `${where}: expected an object of options`);
  const config: Record<string, unknown> = {};
  for (const [key, given] of Object.entries(value)) {
    const option = optionNamed(key, where);
    config[key] = parseValue(key as OptionName, option, given, where);
  }
  return config as PartialConfig;
}

function optionNamed(key: string, where: string): Option {
  if (Object.hasOwn(OPTIONS, key)) return OPTIONS[key as OptionName];
  throw new NbosError(
    'config-unknown-key',
    `${where}: unknown option "${key}"`,
    suggestion(key, NAMES, '`nbos config --defaults` lists them all.'),
  );
}

function parseValue(name: OptionName, option: Option, given: unknown, where: string): unknown {
  let schema = SCHEMAS.get(name);
  if (schema === undefined) SCHEMAS.set(name, (schema = schemaOf(option)));
  const result = schema.safeParse(given);
  if (result.success) {
    if (name === 'replicas' && Number(result.data) % 2 === 0)
      throw new NbosError(
        'config-bad-value',
        `${where}: ${name}: expected 1, 3 or 5, found ${String(result.data)}`,
      );
    return result.data;
  }
  const issue = result.error.issues[0]!;
  const place = [name, ...issue.path].join('.');
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0]!;
    throw new NbosError(
      'config-unknown-key',
      `${where}: ${place}: unknown member "${key}"`,
      suggestion(key, MEMBERS[option.type] ?? []),
    );
  }
  const found = issue.path.reduce<unknown>((at, key) => (at as never)?.[key as never], given);
  throw new NbosError(
    'config-bad-value',
    `${where}: ${place}: ${lower(issue.message)}, found ${JSON.stringify(found) ?? 'nothing'}`,
  );
}

function lower(message: string): string {
  return message
    .replace(/^Invalid (input|option): /, '')
    .replace(/^[A-Z](?=[a-z])/, (c) => c.toLowerCase());
}

/** Reads `--set key=value` words; structured options take JSON. Later ones win. */
export function parseSettings(words: readonly string[]): PartialConfig {
  const config: Record<string, unknown> = {};
  for (const word of words) {
    const equals = word.indexOf('=');
    if (equals <= 0) throw new NbosError('usage', `--set: expected key=value, found "${word}"`);
    const key = word.slice(0, equals);
    const option = optionNamed(key, '--set');
    const given = settingValue(option, word.slice(equals + 1));
    config[key] = parseValue(key as OptionName, option, given, '--set');
  }
  return config as PartialConfig;
}

function settingValue(option: Option, text: string): unknown {
  switch (option.type) {
    case 'integer':
    case 'number':
      return text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text;
    case 'choice':
    case 'name':
      return text;
    default:
      try {
        return JSON.parse(text);
      } catch {
        return text;
      }
  }
}

/** Refuses values that are legal alone but contradict each other; `config` is complete. */
export function checkConfig(config: Config): void {
  const pairs = [
    ['gatewayMinMs', 'gatewayMaxMs'],
    ['prewarmedMinMs', 'prewarmedMaxMs'],
  ] as const;
  for (const [least, most] of pairs)
    if (config[least] > config[most])
      throw new NbosError(
        'config-bad-value',
        `${least} (${config[least]}) is above ${most} (${config[most]})`,
      );
  const widest = Math.max(config.gpusPerHost, ...config.hostTypes.map((type) => type.gpus));
  if (config.deviceIds && widest > MAX_DEVICES)
    throw new NbosError(
      'config-bad-value',
      `a host of ${widest} GPUs is beyond the ${MAX_DEVICES} whose devices can be booked one by one`,
      'Set deviceIds=false to book GPUs as one sum per host.',
    );
}

const MAX_DEVICES = 31;

/** One row of `nbos config --defaults`. */
export interface ConfigRow {
  readonly option: OptionName;
  readonly group: string;
  readonly unit: string;
  readonly default: unknown;
  readonly values: string;
  readonly source: string;
  readonly meaning: string;
}

/** Every option in order: unit, default, legal values, where the default comes from, meaning. */
export function configTable(): ConfigRow[] {
  return NAMES.map((option) => {
    const described: Option = OPTIONS[option];
    const { group, unit, default: value, source, meaning } = described;
    return { option, group, unit, default: value, values: formOf(described), source, meaning };
  });
}
