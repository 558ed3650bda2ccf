import { basename } from 'node:path';
import type { OptionSet, PolicyEntry, TraceEntry } from '../matrix.ts';
import type { TraceChanges, TraceSpec } from '../trace-source.ts';

export interface StudyOptions {
  /** trace to cut windows from; without it a synthetic workload stands in */
  readonly trace?: string | undefined;
  /** seeds of the parts that draw workloads; each study has its own default */
  readonly seeds?: number | undefined;
}

/** The paper's cluster: 30 hosts of 8 GPUs, and a workload that reserves at most 95 % of them. */
export const HOSTS = 30;
export const GPUS_PER_HOST = 8;
const CAPACITY = HOSTS * GPUS_PER_HOST;
const PEAK_GPUS = 0.95 * CAPACITY;
const WINDOW_HOURS = 17.5;
/** A month as in the published file, and the season (June to August) that the paper simulates. */
const MONTH_HOURS = 720;
const SEASON_HOURS = 2208;
const SESSIONS_PER_MONTH = 345;

export const CLUSTER: OptionSet = {
  label: `${HOSTS}x${GPUS_PER_HOST}`,
  config: { hosts: HOSTS, gpusPerHost: GPUS_PER_HOST },
};

export function policies(...names: string[]): PolicyEntry[] {
  return names.map((name) => ({ label: name, policy: name, config: {} }));
}

export const NO_OPTIONS: readonly OptionSet[] = [{ label: '', config: {} }];

export function seedsUpTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1);
}

/** 17.5 hours that fit the cluster: windows of the trace, else the workload of the demonstration. */
export function excerpt({ trace }: StudyOptions, changes: TraceChanges = {}): TraceEntry {
  if (trace === undefined) return { label: 'demo', spec: { demo: {}, ...changes } };
  const spec: TraceSpec = { path: trace, ...windowed(changes) };
  return { label: `${basename(trace)}, ${WINDOW_HOURS} h`, spec };
}

/**
 * As `excerpt`, but from a whole month whose sessions stay open as long as its source tells:
 * cutting them means the same for a file and for the synthesis.
 */
export function excerptOfMonth(options: StudyOptions, changes: TraceChanges): TraceSpec {
  if (options.trace !== undefined) return { path: options.trace, ...windowed(changes) };
  return { synthesize: month(), ...windowed(changes) };
}

function windowed(changes: TraceChanges): TraceChanges {
  return { ...changes, windowHours: WINDOW_HOURS, peakGpus: PEAK_GPUS };
}

function month() {
  return { profile: 'adobe-15s', sessions: SESSIONS_PER_MONTH, hours: MONTH_HOURS } as const;
}

/** The whole trace, or a synthetic season of three months. */
export function season({ trace }: StudyOptions): TraceEntry {
  if (trace !== undefined) return { label: basename(trace), spec: { path: trace } };
  const sessions = Math.round((SESSIONS_PER_MONTH * SEASON_HOURS) / MONTH_HOURS);
  return {
    label: 'synthetic season',
    spec: { synthesize: { ...month(), sessions, hours: SEASON_HOURS } },
  };
}

/** The ways to cut sessions that a published file leaves open (none is stated in it). */
export interface Cut {
  readonly splitGapHours: number | undefined;
  readonly endPadMin: number;
  readonly splitOnGpuChange: boolean;
}

export function allCuts(): Cut[] {
  const cuts: Cut[] = [];
  for (const splitOnGpuChange of [false, true])
    for (const splitGapHours of [undefined, 24, 8, 2])
      for (const endPadMin of [0, 30, 120])
        cuts.push({ splitGapHours, endPadMin, splitOnGpuChange });
  return cuts;
}

export function cutLabel({ splitGapHours, endPadMin, splitOnGpuChange }: Cut): string {
  const gap = splitGapHours === undefined ? 'uncut' : `cut > ${splitGapHours} h`;
  return `${gap}, pad ${endPadMin} min${splitOnGpuChange ? ', GPU split' : ''}`;
}

export function cutTraces(options: StudyOptions): TraceEntry[] {
  return allCuts().map((cut) => ({
    label: cutLabel(cut),
    spec: excerptOfMonth(options, {
      ...(cut.splitGapHours === undefined ? {} : { splitGapHours: cut.splitGapHours }),
      ...(cut.endPadMin > 0 ? { endPadMin: cut.endPadMin } : {}),
      ...(cut.splitOnGpuChange ? { splitOnGpuChange: true } : {}),
    }),
  }));
}

/** The command that repeats a study. */
export function commandOf(name: string, { trace, seeds }: StudyOptions): string {
  const parts = ['nbos experiment run', name];
  if (trace !== undefined) parts.push('--trace', trace);
  if (seeds !== undefined) parts.push('--seeds', String(seeds));
  return parts.join(' ');
}
