import type { HostType, PartialConfig } from '../../core/config/options.ts';
import { vector } from '../../core/resources.ts';
import { TraceBuilder } from '../../traces/build.ts';
import type { Trace } from '../../traces/trace.ts';
import { readPaiPhilly } from '../data/pai-philly.ts';
import { INSTANT } from './instant.ts';

/** 650,000 hundredths of a GPU and 15,093,000 of a CPU, as thousandths; the rest never binds. */
export const POOL: HostType = {
  name: 'pool',
  gpus: 6_500,
  cpuMillis: 150_930_000,
  memoryMb: 1,
  vramMb: 1,
  gpuType: '',
  speed: 1,
  maxHosts: 1,
  pricePerHour: 0,
};

export function oneHost(host: HostType): PartialConfig {
  const cluster = { hosts: 1, fixed: true, hostTypes: [host], deviceIds: false, starvationMs: 0 };
  return { ...INSTANT, ...cluster };
}

/** One session per job, open from the start, named so that they are in the order of their ids. */
export async function philly(): Promise<Trace> {
  const jobs = await readPaiPhilly();
  const builder = new TraceBuilder();
  for (let job = 0; job < jobs.count; job++) {
    const submitMs = 1000 * jobs.submitS[job]!;
    const durationMs = 1000 * jobs.durationS[job]!;
    const session = builder.addSession({
      id: String(jobs.id[job]!).padStart(8, '0'),
      startMs: 0,
      endMs: submitMs + durationMs,
    });
    const shape = vector(10 * jobs.cpuCenti[job]!, 0, 10 * jobs.gpuCenti[job]!, 0);
    builder.addCell({ session, submitMs, durationMs, shape });
  }
  return builder.build({ name: 'pai-philly-20000', source: 'Microsoft philly-traces' });
}
