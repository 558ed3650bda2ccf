import { z } from 'zod';
import type { NumberOption, Option } from '../core/config/option.ts';
import type { HostType, ScheduledFault } from '../core/config/options.ts';
import { DURATION_FORM, parseDuration } from './duration.ts';

const GPUS_OF_DEFAULT_HOST = 8;
const PRICE_OF_DEFAULT_HOST = 24.48;
const MANY = 1_000_000_000;

/** Members of an entry of the options that are lists. */
export const MEMBERS: Partial<Record<Option['type'], readonly string[]>> = {
  'host-types': [
    'name',
    'gpus',
    'cpuMillis',
    'memoryMb',
    'vramMb',
    'gpuType',
    'speed',
    'maxHosts',
    'pricePerHour',
  ],
  faults: ['atMs', 'kind', 'target', 'detail', 'forMs', 'factor'],
};

/** What a value of an option looks like, for errors and for `nbos config --defaults`. */
export function formOf(option: Option): string {
  switch (option.type) {
    case 'integer':
    case 'number':
      return numberForm(option);
    case 'boolean':
      return 'true or false';
    case 'choice':
      return option.choices.join(', ');
    case 'name':
      return 'a name';
    case 'quantiles':
      return 'a list of [percent, ms] from 0 to 100 %, both rising';
    case 'sizes':
      return 'an object of sizes in MB by name';
    case 'host-types':
      return `a list of {${MEMBERS['host-types']!.join(', ')}}`;
    case 'faults':
      return `a list of {${MEMBERS.faults!.join(', ')}}, of kind ${FAULT_KINDS.join(', ')}`;
  }
}

function numberForm(option: NumberOption): string {
  const kind = option.type === 'integer' ? 'a whole number' : 'a number';
  const bounds = `${kind} from ${option.min} to ${option.max}`;
  return option.unit === 'ms' ? `${bounds} (ms), or ${DURATION_FORM}` : bounds;
}

/** The zod schema of one option: bounds, choices and members checked, durations read as ms. */
export function schemaOf(option: Option): z.ZodType {
  const form = formOf(option);
  switch (option.type) {
    case 'integer':
    case 'number':
      return numberSchema(option, form);
    case 'boolean':
      return z.boolean(`expected ${form}`);
    case 'choice':
      return z.enum(option.choices as [string, ...string[]], `expected one of ${form}`);
    case 'name':
      return z.string(`expected ${form}`).min(1, `expected ${form}`);
    case 'quantiles':
      return isEmpty(option.default) ? QUANTILES_OR_NONE : QUANTILES;
    case 'sizes':
      return z.record(z.string(), bounded(0, MANY), `expected ${form}`);
    case 'host-types':
      return z.array(HOST_TYPE, `expected ${form}`).refine(namesDiffer, 'two types of one name');
    case 'faults':
      return z.array(FAULT, `expected ${form}`);
  }
}

function numberSchema(option: NumberOption, form: string): z.ZodType {
  const fault = `expected ${form}`;
  const plain = z.number(fault).min(option.min, fault).max(option.max, fault);
  const number = option.type === 'integer' ? plain.int(fault) : plain;
  if (option.unit !== 'ms') return number;
  return z.preprocess(
    (value) => (typeof value === 'string' ? parseDuration(value) : value),
    number,
  );
}

function bounded(min: number, max: number, whole = false) {
  const fault = `expected ${whole ? 'a whole number' : 'a number'} from ${min} to ${max}`;
  const number = z.number(fault).min(min, fault).max(max, fault);
  return whole ? number.int(fault) : number;
}

/** `atMs` and its like: ms, or a duration. */
function moment() {
  return z.preprocess(
    (value) => (typeof value === 'string' ? parseDuration(value) : value),
    bounded(0, 1e13, true),
  );
}

const QUANTILE_FORM = 'expected a list of [percent, ms] from 0 to 100 %, both rising';
/** Empty where another option's points stand in. */
const QUANTILES_OR_NONE = quantiles(true);
const QUANTILES = quantiles(false);

function quantiles(mayBeEmpty: boolean) {
  return z
    .array(z.tuple([z.number(), z.number().min(0)], QUANTILE_FORM), QUANTILE_FORM)
    .refine(
      (points) =>
        (mayBeEmpty && points.length === 0) ||
        (points.length >= 2 && points[0]?.[0] === 0 && points.at(-1)?.[0] === 100),
      QUANTILE_FORM,
    )
    .refine(
      (points) =>
        points.every(
          ([percent, ms], at) =>
            at === 0 || (percent > points[at - 1]![0] && ms >= points[at - 1]![1]),
        ),
      QUANTILE_FORM,
    );
}

function isEmpty(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

const GPUS = bounded(0, 1_000_000, true);
const HOST_TYPE = z
  .strictObject({
    name: z.string().min(1),
    gpus: GPUS,
    cpuMillis: bounded(0, MANY, true).optional(),
    memoryMb: bounded(0, MANY, true).optional(),
    vramMb: bounded(0, MANY, true).optional(),
    gpuType: z.string().default(''),
    speed: bounded(0.001, 1_000).default(1),
    maxHosts: bounded(0, 1_000_000, true).default(1_000_000),
    pricePerHour: bounded(0, MANY).optional(),
  })
  .transform(
    (type): HostType => ({
      ...type,
      cpuMillis: type.cpuMillis ?? 8_000 * Math.max(1, type.gpus),
      memoryMb: type.memoryMb ?? 61_000 * Math.max(1, type.gpus),
      vramMb: type.vramMb ?? 16_000 * type.gpus,
      pricePerHour: type.pricePerHour ?? (PRICE_OF_DEFAULT_HOST * type.gpus) / GPUS_OF_DEFAULT_HOST,
    }),
  );

function namesDiffer(types: readonly HostType[]): boolean {
  return new Set(types.map((type) => type.name)).size === types.length;
}

const FAULT_KINDS = [
  'host-loss',
  'device-excluded',
  'device-restored',
  'container-crash',
  'slow-start',
  'store-failure',
  'scale-out-failure',
  'yield-next',
] as const satisfies readonly ScheduledFault['kind'][];

const FAULT = z.strictObject({
  atMs: moment(),
  kind: z.enum(FAULT_KINDS),
  target: bounded(0, MANY, true).default(0),
  detail: bounded(0, MANY, true).optional(),
  forMs: moment().optional(),
  factor: bounded(1, 1e6).optional(),
});
