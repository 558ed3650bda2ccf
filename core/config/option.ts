/**
 * How far a default can be trusted: measured by us, read in the reference's code, in summaries of
 * its paper, or a guess.
 */
export type OptionSource = 'measured' | 'code' | 'summary' | 'guess';

export type OptionGroup =
  | 'cluster'
  | 'policy'
  | 'scaling'
  | 'subscription'
  | 'execution'
  | 'prewarm'
  | 'reclamation'
  | 'latency'
  | 'faults'
  | 'money'
  | 'replay'
  | 'output';

interface Described {
  readonly group: OptionGroup;
  /** '' where the value is a plain word or count */
  readonly unit: string;
  readonly source: OptionSource;
  readonly meaning: string;
}

export interface NumberOption extends Described {
  readonly type: 'integer' | 'number';
  readonly default: number;
  readonly min: number;
  readonly max: number;
}

export interface BooleanOption extends Described {
  readonly type: 'boolean';
  readonly default: boolean;
}

export interface ChoiceOption<C extends string> extends Described {
  readonly type: 'choice';
  readonly default: C;
  readonly choices: readonly C[];
}

/** A free word whose legal values only the registries know. */
export interface NameOption extends Described {
  readonly type: 'name';
  readonly default: string;
}

/** Structured values; `sim` and `core` document their members beside the type. */
export interface StructureOption<T> extends Described {
  readonly type: 'quantiles' | 'sizes' | 'host-types' | 'faults';
  readonly default: T;
}

export type Option =
  | NumberOption
  | BooleanOption
  | ChoiceOption<string>
  | NameOption
  | StructureOption<unknown>;

type Place = readonly [group: OptionGroup, unit: string, source: OptionSource, meaning: string];

function described([group, unit, source, meaning]: Place): Described {
  return { group, unit, source, meaning };
}

export function integer(value: number, min: number, max: number, ...place: Place): NumberOption {
  return { type: 'integer', default: value, min, max, ...described(place) };
}

export function number(value: number, min: number, max: number, ...place: Place): NumberOption {
  return { type: 'number', default: value, min, max, ...described(place) };
}

export function flag(value: boolean, ...place: Place): BooleanOption {
  return { type: 'boolean', default: value, ...described(place) };
}

export function choice<const C extends string>(
  value: NoInfer<C>,
  choices: readonly C[],
  ...place: Place
): ChoiceOption<C> {
  return { type: 'choice', default: value, choices, ...described(place) };
}

export function name(value: string, ...place: Place): NameOption {
  return { type: 'name', default: value, ...described(place) };
}

export function structure<T>(
  type: StructureOption<T>['type'],
  value: T,
  ...place: Place
): StructureOption<T> {
  return { type, default: value, ...described(place) };
}
