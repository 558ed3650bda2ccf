import { existsSync } from 'node:fs';
import { NbosError } from '../../core/errors.ts';
import { vectorForGpus } from '../../core/resources.ts';
import { TraceBuilder } from '../build.ts';
import { floats, shorts, words } from '../growable.ts';
import type { ImportOptions } from '../import-options.ts';
import { joinProgress } from '../input-file.ts';
import { NameList } from '../interning.ts';
import { tablePath } from '../native-header.ts';
import { readTable } from '../table.ts';
import type { TableRow } from '../table-row.ts';
import { MS_PER_S, noteIgnored, parseDateTime } from './fields.ts';
import type { ImportContext, Imported, Importer } from './importer.ts';

const GPU_FILE = 'gpu.csv';
const CPU_FILE = 'cpu.csv';
const MEMORY_FILE = 'memory.csv';
const MOST_NAMES = 0xffff;
/** beyond it numbers are surely ms, not s */
const MOST_SECONDS = 1e11;
const MOST_VALUE = 1e18;

/** Samples of one kind, as columns, in file order. */
class Samples {
  readonly pod = words();
  readonly timeMs = floats();
  readonly gpu = shorts();
  readonly value = floats();

  /** For each pod the positions of its samples, in order of time and GPU. */
  byPod(pods: number): Uint32Array[] {
    const count = this.pod.length;
    const first = new Uint32Array(pods + 1);
    for (let i = 0; i < count; i++) first[this.pod.data[i]! + 1]!++;
    for (let p = 0; p < pods; p++) first[p + 1]! += first[p]!;
    const next = first.slice(0, pods);
    const order = new Uint32Array(count);
    for (let i = 0; i < count; i++) order[next[this.pod.data[i]!]!++] = i;
    const time = this.timeMs.data;
    const gpu = this.gpu.data;
    return Array.from({ length: pods }, (_, p) => {
      const own = order.subarray(first[p], first[p + 1]);
      return own.sort((a, b) => time[a]! - time[b]! || gpu[a]! - gpu[b]!);
    });
  }
}

/**
 * Utilisation samples as a monitoring system exports them: a cell is a run of samples of a pod
 * above the threshold, short idle gaps bridged, and ends at the first idle sample; a session ends
 * when GPU and CPU samples are both missing for long. CPU and memory values have no unit, so they
 * are not used: sessions claim the usual share for their GPUs, as many as they were seen with.
 */
async function read(context: ImportContext): Promise<Imported> {
  const { options, notes, path } = context;
  const files = [GPU_FILE, CPU_FILE, MEMORY_FILE].map((name) => tablePath(path, name));
  const progress = joinProgress(files, context.onProgress);
  const [gpuPath, cpuPath, memoryPath] = files as [string, string, string];
  const pods = new NameList('pods', 0xffffffff);
  const gpus = new NameList('GPU names', MOST_NAMES);
  const gpuSamples = new Samples();
  const gpuTable = await readTable(
    gpuPath,
    { required: ['timestamp', 'exported_pod', 'gpu', 'value'], optional: ['vram'] },
    (row) => {
      readPod(row, pods, gpuSamples);
      if (row.isEmpty(2)) row.fail(2, 'a GPU');
      gpuSamples.gpu.push(gpus.numberOf(row.text(2)));
      gpuSamples.value.push(row.number(3, 0, 100));
    },
    progress(gpuPath),
  );
  noteIgnored(gpuTable, notes, gpuPath);
  const cpuSamples = new Samples();
  for (const file of [cpuPath, memoryPath]) {
    if (!existsSync(file)) {
      notes.add('samples-missing', 'files that are not there: sessions may be cut too early', file);
      continue;
    }
    const samples = file === cpuPath ? cpuSamples : new Samples();
    await readTable(
      file,
      { required: ['timestamp', 'pod', 'value'] },
      (row) => {
        row.number(2, 0, MOST_VALUE);
        readPod(row, pods, samples);
        samples.gpu.push(0);
      },
      progress(file),
    );
  }
  notes.add('values-ignored', 'CPU, memory and VRAM values: claims follow from the GPUs', path);
  const builder = new TraceBuilder();
  const gpuOrders = gpuSamples.byPod(pods.names.length);
  const cpuOrders = cpuSamples.byPod(pods.names.length);
  const intervalMs = intervalOf(context, gpuSamples, gpuOrders);
  for (let pod = 1; pod < pods.names.length; pod++) {
    const name = pods.names[pod]!;
    refuseTwice(gpuSamples, gpuOrders[pod]!, `${gpuPath}: pod "${name}"`);
    refuseTwice(cpuSamples, cpuOrders[pod]!, `${cpuPath}: pod "${name}"`);
    const gpu = gpuOrders[pod]!;
    const cpu = cpuOrders[pod]!;
    addPod(builder, options, { name, intervalMs, gpuSamples, cpuSamples, gpu, cpu });
  }
  const { name, source, licence } = context;
  return { trace: builder.build({ name, source, licence, rebase: true }) };
}

function readPod(row: TableRow, pods: NameList, samples: Samples): void {
  const text = row.text(0);
  const dated = parseDateTime(text);
  const ms = dated >= 0 ? dated : Math.round(row.number(0, 0, MOST_SECONDS) * MS_PER_S);
  if (row.isEmpty(1)) row.fail(1, 'a pod');
  samples.timeMs.push(ms);
  samples.pod.push(pods.numberOf(row.text(1)));
}

function refuseTwice(samples: Samples, order: Uint32Array, where: string): void {
  const { timeMs, gpu } = samples;
  for (let i = 1; i < order.length; i++) {
    const a = order[i - 1]!;
    const b = order[i]!;
    if (timeMs.data[a] === timeMs.data[b] && gpu.data[a] === gpu.data[b])
      throw new NbosError(
        'trace-duplicate',
        `${where} has two samples at ${timeMs.data[b]! / MS_PER_S} s`,
        'Remove repeated samples.',
      );
  }
}

/** The time between samples, ms: as told, else the most common step of one GPU's samples. */
function intervalOf(context: ImportContext, samples: Samples, orders: Uint32Array[]): number {
  const told = context.options.rawIntervalS * MS_PER_S;
  if (told > 0) return told;
  const counts = new Map<number, number>();
  for (const order of orders) {
    const last = new Map<number, number>();
    for (const i of order) {
      const gpu = samples.gpu.data[i]!;
      const time = samples.timeMs.data[i]!;
      const before = last.get(gpu);
      if (before !== undefined) counts.set(time - before, (counts.get(time - before) ?? 0) + 1);
      last.set(gpu, time);
    }
  }
  counts.delete(0);
  const [step] = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0])[0] ?? [];
  if (step === undefined)
    throw new NbosError(
      'trace-bad-value',
      `${context.path}: too few samples to tell the time between them`,
      'Name it with --raw-interval.',
    );
  context.notes.add(
    'interval-inferred',
    `the time between samples is taken as ${step / MS_PER_S} s (--raw-interval sets it)`,
    context.path,
  );
  return step;
}

interface Pod {
  readonly name: string;
  readonly intervalMs: number;
  readonly gpuSamples: Samples;
  readonly cpuSamples: Samples;
  readonly gpu: Uint32Array;
  readonly cpu: Uint32Array;
}

/** Walks both kinds of samples of a pod in order of time and cuts them into sessions. */
function addPod(builder: TraceBuilder, options: ImportOptions, pod: Pod): void {
  const { intervalMs, gpu, cpu } = pod;
  // n samples are missing when the next comes n + 1 intervals later, give or take half of one.
  const gpuReach = (options.rawGpuMissing + 0.5) * intervalMs;
  const cpuReach = (options.rawCpuMissing + 0.5) * intervalMs;
  let g = 0;
  let c = 0;
  let startMs = -1;
  let lastMs = -1;
  let aliveUntil = -1;
  let firstGpu = 0;
  let sessions = 0;
  const close = (): void => {
    const id = sessions === 0 ? pod.name : `${pod.name}.${sessions + 1}`;
    addSession(builder, options, pod, { id, startMs, lastMs, own: gpu.subarray(firstGpu, g) });
    sessions++;
  };
  while (g < gpu.length || c < cpu.length) {
    const gpuMs = g < gpu.length ? pod.gpuSamples.timeMs.data[gpu[g]!]! : Number.POSITIVE_INFINITY;
    const cpuMs = c < cpu.length ? pod.cpuSamples.timeMs.data[cpu[c]!]! : Number.POSITIVE_INFINITY;
    const now = Math.min(gpuMs, cpuMs);
    if (startMs < 0 || now >= aliveUntil) {
      if (startMs >= 0) close();
      startMs = now;
      firstGpu = g;
      aliveUntil = now;
    }
    const fromGpu = gpuMs <= cpuMs;
    aliveUntil = Math.max(aliveUntil, now + (fromGpu ? gpuReach : cpuReach));
    lastMs = now;
    if (fromGpu) g++;
    else c++;
  }
  if (startMs >= 0) close();
}

interface SessionSpan {
  readonly id: string;
  readonly startMs: number;
  /** time of the last sample */
  readonly lastMs: number;
  /** its GPU samples in order of time */
  readonly own: Uint32Array;
}

function addSession(
  builder: TraceBuilder,
  options: ImportOptions,
  pod: Pod,
  span: SessionSpan,
): void {
  const { intervalMs, gpuSamples } = pod;
  const { timeMs, gpu, value } = gpuSamples;
  const seen = new Set<number>();
  for (const i of span.own) seen.add(gpu.data[i]!);
  const session = builder.addSession({
    id: span.id,
    startMs: span.startMs,
    endMs: span.lastMs + Math.round(intervalMs),
    shape: vectorForGpus(seen.size * 1_000),
  });
  const bridge = (options.rawBridgeSamples + 1.5) * intervalMs;
  let submitMs = -1;
  let lastActive = -1;
  let busy = new Set<number>();
  let sum = 0;
  let count = 0;
  const close = (endMs: number): void => {
    builder.addCell({
      session,
      submitMs,
      durationMs: endMs - submitMs,
      shape: vectorForGpus(busy.size * 1_000),
      utilizationPct: Math.round(sum / count),
    });
    submitMs = -1;
    busy = new Set();
    sum = count = 0;
  };
  /** first sample after the last active one; the end, should the gap prove long */
  let firstIdle = -1;
  const endOf = (): number => {
    const due = lastActive + Math.round(intervalMs);
    return firstIdle >= 0 && firstIdle < lastActive + 1.5 * intervalMs ? firstIdle : due;
  };
  for (const i of span.own) {
    const time = timeMs.data[i]!;
    if (submitMs >= 0 && time > lastActive && firstIdle < 0) firstIdle = time;
    if (value.data[i]! <= options.rawThresholdPct) continue;
    if (submitMs >= 0 && time - lastActive >= bridge) close(endOf());
    if (submitMs < 0) submitMs = time;
    lastActive = time;
    firstIdle = -1;
    busy.add(gpu.data[i]!);
    sum += value.data[i]!;
    count++;
  }
  if (submitMs >= 0) close(endOf());
}

export const raw: Importer = {
  format: 'raw',
  title: 'a folder of utilisation samples: gpu.csv, cpu.csv, memory.csv',
  tellingColumns: [],
  tellingFile: GPU_FILE,
  read,
};
