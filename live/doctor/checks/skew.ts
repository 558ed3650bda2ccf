import { ok, problem, type Told, warning } from '../finding.ts';

/** Dates in HTTP and in file systems are of whole seconds. */
const GRAIN_MS = 3_000;
/** Beyond this S3 and TLS refuse. */
const REFUSED_MS = 300_000;
const TODO = 'Set the clocks by NTP (timedatectl set-ntp true) on both.';

/** What a difference of clocks means; `ms` is how far the other one is ahead. */
export function skewTold(clock: string, ms: number): Told {
  const size = Math.abs(ms);
  if (size <= GRAIN_MS) return ok(`${clock} agrees with ours`);
  const found = `${clock} is ${Math.round(size / 1000)} s ${ms > 0 ? 'ahead of' : 'behind'} ours`;
  return size > REFUSED_MS ? problem(found, TODO) : warning(found, TODO);
}
