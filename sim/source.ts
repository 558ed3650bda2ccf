import { resolve } from 'node:path';
import type { HostType, PartialConfig } from '../core/config/options.ts';
import { type Arguments, numberOf } from '../traces/command-line.ts';
import { resample, sample } from '../traces/sample.ts';
import type { ImportNote, Trace } from '../traces/trace.ts';
import { loadWithProgress } from '../traces/trace-actions.ts';
import { importRequest, windowRequest } from '../traces/trace-flags.ts';

/** How a run came by its trace: kept in run.json, so that `explain` can get the same one again. */
export interface TraceSource {
  /** absolute */
  readonly path: string;
  readonly import: Arguments;
  readonly window?: ReturnType<typeof windowRequest> | undefined;
  /** seed of the bootstrap of sessions */
  readonly resample?: number | undefined;
}

/** The source that a command line names; window and sample are drawn by `--seed`. */
export function sourceOf(given: Arguments, path: string): TraceSource {
  const window = windowRequest(given, numberOf(given, 'seed') ?? 1);
  const isCut = window.windowMs !== undefined || window.peakGpus !== undefined;
  return {
    path: resolve(path),
    import: importRequest(given),
    ...(isCut ? { window } : {}),
  };
}

export interface SourcedTrace {
  readonly trace: Trace;
  readonly notes: readonly ImportNote[];
  /** options of the hosts that the trace was recorded on; empty where it does not say */
  readonly recordedOn: PartialConfig;
}

export async function loadSource(given: Arguments, source: TraceSource): Promise<SourcedTrace> {
  const { trace, notes, hostTypes } = await loadWithProgress(given, source.path, source.import);
  const cut = source.window === undefined ? trace : sample(trace, source.window);
  const drawn = source.resample === undefined ? cut : resample(cut, source.resample);
  return { trace: drawn, notes, recordedOn: hostTypes ? allHosts(hostTypes) : {} };
}

/** All hosts of a node list may be up at once. */
function allHosts(hostTypes: readonly HostType[]): PartialConfig {
  return { hostTypes, hosts: hostTypes.reduce((sum, { maxHosts }) => sum + maxHosts, 0) };
}
