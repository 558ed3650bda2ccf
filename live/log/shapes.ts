/** Checks on values that came from outside, each for one shape. */

export type Fields = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isText(value: unknown): value is string {
  return typeof value === 'string';
}

/** An integer from 0 that counting up keeps exact. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

export function isDuration(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

export function areAll(value: unknown, is: (each: unknown) => boolean): value is unknown[] {
  return Array.isArray(value) && value.every((each) => is(each));
}

/** Every field that `shape` names is there and passes. */
export function hasShape(
  value: unknown,
  shape: Readonly<Record<string, (field: unknown) => boolean>>,
): value is Fields {
  if (!isObject(value)) return false;
  for (const name in shape) if (!shape[name]!(value[name])) return false;
  return true;
}

export function optional(is: (field: unknown) => boolean): (field: unknown) => boolean {
  return (field) => field === undefined || is(field);
}
