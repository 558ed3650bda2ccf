import { NbosError } from '../../core/errors.ts';
import { hash4 } from '../../core/hash.ts';
import { type ResourceVector, vector, vectorForGpus } from '../../core/resources.ts';
import { TraceBuilder } from '../build.ts';
import { streamJsonArray } from '../json-stream.ts';
import { badMember, gpuMillisOf } from './fields.ts';
import type { ImportContext, Imported, Importer } from './importer.ts';

const TICK_MS = 60_000;
const MB_PER_GB = 1_000;
const ANY_GPU = 'ANY_GPU';
const SAMPLE_STREAM = 0x73616d70;
const MOST_TICKS = 1e9;
const MOST = 1e12;

type Json = Record<string, unknown>;

/**
 * NotebookOS' workload JSON in both dialects; they differ only in the names around `sessions`. A tick
 * is 60 s. A training is a cell; its GPUs are the length of `gpu_utilizations`.
 */
async function read(context: ImportContext): Promise<Imported> {
  const { options, notes, path } = context;
  let fraction = 1;
  if (options.sample) {
    // The fraction may stand after the sessions.
    fraction = fractionOf(await streamJsonArray(path, 'sessions', () => {}), path);
  }
  const builder = new TraceBuilder();
  const settings = await streamJsonArray(
    path,
    'sessions',
    (session, position) => {
      const where = `${path}: sessions[${position}]`;
      if (hash4(options.seed, SAMPLE_STREAM, position, 0) >= fraction * 2 ** 32) {
        notes.add('session-not-sampled', 'dropped: sessions outside the sample', where);
        return;
      }
      addSession(builder, context, session, where);
    },
    context.onProgress,
  );
  const asked = fractionOf(settings, path);
  if (asked !== 1 && !options.sample)
    notes.add(
      'sample-not-applied',
      `the file asks for a fraction of ${asked} of its sessions; all are kept (--sample applies it)`,
      path,
    );
  const factor = settings['timescale_adjustment_factor'] ?? settings['timescaleAdjustmentFactor'];
  if (factor !== undefined)
    notes.add(
      'timescale-ignored',
      `timescale adjustment factor ${JSON.stringify(factor)}: matters to live replay only`,
      path,
    );
  if (settings['remote_storage_definition'] ?? settings['remoteStorageDefinition'])
    notes.add(
      'storage-ignored',
      'the remote storage definition is no part of a trace: set the latency options instead',
      path,
    );
  const title = settings['workloadTitle'] ?? settings['name'];
  const name = typeof title === 'string' && title !== '' ? title : context.name;
  const seed = settings['workloadSeed'] ?? settings['seed'];
  const { source, licence } = context;
  const trace = builder.build({ name, source, licence, rebase: true });
  return { trace, seed: typeof seed === 'number' ? seed : undefined };
}

function fractionOf(settings: Json, path: string): number {
  const name =
    'sessions_sample_percentage' in settings
      ? 'sessions_sample_percentage'
      : 'sessionsSamplePercentage';
  const value = settings[name] ?? 1;
  // 0 is how the form's dialect says "not set".
  if (value === 0) return 1;
  if (typeof value !== 'number' || !(value > 0 && value <= 1))
    badMember(`${path}: ${name}`, value, 'a fraction above 0 and at most 1');
  return value;
}

function addSession(
  builder: TraceBuilder,
  context: ImportContext,
  session: Json,
  where: string,
): void {
  const id = session['id'];
  if (typeof id !== 'string' || id === '') badMember(`${where}.id`, id, 'a name');
  if (builder.sessionOf(id) !== undefined)
    throw new NbosError('trace-duplicate', `${where}: session "${id}" exists twice`, 'Rename one.');
  const startMs = ticks(session, 'start_tick', where);
  const endMs = ticks(session, 'stop_tick', where);
  if (endMs < startMs)
    throw new NbosError(
      'trace-order',
      `${where}.stop_tick: the session stops before it starts`,
      'Correct the ticks.',
    );
  const request = session['max_resource_request'] as Json | undefined;
  const gpuType = request?.['gpu_type'];
  const shape =
    request === undefined
      ? undefined
      : shapeOf(
          request,
          gpuMillisOf(
            quantity(request, 'gpus', `${where}.max_resource_request`, 0),
            context.notes,
            () => `${where}.max_resource_request.gpus`,
          ),
          `${where}.max_resource_request`,
        );
  const handle = builder.addSession({
    id,
    startMs,
    endMs,
    ...(shape ? { shape } : {}),
    gpuType: typeof gpuType === 'string' && gpuType !== ANY_GPU ? gpuType : '',
  });
  const trainings = session['trainings'] ?? [];
  if (!Array.isArray(trainings)) badMember(`${where}.trainings`, trainings, 'a list');
  let previous = startMs;
  trainings.forEach((training: Json, i) => {
    const place = `${where}.trainings[${i}]`;
    if (typeof training !== 'object' || training === null) badMember(place, training, 'an object');
    const submitMs = ticks(training, 'start_tick', place);
    if (submitMs < previous || submitMs > endMs)
      throw new NbosError(
        'trace-order',
        `${place}.start_tick: tick ${submitMs / TICK_MS} is ${
          submitMs > endMs ? 'after the session stops' : 'before what stands ahead of it'
        }`,
        'Put the trainings in order of time, inside their session.',
      );
    previous = submitMs;
    addTraining(builder, context, { handle, session, training, place, submitMs });
  });
}

interface Training {
  readonly handle: number;
  readonly session: Json;
  readonly training: Json;
  readonly place: string;
  readonly submitMs: number;
}

function addTraining(builder: TraceBuilder, context: ImportContext, t: Training): void {
  const { training, place } = t;
  const durationMs = ticks(training, 'duration_in_ticks', place);
  const utilizations = training['gpu_utilizations'];
  if (!Array.isArray(utilizations))
    badMember(`${place}.gpu_utilizations`, utilizations, 'a list with an entry for each GPU');
  const gpus = utilizations.length;
  const stated = training['gpus'];
  if (stated !== undefined && stated !== gpus)
    context.notes.add(
      'gpu-count-differs',
      'trainings whose "gpus" differs from the length of gpu_utilizations, which counts',
      `${place}.gpus`,
    );
  let sum = 0;
  utilizations.forEach((entry: Json, i) => {
    const at = `${place}.gpu_utilizations[${i}]`;
    sum += quantity(entry ?? {}, 'utilization', at, undefined, 100);
  });
  const model = t.session['assigned_model'];
  const dataset = t.session['assigned_dataset'];
  builder.addCell({
    session: t.handle,
    submitMs: t.submitMs,
    durationMs,
    shape: shapeOf(training, gpus * 1_000, place),
    ...(gpus > 0 ? { utilizationPct: Math.round(sum / gpus) } : {}),
    ...(typeof model === 'string' ? { model } : {}),
    ...(typeof dataset === 'string' ? { dataset } : {}),
  });
}

function shapeOf(request: Json, gpuMillis: number, where: string): ResourceVector {
  const share = vectorForGpus(gpuMillis);
  return vector(
    Math.ceil(quantity(request, 'cpus', where, share.cpuMillis)),
    Math.ceil(quantity(request, 'memory', where, share.memoryMb)),
    gpuMillis,
    Math.ceil(quantity(request, 'vram', where, share.vramMb / MB_PER_GB) * MB_PER_GB),
  );
}

function ticks(holder: Json, name: string, where: string): number {
  return Math.round(quantity(holder, name, where, undefined, MOST_TICKS) * TICK_MS);
}

/** A member that is a number in 0 … `most`; `missing` stands in when it is not there. */
function quantity(
  holder: Json,
  name: string,
  where: string,
  missing?: number,
  most = MOST,
): number {
  const value = holder[name] ?? missing;
  if (typeof value !== 'number' || !(value >= 0 && value <= most))
    badMember(
      `${where}.${name}`,
      value,
      most === MOST ? 'a number of at least 0' : `a number from 0 to ${most}`,
    );
  return value;
}

export const template: Importer = {
  format: 'template',
  title: "NotebookOS' workload JSON, both dialects",
  tellingColumns: [],
  jsonStart: '{',
  read,
};
