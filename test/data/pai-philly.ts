import { join } from 'node:path';
import { readBytes } from '../../traces/input-file.ts';
import { PROJECT_ROOT } from '../skip.ts';

/** Jobs of pai-philly-20000.csv.gz in file order: hundredths of a GPU and of a CPU, seconds. */
export interface PaiJobs {
  readonly count: number;
  readonly id: Uint32Array;
  readonly submitS: Float64Array;
  readonly gpuCenti: Float64Array;
  readonly cpuCenti: Float64Array;
  readonly durationS: Float64Array;
}

const COLUMNS = 5;

/** Reads `id,submit_s,gpu_centi,cpu_centi,duration_s`; the file has no header. */
export async function readPaiPhilly(): Promise<PaiJobs> {
  const chunks: Buffer[] = [];
  const path = join(PROJECT_ROOT, 'test', 'data', 'pai-philly-20000.csv.gz');
  for await (const chunk of readBytes(path)) chunks.push(chunk);
  const lines = Buffer.concat(chunks).toString('latin1').trimEnd().split('\n');
  const rows = lines.map((line, i) => {
    const fields = line.split(',').map(Number);
    if (fields.length !== COLUMNS || !fields.every(Number.isInteger))
      throw new Error(`${path}:${i + 1}: ${line}`);
    return fields;
  });
  const column = (c: number) => Float64Array.from(rows, (fields) => fields[c]!);
  return {
    count: rows.length,
    id: Uint32Array.from(column(0)),
    submitS: column(1),
    gpuCenti: column(2),
    cpuCenti: column(3),
    durationS: column(4),
  };
}
