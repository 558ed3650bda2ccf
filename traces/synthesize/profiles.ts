/**
 * What the two published AdobeTrace files look like, as quantile tables: the synthesiser knows
 * nothing else about them. Durations and think times are whole minutes.
 */
export type ProfileName = 'adobe-15s' | 'adobe-60s';

/** Points (P(X ≤ value) in percent, value), ascending in both; log-linear between them. */
export type StepTable = readonly (readonly [percent: number, value: number])[];

/**
 * How a quantity's rank depends on the session's size: at `size` (the session's rank by cell count,
 * 0 … 1) the normal scores of its cells have this mean and deviation, of which `between` is the
 * deviation of session means.
 */
export type SizeEffect = readonly (readonly [
  size: number,
  mean: number,
  deviation: number,
  between: number,
])[];

export interface Profile {
  readonly name: ProfileName;
  /** cells of a session by the session's rank */
  readonly cells: StepTable;
  readonly durationMin: StepTable;
  readonly thinkMin: StepTable;
  readonly durationBySize: SizeEffect;
  readonly thinkBySize: SizeEffect;
  /** correlation of a session's mean duration score with its mean think score */
  readonly sessionCorrelation: number;
  /** the same of a cell's duration with the think time after it, inside a session */
  readonly cellCorrelation: number;
  /** share of the variance inside a session that lies between its phases of dense and sparse work */
  readonly phaseShare: number;
  /** share of the cells that use 1, 4 and 8 GPUs */
  readonly gpuMix: readonly [one: number, four: number, eight: number];
  readonly gpuBySize: GpuTendency;
  /** correlation of a session's GPU count with its mean duration score */
  readonly gpuCorrelation: number;
  /** strength of the preference for weekdays, as `drawStarts` takes it */
  readonly weekdayPreference: number;
  /** the same of the first and last days of the trace: 0 is none, 1 the arcsine law */
  readonly edgePreference: number;
}

/** GPU counts that cells use. */
export const GPU_CHOICES = [1, 4, 8] as const;

/** Tendency of sessions to use 1, 4 and 8 GPUs by size; scaled until the cells have the mix. */
export type GpuTendency = readonly (readonly [
  size: number,
  one: number,
  four: number,
  eight: number,
])[];

const GPU_BY_SIZE_15S: GpuTendency = [
  [0.0, 0.62, 0.14, 0.24],
  [0.25, 0.5, 0.2, 0.3],
  [0.4, 0.35, 0.32, 0.33],
  [0.5, 0.2, 0.42, 0.38],
  [0.7, 0.2, 0.36, 0.44],
  [0.85, 0.33, 0.32, 0.35],
  [0.95, 0.2, 0.38, 0.42],
  [1.0, 0.12, 0.28, 0.6],
];

/** Chosen for the GPU-hours of the file: its long cells use more GPUs than its many short ones. */
const GPU_BY_SIZE_60S: GpuTendency = [
  [0.0, 0.1, 0.15, 0.75],
  [0.5, 0.14, 0.2, 0.66],
  [0.8, 0.4, 0.2, 0.4],
  [1.0, 0.72, 0.18, 0.1],
];

/** Share of sessions that change their GPU count once, by size. */
export const GPU_CHANGE_BY_SIZE = [
  [0.0, 0.1],
  [0.12, 0.25],
  [0.3, 0.4],
  [0.85, 0.4],
  [1.0, 0.25],
] as const;

const DURATION_BY_SIZE: SizeEffect = [
  [0.02, -0.9, 0.9, 0.8],
  [0.1, -0.25, 1.4, 1.0],
  [0.2, 0.1, 1.36, 0.95],
  [0.3, 0.3, 1.36, 0.92],
  [0.4, 0.5, 1.3, 0.8],
  [0.5, 0.64, 1.25, 0.76],
  [0.6, 0.57, 1.19, 0.72],
  [0.7, 0.47, 1.1, 0.7],
  [0.8, 0.26, 0.99, 0.6],
  [0.875, 0.16, 0.94, 0.5],
  [0.925, 0.0, 0.88, 0.44],
  [0.965, -0.12, 0.87, 0.42],
  [0.99, -0.4, 0.92, 0.36],
];

const THINK_BY_SIZE: SizeEffect = [
  [0.1, 1.3, 1.7, 1.0],
  [0.2, 1.12, 1.6, 0.82],
  [0.3, 0.88, 1.38, 0.78],
  [0.4, 0.68, 1.31, 0.66],
  [0.5, 0.4, 1.26, 0.62],
  [0.6, 0.22, 1.25, 0.6],
  [0.7, 0.05, 1.18, 0.58],
  [0.8, -0.12, 1.06, 0.56],
  [0.875, -0.18, 1.0, 0.5],
  [0.925, -0.11, 0.96, 0.48],
  [0.965, -0.05, 0.93, 0.45],
  [0.99, 0.15, 0.82, 0.3],
];

/** The means of middling sessions moved by `shift`: their busy share is what the file's median shows. */
function shiftedMiddle(effect: SizeEffect, shift: number): SizeEffect {
  return effect.map(([size, mean, deviation, between]) => [
    size,
    mean + (size > 0.05 && size < 0.75 ? shift : 0),
    deviation,
    between,
  ]);
}

const ADOBE_15S: Profile = {
  name: 'adobe-15s',
  cells: [
    [8.5, 1],
    [12, 2],
    [15, 4],
    [20, 6],
    [25.6, 9],
    [30, 12],
    [35, 18],
    [40, 28],
    [45, 39],
    [50, 55],
    [55, 69],
    [60, 88],
    [65, 124],
    [70, 178],
    [75, 245],
    [80, 402],
    [85, 625],
    [90, 905],
    [95, 1372],
    [97, 1711],
    [98, 2150],
    [99, 2734],
    [99.5, 3728],
    [100, 5004],
  ],
  durationMin: [
    [22.54, 1],
    [51, 2],
    [63, 3],
    [70.7, 4],
    [74.5, 5],
    [78, 6],
    [80.2, 7],
    [82, 8],
    [85.2, 12],
    [90.3, 20],
    [92.8, 27],
    [95.25, 40],
    [97.1, 69],
    [98, 107],
    [99, 220],
    [99.5, 456],
    [99.8, 1187],
    [99.9, 2320],
    [99.95, 4166],
    [99.98, 7484],
    [99.99, 10484],
    [99.995, 18261],
    [100, 40000],
  ],
  thinkMin: [
    [26.31, 0],
    [62.4, 1],
    [74.6, 2],
    [82.2, 3],
    [86, 4],
    [88.5, 5],
    [89.2, 6],
    [91.4, 7],
    [92.8, 9],
    [95.3, 15],
    [97.2, 38],
    [98.1, 93],
    [99, 561],
    [99.5, 1574],
    [99.7, 3791],
    [99.8, 5888],
    [99.9, 12795],
    [99.95, 24259],
    [99.98, 32323],
    [100, 40009],
  ],
  durationBySize: DURATION_BY_SIZE,
  thinkBySize: THINK_BY_SIZE,
  sessionCorrelation: -0.62,
  phaseShare: 0.2,
  cellCorrelation: -0.35,
  gpuBySize: GPU_BY_SIZE_15S,
  gpuMix: [0.2115, 0.3203, 0.4682],
  gpuCorrelation: 0.65,
  weekdayPreference: 2.6,
  edgePreference: 1.5,
};

const ADOBE_60S: Profile = {
  name: 'adobe-60s',
  cells: [
    [7, 1],
    [15, 2],
    [20, 3],
    [25.6, 5],
    [30, 6],
    [40, 11],
    [50, 17],
    [60, 31],
    [75, 76],
    [90, 206],
    [95, 424],
    [99, 947],
    [100, 2400],
  ],
  durationMin: [
    [28, 3],
    [43, 4],
    [52, 5],
    [58.5, 6],
    [63.5, 7],
    [67.5, 8],
    [71, 9],
    [74.3, 10],
    [76.8, 11],
    [81.2, 13],
    [86.2, 18],
    [90.3, 32],
    [95.2, 95],
    [97, 240],
    [99, 1021],
    [99.5, 2000],
    [99.9, 5500],
    [99.97, 9000],
    [100, 40000],
  ],
  thinkMin: [
    [15, 0],
    [34, 1],
    [46.5, 2],
    [54.5, 3],
    [60.5, 4],
    [66, 5],
    [71.5, 6],
    [76.3, 7],
    [82, 9],
    [86.8, 15],
    [89.8, 35],
    [92.7, 60],
    [94.9, 98],
    [95.6, 210],
    [96.7, 550],
    [98, 1600],
    [99, 4500],
    [99.5, 9000],
    [99.8, 17000],
    [99.9, 24000],
    [100, 40009],
  ],
  durationBySize: shiftedMiddle(DURATION_BY_SIZE, -0.85),
  thinkBySize: shiftedMiddle(THINK_BY_SIZE, 0.4),
  sessionCorrelation: -0.62,
  phaseShare: 0.6,
  cellCorrelation: -0.3,
  gpuBySize: GPU_BY_SIZE_60S,
  gpuMix: [0.49, 0.2, 0.31],
  gpuCorrelation: 0.8,
  weekdayPreference: 2.1,
  edgePreference: 0.6,
};

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  'adobe-15s': ADOBE_15S,
  'adobe-60s': ADOBE_60S,
};
