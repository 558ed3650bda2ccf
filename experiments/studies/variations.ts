import type { NumberOption, Option } from '../../core/config/option.ts';
import { OPTIONS, type OptionName, type PartialConfig } from '../../core/config/options.ts';

/** One option away from its default, all others at theirs. */
export interface Variation {
  readonly option: OptionName;
  readonly side: 'low' | 'high';
  /** what it was set to, for people */
  readonly setting: string;
  readonly config: PartialConfig;
  readonly label: string;
}

/**
 * Every option whose default is taken from a summary or is a guess, halved and doubled; switches
 * turned over. Options whose default is zero or empty have no half and no double and are left out.
 */
export function doubtfulVariations(): Variation[] {
  return (Object.keys(OPTIONS) as OptionName[]).flatMap((option) => {
    const described: Option = OPTIONS[option];
    const isDoubtful = described.source === 'guess' || described.source === 'summary';
    return isDoubtful ? variationsOf(option, described) : [];
  });
}

function variationsOf(name: OptionName, option: Option): Variation[] {
  switch (option.type) {
    case 'integer':
    case 'number':
      return [
        ...variation(name, option, 'low', numberSetting(option, 0.5)),
        ...variation(name, option, 'high', numberSetting(option, 2)),
      ];
    case 'boolean':
      return variation(name, option, option.default ? 'low' : 'high', !option.default);
    case 'quantiles':
    case 'sizes':
      return [
        ...variation(name, option, 'low', scaled(option.default, 0.5)),
        ...variation(name, option, 'high', scaled(option.default, 2)),
      ];
    case 'choice':
    case 'name':
    case 'host-types':
    case 'faults':
      return [];
  }
}

function numberSetting(option: NumberOption, factor: number): number {
  const value = Math.min(option.max, Math.max(option.min, option.default * factor));
  return option.type === 'integer' ? Math.floor(value) : value;
}

function variation(
  option: OptionName,
  described: Option,
  side: 'low' | 'high',
  value: unknown,
): Variation[] {
  if (JSON.stringify(value) === JSON.stringify(described.default)) return [];
  if (Array.isArray(value) && value.length === 0) return [];
  const plain =
    typeof value === 'boolean' ? (value ? 'on' : 'off') : side === 'low' ? '÷ 2' : '× 2';
  const setting = typeof value === 'number' ? grouped(value) : plain;
  const config = { [option]: value } as PartialConfig;
  return [{ option, side, setting, config, label: `${option} ${plain}` }];
}

/** Points (percent, ms) or sizes by name, with every value multiplied. */
function scaled(value: unknown, factor: number): unknown {
  if (Array.isArray(value)) {
    return value.map(([percent, ms]: [number, number]) => [percent, ms * factor]);
  }
  return Object.fromEntries(
    Object.entries(value as Record<string, number>).map(([name, size]) => [name, size * factor]),
  );
}

/** The option with its default and unit, as figures call it. */
export function optionLabel(name: OptionName): string {
  const { default: value, unit } = OPTIONS[name] as Option;
  if (typeof value === 'object') return name;
  return `${name} (${typeof value === 'number' ? grouped(value) : value}${unit === '' ? '' : ` ${unit}`})`;
}

function grouped(value: number): string {
  const [whole, fraction] = String(value).split('.');
  const digits = whole!.replace(/\B(?=(\d{3})+$)/g, ',');
  return fraction === undefined ? digits : `${digits}.${fraction}`;
}
