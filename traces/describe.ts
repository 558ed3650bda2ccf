import {
  busyShares,
  dispersionOf,
  gapsOf,
  gpuChangeShare,
  gpuTimeOf,
  meanGapBySize,
  openSteps,
  type Steps,
  timeQuantiles,
  topPercentShare,
} from './measures.ts';
import { oracleGpuMs, oracleHostGpuMs, oracleOf } from './oracle.ts';
import { mean, quantileSorted, sortedCopy } from './quantiles.ts';
import { type ClusterSize, type TraceWarning, warningsOf } from './suspicions.ts';
import type { Trace } from './trace.ts';

export type { ClusterSize, TraceWarning } from './suspicions.ts';

/** Probabilities of the quantiles in every distribution, in order. */
export const DESCRIBED_QUANTILES = [0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99] as const;

export interface Distribution {
  readonly measure: string;
  readonly unit: string;
  /** how many values there are; for measures over time, 0: each moment weighs the same */
  readonly count: number;
  readonly mean: number;
  /** at DESCRIBED_QUANTILES; NaN without values */
  readonly quantiles: readonly number[];
  readonly max: number;
}

export interface OfferedLoad extends ClusterSize {
  /** busy GPUs of the trace, on average over its length, as a share of the cluster's */
  readonly busyShare: number;
  readonly peakBusyShare: number;
  /** the same of the GPUs that open sessions reserve */
  readonly reservedShare: number;
  readonly peakReservedShare: number;
}

export interface Description {
  readonly name: string;
  readonly source: string;
  readonly sessions: number;
  readonly sessionsWithoutCells: number;
  readonly cells: number;
  readonly hours: number;
  readonly distributions: readonly Distribution[];
  /** share of the cells by GPU count, ascending */
  readonly gpuShares: readonly { readonly gpus: number; readonly share: number }[];
  /** share of the sessions with cells whose cells differ in GPU count */
  readonly gpuChangeShare: number;
  /** share of the run time that the longest 1 % of the cells hold */
  readonly topPercentShare: number;
  /** variance over mean of submissions by minute, hour and day; 1 is Poisson */
  readonly dispersion: { readonly minute: number; readonly hour: number; readonly day: number };
  /** minutes, by sessions' size: three quarters, up to p90, top tenth */
  readonly meanGapBySize: readonly number[];
  readonly busyGpuHours: number;
  readonly reservedGpuHours: number;
  /** the oracle, when only whole hosts of the cluster's size (else 8 GPUs) can be had */
  readonly wholeHostGpuHours: number;
  readonly load?: OfferedLoad;
  readonly warnings: readonly TraceWarning[];
}

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const DEFAULT_GPUS_PER_HOST = 8;

/** Measures a trace; with a cluster, also the load that it offers to it. */
export function describe(trace: Trace, cluster?: ClusterSize): Description {
  const { sessions, cells, endMs } = trace;
  const oracle = oracleOf(trace);
  const open = openSteps(trace);
  const busy: Steps = { timesMs: oracle.timesMs, values: oracle.gpuMillis };
  const reserved: Steps = { timesMs: open.timesMs, values: open.gpuMillis };
  const gaps = gapsOf(trace);
  const gpus = Float64Array.from(cells.shape, (shape) => trace.shapes[shape]!.gpuMillis / 1000);
  const sizes = Float64Array.from(
    { length: sessions.count },
    (_, s) => sessions.firstCell[s + 1]! - sessions.firstCell[s]!,
  );
  const lives = sessions.endMs.map((end, s) => end - sessions.startMs[s]!);
  const over = [
    overTime('open sessions', 'sessions', open, 1, endMs),
    overTime('reserved GPUs', 'GPUs', reserved, 1000, endMs),
    overTime('busy GPUs', 'GPUs', busy, 1000, endMs),
  ] as const;
  const { busyGpuMs, reservedGpuMs } = gpuTimeOf(trace);
  const gpusPerHost = cluster?.gpusPerHost || DEFAULT_GPUS_PER_HOST;
  return {
    name: trace.name,
    source: trace.source,
    sessions: sessions.count,
    sessionsWithoutCells: sizes.filter((size) => size === 0).length,
    cells: cells.count,
    hours: endMs / HOUR_MS,
    distributions: [
      ofValues('cell duration', 'min', cells.durationMs, MINUTE_MS),
      ofValues('gap between submissions', 'min', gaps.gapMs, MINUTE_MS),
      ofValues('think time', 'min', gaps.thinkMs, MINUTE_MS),
      ofValues('GPUs of a cell', 'GPUs', gpus, 1),
      ofValues('cells of a session', 'cells', sizes, 1),
      ofValues('life of a session', 'h', lives, HOUR_MS),
      ofValues('busy share of a session', '', busyShares(trace), 1),
      ...over,
    ],
    gpuShares: sharesOf(gpus),
    gpuChangeShare: gpuChangeShare(trace),
    topPercentShare: topPercentShare(trace),
    dispersion: {
      minute: dispersionOf(trace, MINUTE_MS),
      hour: dispersionOf(trace, HOUR_MS),
      day: dispersionOf(trace, DAY_MS),
    },
    meanGapBySize: meanGapBySize(trace),
    busyGpuHours: oracleGpuMs(oracle, endMs) / HOUR_MS,
    reservedGpuHours: reservedGpuMs / HOUR_MS,
    wholeHostGpuHours: oracleHostGpuMs(oracle, endMs, gpusPerHost) / HOUR_MS,
    ...(cluster && { load: loadOf(cluster, endMs, busyGpuMs, reservedGpuMs, over[2], over[1]) }),
    warnings: warningsOf(trace, cluster),
  };
}

function ofValues(
  measure: string,
  unit: string,
  values: Float64Array,
  scale: number,
): Distribution {
  const sorted = sortedCopy(values);
  return {
    measure,
    unit,
    count: values.length,
    mean: mean(sorted) / scale,
    quantiles: DESCRIBED_QUANTILES.map((p) => quantileSorted(sorted, p) / scale),
    max: (sorted.at(-1) ?? Number.NaN) / scale,
  };
}

function overTime(
  measure: string,
  unit: string,
  steps: Steps,
  scale: number,
  endMs: number,
): Distribution {
  let area = 0;
  for (let i = 0; i < steps.timesMs.length; i++) {
    const to = Math.min(endMs, steps.timesMs[i + 1] ?? endMs);
    area += Math.max(0, to - steps.timesMs[i]!) * steps.values[i]!;
  }
  const quantiles = timeQuantiles(steps, endMs, [...DESCRIBED_QUANTILES, 1]);
  return {
    measure,
    unit,
    count: 0,
    mean: area / endMs / scale,
    quantiles: quantiles.slice(0, -1).map((value) => value / scale),
    max: quantiles.at(-1)! / scale,
  };
}

function sharesOf(gpus: Float64Array): { gpus: number; share: number }[] {
  const counts = new Map<number, number>();
  for (const g of gpus) counts.set(g, (counts.get(g) ?? 0) + 1);
  return [...counts]
    .sort(([a], [b]) => a - b)
    .map(([g, count]) => ({ gpus: g, share: count / gpus.length }));
}

function loadOf(
  cluster: ClusterSize,
  endMs: number,
  busyGpuMs: number,
  reservedGpuMs: number,
  busy: Distribution,
  reserved: Distribution,
): OfferedLoad {
  const capacity = cluster.hosts * cluster.gpusPerHost;
  return {
    ...cluster,
    busyShare: busyGpuMs / endMs / capacity,
    peakBusyShare: busy.max / capacity,
    reservedShare: reservedGpuMs / endMs / capacity,
    peakReservedShare: reserved.max / capacity,
  };
}
