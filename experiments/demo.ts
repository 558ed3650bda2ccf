import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { NbosError } from '../core/errors.ts';
import { writeNativeTrace } from '../traces/native-writer.ts';
import { makeFolder } from '../traces/output-file.ts';
import { synthesizeDemo } from '../traces/synthesize/index.ts';
import type { Trace } from '../traces/trace.ts';
import type { CompareOptions, Comparison } from './compare.ts';
import { writeReport } from './report.ts';

export interface DemoOptions {
  readonly seed: number;
  /** folder of results; a demonstration that lies there is replaced */
  readonly out: string;
  readonly compare: (options: CompareOptions) => Promise<Comparison>;
}

export interface Demo {
  readonly trace: Trace;
  readonly comparison: Comparison;
  /** path of report.html */
  readonly report: string;
  readonly hosts: number;
}

const HOSTS = 30;
const GPUS_PER_HOST = 8;
const POLICY_NAMES = ['reservation', 'batch-fcfs', 'notebookos', 'lcp'];

/** Synthesises the workload of a working day, compares four policies on it and draws the report. */
export async function runDemo({ seed, out, compare }: DemoOptions): Promise<Demo> {
  const trace = synthesizeDemo({ seed, capacityGpus: HOSTS * GPUS_PER_HOST });
  makeFolder(out);
  const traceFolder = join(out, 'trace');
  writeNativeTrace(trace, traceFolder, { seed, replace: true });
  const comparison = await compare({
    trace,
    policies: POLICY_NAMES,
    config: { hosts: HOSTS, gpusPerHost: GPUS_PER_HOST, seed },
    out,
    replace: true,
    source: { path: resolve(traceFolder), import: { format: 'native' } },
  });
  rmSync(join(out, 'report.html'), { force: true });
  const report = (await writeReport(out)).find((file) => file.endsWith('report.html'));
  if (report === undefined) throw new NbosError('file-unwritable', `${out}: no report was written`);
  return { trace, comparison, report, hosts: HOSTS };
}
