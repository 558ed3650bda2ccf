import { isAbsolute, join } from 'node:path';
import { z } from 'zod';
import { NbosError } from '../core/errors.ts';
import { parseDuration } from '../traces/duration.ts';
import { IMPORT_OPTIONS, TRACE_FORMATS } from '../traces/import-options.ts';
import { nearestWord, suggestion } from '../traces/suggest.ts';
import type { TraceSpec } from './trace-source.ts';

const text = z.string('expected a text').min(1, 'expected a text');
const positive = z.number('expected a number above 0').positive('expected a number above 0');
const whole = (from: number) =>
  z
    .number(`expected a whole number from ${from}`)
    .int(`expected a whole number from ${from}`)
    .min(from, `expected a whole number from ${from}`);
const seed = whole(0).max(0x7fffffff, 'expected a seed up to 2147483647');
const yesNo = z.boolean('expected true or false');
const hours = z.preprocess((value) => {
  const ms = typeof value === 'string' ? parseDuration(value) : undefined;
  return ms === undefined ? value : ms / 3_600_000;
}, z.number('expected hours, or a duration such as "17.5h"').positive('expected more than 0'));

const IMPORT = z.strictObject(
  Object.fromEntries(
    Object.entries(IMPORT_OPTIONS).map(([name, option]) => {
      if (option.type === 'boolean') return [name, yesNo.optional()];
      if (option.type === 'choice')
        return [name, z.enum(option.choices as never, choices(option.choices)).optional()];
      if (option.type === 'path') return [name, text.optional()];
      const range = `expected a number from ${option.min} to ${option.max}`;
      return [name, z.number(range).min(option.min, range).max(option.max, range).optional()];
    }),
  ) as Record<string, z.ZodType>,
);

const changes = {
  label: text.optional(),
  /** cut sessions at idle gaps longer than this */
  splitGapHours: hours.optional(),
  /** cut sessions where the number of GPUs changes */
  splitOnGpuChange: yesNo.optional(),
  /** close every session so much later */
  endPadMin: z.number('expected minutes').min(0, 'expected minutes from 0').optional(),
  /** cut to a window of so many hours */
  windowHours: hours.optional(),
  /** draw sessions of the window until reserved GPUs would exceed this */
  peakGpus: positive.optional(),
  /** multiply the think times */
  gapScale: positive.optional(),
};

const FILE_TRACE = z.strictObject({
  ...changes,
  path: text,
  format: z.enum(['auto', ...TRACE_FORMATS], choices(['auto', ...TRACE_FORMATS])).optional(),
  import: IMPORT.optional(),
});

const PROFILE_NAMES = ['adobe-15s', 'adobe-60s'] as const;
const SYNTHESIS = z.strictObject({
  profile: z.enum(PROFILE_NAMES, choices(PROFILE_NAMES)),
  sessions: whole(1),
  hours,
  seed: seed.optional(),
});
const SYNTHETIC_TRACE = z.strictObject({ ...changes, synthesize: SYNTHESIS });
const DEMO = z.strictObject({ seed: seed.optional(), capacityGpus: positive.optional() });
const DEMO_TRACE = z.strictObject({ ...changes, demo: DEMO });

const set = z.record(z.string(), z.unknown(), 'expected an object of options');
const POLICY = z.union([text, set.refine((s) => typeof s['policy'] === 'string')], {
  error: 'expected the name or the path of a policy, or { "policy": …, options … }',
});

const EXPERIMENT = z.strictObject({
  $schema: z.string().optional(),
  name: text.regex(/^[\w.-]+$/, 'expected letters, digits, dots, dashes and underscores'),
  description: text.optional(),
  traces: z.array(z.unknown(), 'expected a list of traces').min(1, 'expected at least one trace'),
  policies: z.array(POLICY, 'expected a list of policies').min(1, 'expected at least one policy'),
  clusters: z.array(set, 'expected a list of clusters').min(1).default([{}]),
  options: z.array(set, 'expected a list of option sets').min(1).default([{}]),
  seeds: z
    .union([whole(1).max(100_000), z.array(seed).min(1)], {
      error: 'expected a number of seeds, or a list of them',
    })
    .default(1),
  resample: yesNo.default(false),
  cells: z
    .enum(['none', 'first-seed', 'all'], choices(['none', 'first-seed', 'all']))
    .default('first-seed'),
});

export type ExperimentShape = Omit<z.infer<typeof EXPERIMENT>, 'traces'> & {
  readonly traces: readonly (TraceSpec & { readonly label?: string })[];
};

/** Checks an experiment without its options, which `parseConfig` does; makes paths absolute. */
export function parseExperimentShape(value: unknown, where: string, base: string): ExperimentShape {
  const shape = check(EXPERIMENT, value, where);
  const traces = shape.traces.map((trace, i) => traceSpec(trace, `${where}: traces[${i}]`, base));
  const policies = shape.policies.map((entry) => {
    if (typeof entry === 'string') return placed(entry, base);
    return { ...entry, policy: placed(String(entry['policy']), base) };
  });
  const seeds = shape.seeds;
  if (Array.isArray(seeds) && new Set(seeds).size < seeds.length)
    throw new NbosError('experiment-invalid', `${where}: seeds: one is there twice`);
  return { ...shape, policies, traces: traces as ExperimentShape['traces'] };
}

function traceSpec(trace: unknown, where: string, base: string): object {
  const has = (key: string) => typeof trace === 'object' && trace !== null && key in trace;
  if (has('synthesize')) return check(SYNTHETIC_TRACE, trace, where);
  if (has('demo')) return check(DEMO_TRACE, trace, where);
  if (has('path')) {
    const file = check(FILE_TRACE, trace, where);
    return { ...file, path: isAbsolute(file.path) ? file.path : join(base, file.path) };
  }
  throw new NbosError(
    'experiment-invalid',
    `${where}: expected an object with "path", "synthesize" or "demo", ` +
      `found ${JSON.stringify(trace).slice(0, 80)}`,
    wordsOf(trace)
      .map((word) => nearestWord(word, ['path', 'synthesize', 'demo']))
      .filter((word) => word !== undefined)
      .map((word) => `Did you mean ${word}?`)[0] ?? '',
  );
}

function wordsOf(value: unknown): string[] {
  return typeof value === 'object' && value !== null ? Object.keys(value) : [];
}

function placed(policy: string, base: string): string {
  const isRelative = /^\.{1,2}[/\\]/.test(policy);
  return isRelative ? join(base, policy) : policy;
}

function check<S extends z.ZodType>(schema: S, value: unknown, where: string): z.infer<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  // A misspelt member is also a missing one: what was written says more.
  const { issues } = result.error;
  const issue = issues.find((each) => each.code === 'unrecognized_keys') ?? issues[0]!;
  const at = issue.path.map((step) =>
    typeof step === 'number' ? `[${step}]` : `.${String(step)}`,
  );
  const place = `${where}${at.join('').replace(/^\./, ': ')}`;
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0]!;
    throw new NbosError(
      'experiment-invalid',
      `${place}: unknown key "${key}"`,
      suggestion(key, keysAt(schema, issue.path)),
    );
  }
  const found = issue.path.reduce<unknown>((v, step) => (v as never)?.[step as never], value);
  const shown = found === undefined ? 'nothing' : JSON.stringify(found).slice(0, 80);
  const message = issue.message.replace(/^Invalid input: /, '');
  throw new NbosError('experiment-invalid', `${place}: ${message}, found ${shown}`);
}

function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let at: unknown = schema;
  for (const step of path) {
    const shape = (at as { shape?: Record<PropertyKey, unknown> }).shape;
    at = shape?.[step];
    while (typeof (at as { unwrap?: unknown } | undefined)?.unwrap === 'function')
      at = (at as { unwrap: () => unknown }).unwrap();
  }
  return Object.keys((at as { shape?: object } | undefined)?.shape ?? {});
}

function choices(words: readonly string[]): string {
  return `expected one of ${words.join(', ')}`;
}
