import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { NbosError } from '../core/errors.ts';
import type { ImportOptions, TraceFormat } from '../traces/import-options.ts';
import { loadTrace } from '../traces/load.ts';
import { padSessions, resample, sample, scaleGaps, splitSessions } from '../traces/sample.ts';
import { type ProfileName, synthesize, synthesizeDemo } from '../traces/synthesize/index.ts';
import type { Trace } from '../traces/trace.ts';

/** Changes to a trace, made in this order. */
export interface TraceChanges {
  readonly splitGapHours?: number | undefined;
  readonly splitOnGpuChange?: boolean | undefined;
  readonly endPadMin?: number | undefined;
  readonly gapScale?: number | undefined;
  readonly windowHours?: number | undefined;
  /** most GPUs that the sessions drawn may reserve at one moment */
  readonly peakGpus?: number | undefined;
}

export interface FileTrace extends TraceChanges {
  readonly path: string;
  readonly format?: TraceFormat | 'auto' | undefined;
  readonly import?: Partial<ImportOptions> | undefined;
}

export interface SyntheticTrace extends TraceChanges {
  readonly synthesize: {
    readonly profile: ProfileName;
    readonly sessions: number;
    readonly hours: number;
    readonly seed?: number | undefined;
  };
}

/** The workload of the demonstration: 17.5 hours at the size of a cluster. */
export interface DemoTrace extends TraceChanges {
  readonly demo: { readonly seed?: number | undefined; readonly capacityGpus?: number | undefined };
}

/** Where a workload comes from: a file or a synthesis, and what is done to it. */
export type TraceSpec = FileTrace | SyntheticTrace | DemoTrace;

/**
 * The trace of a run. With `resample` each seed gets sessions of its own: another window where the
 * trace is cut to one, else another synthesis, else a bootstrap of the file's sessions. Without it
 * every seed gets the same trace.
 */
export async function buildTrace(spec: TraceSpec, seed: number, again: boolean): Promise<Trace> {
  if (spec.windowHours !== undefined || spec.peakGpus !== undefined) {
    return sample(await baseTrace(spec), {
      windowMs: spec.windowHours === undefined ? undefined : spec.windowHours * HOUR_MS,
      peakGpus: spec.peakGpus,
      seed: again ? seed : 1,
    });
  }
  if ('path' in spec && again) return resample(await baseTrace(spec), seed);
  return baseTrace(spec, again ? seed : undefined);
}

const HOUR_MS = 3_600_000;
const LOADED_KEPT = 2;

/** Keeps the last few traces: runs that follow each other mostly share one. */
class Recent {
  readonly #traces = new Map<string, Promise<Trace>>();

  get(key: string, make: () => Promise<Trace>): Promise<Trace> {
    const known = this.#traces.get(key);
    if (known !== undefined) return known;
    if (this.#traces.size >= LOADED_KEPT) this.#traces.delete(this.#traces.keys().next().value!);
    const made = make();
    this.#traces.set(key, made);
    made.catch(() => this.#traces.delete(key));
    return made;
  }
}

const sources = new Recent();
const changedTraces = new Recent();

function baseTrace(spec: TraceSpec, seed?: number): Promise<Trace> {
  const { windowHours, peakGpus, ...rest } = spec;
  return changedTraces.get(canonicalJson([rest, seed]), async () => {
    const { splitGapHours, splitOnGpuChange, endPadMin, gapScale, ...origin } = rest;
    const trace = await sources.get(canonicalJson([origin, seed]), () => source(spec, seed));
    return changed(trace, spec);
  });
}

async function source(spec: TraceSpec, seed: number | undefined): Promise<Trace> {
  if ('path' in spec) {
    const options = { format: spec.format ?? 'auto', ...spec.import };
    return (await loadTrace(spec.path, options)).trace;
  }
  if ('demo' in spec) return synthesizeDemo({ ...spec.demo, seed: seed ?? spec.demo.seed ?? 1 });
  return synthesize({ ...spec.synthesize, seed: seed ?? spec.synthesize.seed ?? 1 });
}

function changed(trace: Trace, spec: TraceSpec): Trace {
  const { splitGapHours, splitOnGpuChange, endPadMin = 0, gapScale } = spec;
  let result = trace;
  if (splitGapHours !== undefined || splitOnGpuChange) {
    result = splitSessions(result, {
      ...(splitGapHours === undefined ? {} : { gapMs: splitGapHours * HOUR_MS }),
      onGpuChange: splitOnGpuChange ?? false,
      endPadMs: endPadMin * 60_000,
    });
  }
  if (endPadMin > 0) result = padSessions(result, endPadMin * 60_000);
  return gapScale === undefined ? result : scaleGaps(result, gapScale);
}

const identities = new Map<string, Promise<string>>();

/**
 * What a trace is made from, as text: the checksum of its bytes or the request of its synthesis,
 * and every change. Equal identities under equal code give equal traces, so results are keyed by it
 * without loading the trace. Throws `file-not-found`.
 */
export async function traceIdentity(spec: TraceSpec): Promise<string> {
  if (!('path' in spec)) return canonicalJson(withoutLabel(spec));
  const { path, ...rest } = withoutLabel(spec) as FileTrace;
  let content = identities.get(path);
  if (content === undefined) identities.set(path, (content = contentHash(path)));
  return canonicalJson({ content: await content, ...rest });
}

function withoutLabel(spec: TraceSpec): TraceSpec {
  const { label, ...rest } = spec as TraceSpec & { label?: string };
  return rest;
}

/** SHA-256 of a file, or of the tables and descriptions of a folder, by name. */
async function contentHash(path: string): Promise<string> {
  if (!existsSync(path))
    throw new NbosError('file-not-found', `${path}: no such trace`, 'Check the path.');
  const hash = createHash('sha256');
  if (!statSync(path).isDirectory()) {
    await addFile(hash, path);
    return hash.digest('hex');
  }
  const names = readdirSync(path).filter((name) => /\.(csv|json)(\.gz)?$/.test(name));
  for (const name of names.sort()) {
    hash.update(`${name}\0`);
    await addFile(hash, join(path, name));
  }
  return hash.digest('hex');
}

async function addFile(hash: ReturnType<typeof createHash>, path: string): Promise<void> {
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
}

/** JSON with the members of every object in alphabetical order, undefined ones left out. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => {
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
