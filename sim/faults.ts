import type { Config, ScheduledFault } from '../core/config/options.ts';
import { NbosError } from '../core/errors.ts';
import { exponential, pick, STREAMS, type Stream, uniform } from './draws.ts';

const DAY_MS = 86_400_000;

/** How long a device stays excluded after a random fault, ms. */
export const DEVICE_EXCLUDED_MS = 3_600_000;

/** Faults that hold for a while; the others strike at one moment. */
const LASTING = ['slow-start', 'store-failure', 'scale-out-failure'] as const;

/** A fault that strikes at one moment. */
export type PointFault = ScheduledFault & {
  readonly kind: Exclude<ScheduledFault['kind'], (typeof LASTING)[number]>;
};

/**
 * Everything that goes wrong in a run, as pure functions of the configuration. Scheduled faults
 * that strike at one moment are a list; those that last are asked for by time. Random faults of a
 * host or a session are Poisson processes whose k-th gap is a draw for (its ordinal, k), so that
 * hosts can come and go at any time: ask for the next moment after the last one. Shares are a draw
 * for each thing that may fail.
 */
export class FaultPlan {
  /** Scheduled faults of one moment, by time, equal ones in the order given. */
  readonly scheduled: readonly PointFault[];

  readonly #seed: number;
  readonly #rates: ReturnType<typeof ratesOf>;
  readonly #slowStarts: Windows;
  readonly #storeFailures: Windows;
  readonly #scaleOutFailures: Windows;

  /** @throws NbosError config-bad-value, with the fault's place in the list, for a bad one */
  constructor(config: Config) {
    config.faults.forEach(checkFault);
    this.#seed = config.seed;
    this.#rates = ratesOf(config);
    this.scheduled = config.faults
      .filter((fault): fault is PointFault => !isLasting(fault))
      .sort((x, y) => x.atMs - y.atMs);
    const windowsOf = (kind: ScheduledFault['kind'], level: (fault: ScheduledFault) => number) =>
      new Windows(
        config.faults
          .filter((fault) => fault.kind === kind)
          .map((fault) => ({
            fromMs: fault.atMs,
            untilMs: fault.atMs + fault.forMs!,
            level: level(fault),
          })),
      );
    this.#slowStarts = windowsOf('slow-start', (fault) => fault.factor ?? config.slowStartFactor);
    this.#storeFailures = windowsOf('store-failure', () => 1);
    this.#scaleOutFailures = windowsOf('scale-out-failure', () => 1);
  }

  /** Moment at which a host that came up at `upMs` is lost; Infinity when it never is. */
  nextHostLossMs(host: number, upMs: number): number {
    return this.#next(STREAMS.hostLoss, this.#rates.hostLossPerDay, host, 0, upMs);
  }

  /**
   * Moment of the k-th (from 0) random exclusion of one of a host's devices, for
   * DEVICE_EXCLUDED_MS.
   * @param afterMs moment of the one before, or at which the host came up
   */
  nextDeviceExclusionMs(host: number, k: number, afterMs: number): number {
    return this.#next(STREAMS.deviceExclusion, this.#rates.deviceExcludedPerDay, host, k, afterMs);
  }

  /** Which of a host's devices the k-th exclusion hits. */
  excludedDevice(host: number, k: number, devices: number): number {
    return pick(uniform(this.#seed, STREAMS.excludedDevice, host, k, 0), devices);
  }

  /**
   * Moment of the k-th (from 0) random crash of a container of a session.
   * @param afterMs moment of the one before, or at which the session started
   */
  nextContainerCrashMs(session: number, k: number, afterMs: number): number {
    const perDay = this.#rates.containerCrashPerDay;
    return this.#next(STREAMS.containerCrash, perDay, session, k, afterMs);
  }

  /** Which of a session's replicas its k-th crash hits. */
  crashedReplica(session: number, k: number, replicas: number): number {
    return pick(uniform(this.#seed, STREAMS.crashedReplica, session, k, 0), replicas);
  }

  /** At least 1 ms after the moment before, so that a process always moves on. */
  #next(stream: Stream, perDay: number, ordinal: number, k: number, afterMs: number): number {
    if (perDay === 0) return Infinity;
    const gapMs = exponential(uniform(this.#seed, stream, ordinal, k, 0), DAY_MS / perDay);
    return afterMs + Math.max(1, Math.round(gapMs));
  }

  /** Whether a host asked for at `atMs` never comes up. */
  scaleOutFails(host: number, atMs: number): boolean {
    if (this.#scaleOutFailures.levelAt(atMs, 0) > 0) return true;
    return this.#strikes(STREAMS.scaleOutFailure, this.#rates.scaleOutFailureShare, host, 0, 0);
  }

  /** Whether the start of a container fails; keyed like its duration (latency.ts). */
  containerStartFails(session: number, item: number, attempt: number): boolean {
    const share = this.#rates.containerFailureShare;
    return this.#strikes(STREAMS.containerFailure, share, session, item, attempt);
  }

  /** Whether the chosen replica yields in this election although it could lead. */
  yields(session: number, cell: number, attempt: number): boolean {
    return this.#strikes(STREAMS.yield, this.#rates.yieldShare, session, cell, attempt);
  }

  #strikes(stream: Stream, share: number, a: number, b: number, c: number): boolean {
    return share > 0 && uniform(this.#seed, stream, a, b, c) < share;
  }

  /** How many times as long a container start takes that begins at `atMs`, by scheduled faults. */
  slowStartFactorAt(atMs: number): number {
    return this.#slowStarts.levelAt(atMs, 1);
  }

  /**
   * First moment, not before `atMs`, at which the store serves: a read or write begun in an outage
   * is repeated until then. `atMs` itself when there is no outage.
   */
  storeServesAtMs(atMs: number): number {
    return this.#storeFailures.endMs(atMs);
  }
}

interface Window {
  readonly fromMs: number;
  /** not part of it */
  readonly untilMs: number;
  readonly level: number;
}

/** A step function of time: the highest level of the windows that hold at a moment. */
class Windows {
  /** Where the level changes, ascending. */
  readonly #startsMs: readonly number[];
  /** Level from each start to the next; 0 where no window holds. */
  readonly #levels: readonly number[];

  constructor(windows: readonly Window[]) {
    const moments = windows.flatMap(({ fromMs, untilMs }) => [fromMs, untilMs]);
    const startsMs = [...new Set(moments)].sort((x, y) => x - y);
    this.#startsMs = startsMs;
    this.#levels = startsMs.map((ms) =>
      windows.reduce(
        (most, { fromMs, untilMs, level }) =>
          fromMs <= ms && ms < untilMs ? Math.max(most, level) : most,
        0,
      ),
    );
  }

  /** The level at a moment, `none` where no window holds. */
  levelAt(atMs: number, none: number): number {
    const level = this.#levels[this.#stepAt(atMs)] ?? 0;
    return level > 0 ? level : none;
  }

  /** The end of the unbroken run of windows around `atMs`; `atMs` itself outside of any. */
  endMs(atMs: number): number {
    let step = this.#stepAt(atMs);
    if ((this.#levels[step] ?? 0) === 0) return atMs;
    while (this.#levels[step]! > 0) step++;
    return this.#startsMs[step]!;
  }

  /** The last step that starts at or before `atMs`; -1 before the first. */
  #stepAt(atMs: number): number {
    let low = 0;
    let high = this.#startsMs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#startsMs[middle]! <= atMs) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

/** As a literal: a configuration, built key by key, is slow to read (see latency.ts). */
function ratesOf(config: Config) {
  return {
    hostLossPerDay: config.hostLossPerDay,
    deviceExcludedPerDay: config.deviceExcludedPerDay,
    containerCrashPerDay: config.containerCrashPerDay,
    scaleOutFailureShare: config.scaleOutFailureShare,
    containerFailureShare: config.containerFailureShare,
    yieldShare: config.yieldShare,
  };
}

function isLasting(fault: ScheduledFault): boolean {
  return (LASTING as readonly string[]).includes(fault.kind);
}

function checkFault(fault: ScheduledFault, i: number): void {
  const bad = (what: string, hint: string) =>
    new NbosError('config-bad-value', `option faults[${i}] (${fault.kind}): ${what}`, hint);
  if (!(fault.atMs >= 0 && fault.atMs < Infinity)) {
    throw bad(`atMs is ${fault.atMs}`, 'Give the moment in ms from the start of the run.');
  }
  if (isLasting(fault)) {
    if (!(fault.forMs !== undefined && fault.forMs > 0 && fault.forMs < Infinity)) {
      throw bad(`forMs is ${fault.forMs ?? 'missing'}`, 'Say how long it lasts, in ms.');
    }
    if (fault.factor !== undefined && !(fault.factor >= 1 && fault.factor < Infinity)) {
      throw bad(`factor is ${fault.factor}`, 'Give a factor of at least 1.');
    }
  } else if (!(Number.isInteger(fault.target) && fault.target >= 0)) {
    throw bad(`target is ${fault.target}`, 'Give the ordinal of the host or session, from 0.');
  }
}
