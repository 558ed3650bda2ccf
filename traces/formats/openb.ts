import type { HostType } from '../../core/config/options.ts';
import { NbosError } from '../../core/errors.ts';
import { vector } from '../../core/resources.ts';
import { TraceBuilder } from '../build.ts';
import { readTable } from '../table.ts';
import type { TableRow } from '../table-row.ts';
import { gpuMillisOf, MS_PER_S, noteIgnored, rowMs } from './fields.ts';
import type { ImportContext, Imported, Importer } from './importer.ts';

const POD_COLUMNS = [
  'name',
  'cpu_milli',
  'memory_mib',
  'num_gpu',
  'gpu_milli',
  'creation_time',
  'deletion_time',
  'scheduled_time',
] as const;
const POD_OPTIONAL = ['gpu_spec', 'qos', 'pod_phase'] as const;
const GPU_SPEC = POD_COLUMNS.length;
const NODE_COLUMNS = ['sn', 'cpu_milli', 'memory_mib', 'gpu', 'model'] as const;
const MB_PER_MIB = 1.048576;
/** neither list tells GPU memory: pods and nodes get the same share per GPU */
const VRAM_MB_PER_GPU = 16_000;
const MOST_MIB = 1e9;
const MOST_GPUS = 100_000;
const PRICE_PER_GPU_HOUR = 24.48 / 8;

/**
 * Alibaba's cluster-trace-gpu-v2023: a pod is a session with one cell, submitted at creation, that
 * lasts from scheduling to deletion. Pods never scheduled, or never deleted, are dropped and
 * counted.
 */
async function read(context: ImportContext): Promise<Imported> {
  const { notes, options, path, onProgress } = context;
  const builder = new TraceBuilder();
  const onRow = (row: TableRow): void => {
    const id = row.text(0);
    if (id === '') row.fail(0, 'a name');
    const cpuMillis = row.integer(1);
    const memoryMb = Math.round(row.number(2, 0, MOST_MIB) * MB_PER_MIB);
    const gpus = row.integer(3, 0, MOST_GPUS) * row.number(4, 0, 1_000);
    const gpuMillis = gpuMillisOf(gpus / 1_000, notes, () => row.where(4));
    const created = rowMs(row, 5, MS_PER_S);
    if (row.isEmpty(7)) {
      notes.at('pod-unscheduled', 'dropped: pods that were never scheduled', row, 7);
      return;
    }
    if (row.isEmpty(6)) {
      notes.at('pod-not-deleted', 'dropped: pods whose end is not known', row, 6);
      return;
    }
    const scheduled = rowMs(row, 7, MS_PER_S);
    const deleted = rowMs(row, 6, MS_PER_S);
    if (scheduled < created) row.fail(7, 'a time not before creation_time');
    if (deleted < scheduled) row.fail(6, 'a time not before scheduled_time');
    if (builder.sessionOf(id) !== undefined)
      throw new NbosError(
        'trace-duplicate',
        `${row.where(0)}: pod "${id}" exists twice`,
        'Keep one of the two rows.',
      );
    const durationMs = deleted - scheduled;
    const shape = vector(
      cpuMillis,
      memoryMb,
      gpuMillis,
      Math.round((gpuMillis / 1_000) * VRAM_MB_PER_GPU),
    );
    const endMs = created + durationMs;
    const session = builder.addSession({ id, startMs: created, endMs, gpuType: gpuType(row) });
    builder.addCell({ session, submitMs: created, durationMs, shape });
  };
  const gpuType = (row: TableRow): string => {
    const spec = row.text(GPU_SPEC);
    if (!spec.includes('|')) return spec;
    notes.at(
      'gpu-spec-alternatives',
      'placed on any GPU type: pods that name several types to choose from',
      row,
      GPU_SPEC,
    );
    return '';
  };
  const columns = { required: POD_COLUMNS, optional: POD_OPTIONAL };
  noteIgnored(await readTable(path, columns, onRow, onProgress), notes, path);
  const { name, source, licence } = context;
  const trace = builder.build({ name, source, licence, rebase: true });
  if (options.nodes === '') return { trace };
  return { trace, hostTypes: await readOpenbNodes(options.nodes) };
}

/**
 * The node list as host types: one for each distinct (CPU, memory, GPUs, model), most frequent
 * first, named after the model; `maxHosts` is how many nodes there are. Prices are in proportion to
 * GPUs.
 * @throws NbosError as `readTable`
 */
export async function readOpenbNodes(path: string): Promise<HostType[]> {
  const kinds = new Map<string, { count: number; type: Omit<HostType, 'name' | 'maxHosts'> }>();
  await readTable(path, { required: NODE_COLUMNS }, (row) => {
    const cpuMillis = row.integer(1);
    const memoryMb = Math.round(row.number(2, 0, MOST_MIB) * MB_PER_MIB);
    const gpus = row.integer(3, 0, MOST_GPUS);
    const gpuType = row.text(4);
    const vramMb = gpus * VRAM_MB_PER_GPU;
    const pricePerHour = gpus * PRICE_PER_GPU_HOUR;
    const type = { gpus, cpuMillis, memoryMb, vramMb, gpuType, speed: 1, pricePerHour };
    const key = JSON.stringify(type);
    const kind = kinds.get(key);
    if (kind === undefined) kinds.set(key, { count: 1, type });
    else kind.count++;
  });
  const names = new Map<string, number>();
  const sorted = [...kinds.values()].sort((a, b) => b.count - a.count);
  return sorted.map(({ count, type }) => {
    const base = `${type.gpuType || 'cpu'}-x${type.gpus}`;
    const before = names.get(base) ?? 0;
    names.set(base, before + 1);
    return { name: before === 0 ? base : `${base}-${before + 1}`, ...type, maxHosts: count };
  });
}

export const openb: Importer = {
  format: 'openb',
  title: "Alibaba's 2023 pods: name,cpu_milli,memory_mib,num_gpu,gpu_milli,…,scheduled_time",
  tellingColumns: POD_COLUMNS,
  read,
};
