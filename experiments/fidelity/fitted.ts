import { type Execution, STEP } from '../../core/books/execution-book.ts';
import type { PartialConfig, Quantiles } from '../../core/config/options.ts';
import type { StartContainer } from '../../core/effects.ts';
import { mean, quantileSorted, sortedCopy } from '../../traces/quantiles.ts';
import { type JournalPart, replayPart } from './journal.ts';

/** ms of each step of a live run that the simulator draws, one value an occurrence. */
export interface StepSamples {
  /** on the way to the executor; of a kernel of one replica until its code runs */
  readonly gateway: number[];
  /** until the executor is elected and has the state of the cells before */
  readonly election: number[];
  readonly stateCommit: number[];
  readonly deviceLoad: number[];
  /** of a kernel that opens: its user waits for it before the first cell */
  readonly openingStart: number[];
  /** of a replica that a cell waits for */
  readonly coldStart: number[];
  readonly prewarmedStart: number[];
  readonly hostStart: number[];
  /** commits that moved a replica */
  readonly migration: number[];
  readonly stateRead: number[];
}

/** Collects what a recorded run says about how long things take. */
export function stepSamples(part: JournalPart): StepSamples {
  const samples: StepSamples = {
    gateway: [],
    election: [],
    stateCommit: [],
    deviceLoad: [],
    openingStart: [],
    coldStart: [],
    prewarmedStart: [],
    hostStart: [],
    migration: [],
    stateRead: [],
  };
  const starts = new Map<number, { at: number; into: number[] }>();
  const hosts = new Map<number, number>();
  const alone = new Set<number>();
  replayPart(part, {
    watch: () => undefined,
    before: () => undefined,
    after: (event, effects) => {
      if (event.kind === 'container-started') {
        const start = starts.get(event.container);
        start?.into.push(event.at - start.at);
        starts.delete(event.container);
      } else if (event.kind === 'session-opened') {
        if (event.replicas === 1) alone.add(event.session);
      } else if (event.kind === 'host-up') {
        const asked = hosts.get(event.host);
        if (asked !== undefined) samples.hostStart.push(event.at - asked);
      } else if (event.kind === 'replica-joined') {
        samples.migration.push(event.migrationMs);
        samples.stateRead.push(event.stateReadMs);
      }
      for (const effect of effects) {
        if (effect.kind === 'start-container' && effect.start !== 'same') {
          starts.set(effect.container, { at: event.at, into: startsOf(samples, effect) });
        } else if (effect.kind === 'provision-host') hosts.set(effect.host, event.at);
        else if (effect.kind === 'reply' && effect.status === 'completed')
          addSteps(samples, effect.execution, alone.has(effect.session));
      }
    },
  });
  return samples;
}

function startsOf(samples: StepSamples, { start, cell }: StartContainer): number[] {
  if (cell === -1) return samples.openingStart;
  return start === 'cold' ? samples.coldStart : samples.prewarmedStart;
}

function addSteps(samples: StepSamples, execution: Execution, isAlone: boolean): void {
  const { steps, need, migrations } = execution;
  // What a move read is in the move already.
  const readMs = migrations === 0 ? steps[STEP.state_read]! : 0;
  const electedMs = steps[STEP.election]! + readMs;
  // The simulator draws no commits for one replica.
  samples.gateway.push(steps[STEP.gateway]! + (isAlone ? electedMs : 0));
  if (!isAlone) {
    samples.election.push(electedMs);
    samples.stateCommit.push(steps[STEP.state_commit]!);
  }
  if (need.gpuMillis > 0) samples.deviceLoad.push(steps[STEP.device_load]!);
}

/**
 * Options of the simulator under which its steps take as long as those of a live run: quantiles
 * where it draws from a table, else the parameters of its distribution. What did not occur in the
 * live run keeps its default. A drawn model or data set would add time that no live cell spent, so
 * there are none.
 */
export function fittedLatencies(samples: StepSamples): PartialConfig {
  const { election, stateCommit } = samples;
  const deviceStartMs = mean(samples.deviceLoad);
  return {
    ...hops(samples.gateway),
    ...(election.length === 0 ? {} : { raftCommitMs: quantilesOf(election) }),
    ...(stateCommit.length === 0 ? {} : { stateCommitMs: quantilesOf(stateCommit) }),
    ...migration(samples, mean(election)),
    ...starts(samples),
    ...hostStarts(samples.hostStart),
    deviceStartMs: Number.isNaN(deviceStartMs) ? 0 : deviceStartMs,
    modelSizesMb: {},
    datasetSizesMb: {},
    slowStartShare: 0,
    storeFailureShare: 0,
  };
}

/**
 * A uniform distribution around the median of the samples, as wide as most of them: most are short
 * and a few very long, which a mean would spread over all. Replies, which the simulator draws
 * alike, count in no delay.
 */
function hops(samples: readonly number[]): PartialConfig {
  if (samples.length === 0) return {};
  const sorted = sortedCopy(Float64Array.from(samples));
  const middle = quantileSorted(sorted, 0.5);
  const reach = Math.min(middle, (quantileSorted(sorted, 0.9) - quantileSorted(sorted, 0.1)) / 2);
  return { gatewayMinMs: middle - reach, gatewayMaxMs: middle + reach };
}

const PERCENTS = [0, 10, 25, 50, 75, 90, 95, 99, 100] as const;

/** Points of the empirical quantile function; the simulator draws between them. */
function quantilesOf(samples: readonly number[]): Quantiles {
  const sorted = sortedCopy(Float64Array.from(samples));
  return PERCENTS.map((percent) => [percent, quantileSorted(sorted, percent / 100)] as const);
}

/** Moving a replica is so many commits; its state comes at a rate from a state of 1 MB. */
function migration({ migration: moves, stateRead }: StepSamples, commitMs: number): PartialConfig {
  if (moves.length === 0) return {};
  const readMs = mean(stateRead);
  return {
    ...(commitMs > 0
      ? { migrationCommits: Math.min(100, Math.round(mean(moves) / commitMs)) }
      : {}),
    stateMedianMb: readMs > 0 ? 1 : 0,
    stateSigma: 0,
    storeVariationPct: 0,
    ...(readMs > 0 ? { storeReadMbPerS: 1_000 / readMs } : {}),
  };
}

/**
 * As starts that cells waited for. Where there were none, as the shortest of all: users of the live
 * run sent their first cell when their kernel was there, and a longer start would delay it again.
 */
function starts({ coldStart, prewarmedStart, openingStart }: StepSamples): PartialConfig {
  const shortest = Math.min(...openingStart, ...coldStart, ...prewarmedStart);
  if (!Number.isFinite(shortest)) return {};
  const cold = coldStart.length === 0 ? [shortest] : coldStart;
  const warm = prewarmedStart.length === 0 ? [shortest] : prewarmedStart;
  const logs = cold.map((ms) => Math.log(Math.max(1, ms)));
  const middle = mean(logs);
  const variance = mean(logs.map((each) => (each - middle) ** 2));
  return {
    coldStartMedianMs: Math.exp(middle),
    coldStartSigma: Math.sqrt(variance),
    prewarmedMinMs: Math.min(...warm),
    prewarmedMaxMs: Math.max(...warm),
  };
}

function hostStarts(samples: readonly number[]): PartialConfig {
  if (samples.length === 0) return {};
  const middle = mean(samples);
  const sd = Math.sqrt(mean(samples.map((each) => (each - middle) ** 2)));
  return { hostStartMeanMs: middle, hostStartSdMs: sd };
}
