import { NbosError } from '../core/errors.ts';

const UNIT_MS: Record<string, number> = {
  ms: 1,
  s: 1_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

export const DURATION_FORM = 'a duration such as 250ms, 30s, 5min, 17.5h or 30d';

/** Milliseconds of `17.5h`, `5min`, `30s`, `250ms`, `30d`; undefined when it is no such text. */
export function parseDuration(text: string): number | undefined {
  const parts = /^(\d+(?:\.\d+)?)\s*(ms|s|min|h|d)$/.exec(text.trim());
  if (parts === null) return undefined;
  // Rounded, because 0.1 s × 1,000 and its like are not whole in binary.
  return Math.round(Number(parts[1]) * UNIT_MS[parts[2]!]!);
}

/** As `parseDuration`; throws `usage` naming `option` where the text is no duration. */
export function durationOf(option: string, text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  throw new NbosError('usage', `${option}: expected ${DURATION_FORM}, found "${text}"`);
}

/** Milliseconds for people, two units at most: `17 h 30 min`, `4.2 s`, `250 ms`. */
export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1_000],
  ] as const;
  const first = units.findIndex(([, size]) => ms >= size);
  const [name, size] = units[first]!;
  const whole = Math.floor(ms / size);
  const next = units[first + 1];
  const rest = next === undefined ? 0 : Math.floor((ms - whole * size) / next[1]);
  return rest > 0 ? `${whole} ${name} ${rest} ${next![0]}` : `${whole} ${name}`;
}
