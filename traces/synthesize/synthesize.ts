import { NbosError } from '../../core/errors.ts';
import type { Trace } from '../trace.ts';
import { FILE_HOURS, synthesizePopulation } from './population.ts';
import { PROFILES, type ProfileName } from './profiles.ts';
import { synthesizeWindow } from './short.ts';

export interface SynthesisRequest {
  readonly profile: ProfileName;
  /** sessions of the trace; with `peakGpus` about as many */
  readonly sessions: number;
  /** length of the trace, hours */
  readonly hours: number;
  readonly seed: number;
  /** total number of cells, by scaling the cell counts of all sessions; from 720 hours on */
  readonly cells?: number | undefined;
  /** think times are multiplied by this; default 1 */
  readonly gapFactor?: number | undefined;
  /** most GPUs reserved at one moment; below 720 hours */
  readonly peakGpus?: number | undefined;
  /** bounds of the GPU-weighted busy share of reserved time, 0 … 1; below 720 hours */
  readonly busyShare?: readonly [least: number, most: number] | undefined;
}

const MOST_HOURS = 1_000_000;
const MOST_SESSIONS = 10_000_000;
const MOST_CELLS = 4_000_000_000;

/**
 * A workload with the marginals, the dependences and the burstiness of one of the two AdobeTrace
 * files, from a seed: no data of theirs is inside. Times are whole minutes but for one offset per
 * session. Models, data sets and state sizes are left out.
 *
 * From 720 hours on, sessions are as in the files. A shorter trace is a window of such a one, in
 * which notebooks are closed some hours after their last use, as in two-day production data.
 *
 * @throws NbosError usage for a request that contradicts itself; trace-unreachable when no seed
 * derived from the given one meets `peakGpus` and `busyShare`, or sessions cannot fit
 */
export function synthesize(request: SynthesisRequest): Trace {
  const { sessions, hours, seed, cells, gapFactor = 1 } = request;
  const profile = PROFILES[request.profile];
  if (profile === undefined)
    throw new NbosError(
      'usage',
      `--profile: expected ${Object.keys(PROFILES).join(' or ')}, found "${request.profile}"`,
    );
  requireRange('--sessions', sessions, 1, MOST_SESSIONS, true);
  requireRange('--hours', hours, 1, MOST_HOURS, false);
  requireRange('--seed', seed, 0, Number.MAX_SAFE_INTEGER, true);
  requireRange('gap factor', gapFactor, 0, 1000, false);
  if (cells !== undefined) requireRange('--cells', cells, sessions, MOST_CELLS, true);
  const { peakGpus, busyShare } = request;
  if (hours >= FILE_HOURS) {
    if (peakGpus !== undefined || busyShare !== undefined) refuse('peak and busy share', 'below');
    return synthesizePopulation({ profile, sessions, hours, seed, cells, gapFactor });
  }
  if (cells !== undefined) refuse('a number of cells', 'of at least');
  return synthesizeWindow({ profile, sessions, hours, seed, gapFactor, peakGpus, busyShare });
}

export interface DemoRequest {
  readonly seed: number;
  /** GPUs of the cluster; the peak of reserved GPUs stays at or below 0.95 of them */
  readonly capacityGpus?: number | undefined;
}

const DEMO_GPUS = 240;
const DEMO_PEAK = 0.95;
/** Inside 24 to 28 %, so that small differences in what counts as busy do not leave that. */
const DEMO_BUSY = [0.245, 0.275] as const;

/**
 * The workload of the demonstration: 17.5 hours, about 50 sessions of which some are open at the
 * start, 24 to 28 % of the reserved GPU time busy.
 */
export function synthesizeDemo({ seed, capacityGpus = DEMO_GPUS }: DemoRequest): Trace {
  return synthesize({
    profile: 'adobe-15s',
    sessions: Math.max(1, Math.round((50 * capacityGpus) / DEMO_GPUS)),
    hours: 17.5,
    seed,
    peakGpus: Math.floor(DEMO_PEAK * capacityGpus),
    busyShare: DEMO_BUSY,
  });
}

function requireRange(
  option: string,
  value: number,
  min: number,
  max: number,
  whole: boolean,
): void {
  if (value >= min && value <= max && (!whole || Number.isInteger(value))) return;
  throw new NbosError(
    'usage',
    `${option}: expected ${whole ? 'a whole number' : 'a number'} from ${min} to ${max}, ` +
      `found ${value}`,
  );
}

function refuse(what: string, relation: string): never {
  throw new NbosError(
    'usage',
    `${what} can be asked for only in a trace ${relation} ${FILE_HOURS} hours`,
    'Leave one of the two options out.',
  );
}
