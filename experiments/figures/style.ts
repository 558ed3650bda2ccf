/** How one line, bar or point of a series is drawn. */
export interface Stroke {
  readonly color: string;
  /** SVG dash pattern; '' is solid: tells series apart in grey print */
  readonly dash: string;
}

// Okabe and Ito's palette: told apart with any common colour blindness, and of different lightness.
const FIXED: Readonly<Record<string, Stroke>> = {
  reservation: { color: '#5f5f5f', dash: '9 3' },
  'batch-fcfs': { color: '#d55e00', dash: '2 2' },
  notebookos: { color: '#0072b2', dash: '' },
  lcp: { color: '#009e73', dash: '6 2 2 2' },
  gandiva: { color: '#cc79a7', dash: '10 3 2 3 2 3' },
  oracle: { color: '#000000', dash: '1 3' },
};

const OTHERS: readonly Stroke[] = [
  { color: '#56b4e9', dash: '4 2' },
  { color: '#e69f00', dash: '8 2 1 2' },
  { color: '#7b3294', dash: '3 3' },
  { color: '#8c510a', dash: '12 3' },
  { color: '#4d6b1e', dash: '5 2 5 6' },
  { color: '#b2182b', dash: '2 4' },
];

/** A fixed look for each known policy; any other name always gets the same one, by its hash. */
export function strokeOf(policy: string): Stroke {
  const fixed = FIXED[policy];
  if (fixed) return fixed;
  let hash = 0;
  for (let i = 0; i < policy.length; i++) hash = (Math.imul(hash, 31) + policy.charCodeAt(i)) >>> 0;
  return OTHERS[hash % OTHERS.length]!;
}

/** As `strokeOf`, but unlike names in one figure never share a look while there are looks left. */
export function strokesOf(names: readonly string[]): Map<string, Stroke> {
  const strokes = new Map<string, Stroke>();
  const taken = new Set<Stroke>();
  for (const name of names) {
    if (strokes.has(name)) continue;
    let stroke = strokeOf(name);
    if (taken.has(stroke)) stroke = OTHERS.find((other) => !taken.has(other)) ?? stroke;
    taken.add(stroke);
    strokes.set(name, stroke);
  }
  return strokes;
}

/** Colours of the steps of an execution, in the order of the steps; neighbours differ in lightness. */
export const STEP_COLORS: Readonly<Record<string, string>> = {
  gateway: '#bdbdbd',
  queue: '#d55e00',
  provisioning: '#f0c987',
  container_start: '#8c510a',
  migration: '#cc79a7',
  state_read: '#56b4e9',
  election: '#7b3294',
  device_load: '#009e73',
  lost: '#b2182b',
  suspended: '#e69f00',
  device_unload: '#66c2a5',
  state_commit: '#0072b2',
  reply: '#737373',
};

export const FONT = "'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif";
export const INK = '#1a1a1a';
export const GRID = '#dddddd';

/** 1234567 → '1.23M', 0.01234 → '0.0123': three significant digits, no exponent. */
export function shortNumber(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size >= 1e9) return `${trim((value / 1e9).toPrecision(3))}G`;
  if (size >= 1e6) return `${trim((value / 1e6).toPrecision(3))}M`;
  if (size >= 1e5) return `${trim((value / 1e3).toPrecision(3))}k`;
  if (size >= 100) return grouped(Math.round(value));
  if (size >= 0.001) return trim(value.toPrecision(3));
  return value === 0 ? '0' : value.toExponential(1);
}

function trim(digits: string): string {
  return digits.includes('.') ? digits.replace(/\.?0+$/, '') : digits;
}

function grouped(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** Seconds as people say them: '2 ms', '0.5 s', '20 s', '5 min', '3 h', '2 d'. */
export function durationLabel(seconds: number): string {
  if (seconds === 0) return '0';
  if (seconds < 0.1) return `${trim((seconds * 1000).toPrecision(3))} ms`;
  if (seconds < 60) return `${trim(seconds.toPrecision(3))} s`;
  if (seconds < 3600) return `${trim((seconds / 60).toPrecision(3))} min`;
  if (seconds < 86_400) return `${trim((seconds / 3600).toPrecision(3))} h`;
  return `${trim((seconds / 86_400).toPrecision(3))} d`;
}

/** Ticks of a logarithmic axis of durations, in seconds, that people read without thinking. */
export const DURATION_TICKS = [
  0.001, 0.01, 0.1, 1, 10, 60, 300, 3600, 18_000, 86_400, 864_000,
] as const;
