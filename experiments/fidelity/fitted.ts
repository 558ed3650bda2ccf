import type { PartialConfig, Quantiles } from '../../core/config/options.ts';
import { mean, quantileSorted, sortedCopy } from '../../traces/quantiles.ts';
import type { StepSamples } from './step-samples.ts';

/**
 * Options of the simulator under which its steps take as long as those of a live run: the quantiles
 * of each step. What did not occur in the live run keeps its default. A drawn model or data set
 * would add time that no live cell spent, so there are none.
 */
export function fittedLatencies(samples: StepSamples): PartialConfig {
  const { election, executorChange } = samples;
  const deviceStartMs = mean(samples.deviceLoad);
  return {
    ...table('requestHopMs', samples.requestHop),
    ...table('replyHopMs', samples.replyHop),
    // In a run without a second cell in a row on one replica nothing is known of such a one.
    ...table('raftCommitMs', election.length > 0 ? election : executorChange),
    ...table('executorChangeMs', executorChange),
    ...table('stateCommitMs', samples.stateCommit),
    ...table('soloStartMs', samples.soloStart),
    ...table('soloCommitMs', samples.soloCommit),
    ...table('migrationMs', samples.migration),
    ...table('stateReadMs', samples.stateRead),
    ...table('stateWriteMs', samples.stateWrite),
    ...starts(samples),
    ...hostStarts(samples.hostStart),
    deviceStartMs: Number.isNaN(deviceStartMs) ? 0 : deviceStartMs,
    modelSizesMb: {},
    datasetSizesMb: {},
    slowStartShare: 0,
    storeFailureShare: 0,
  };
}

const PERCENTS = [0, 5, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95, 97.5, 99, 100] as const;

/** Points of the empirical quantile function; the simulator draws between them. */
function table<Name extends keyof PartialConfig>(
  name: Name,
  samples: readonly number[],
): PartialConfig {
  if (samples.length === 0) return {};
  const sorted = sortedCopy(Float64Array.from(samples));
  const points: Quantiles = PERCENTS.map(
    (percent) => [percent, quantileSorted(sorted, percent / 100)] as const,
  );
  return { [name]: points };
}

/**
 * A kernel that opens takes as long as the fastest did: users of the live run sent their first cell
 * when their kernel was there, and a longer start would delay it again.
 */
function starts({
  coldStart,
  poolStart,
  prewarmedStart,
  openingStart,
  renewal,
}: StepSamples): PartialConfig {
  return {
    // Where no cell waited for one, those of the pool are all that is known.
    ...table('coldStartMs', coldStart.length > 0 ? coldStart : poolStart),
    ...table('poolStartMs', poolStart),
    ...table('prewarmedStartMs', prewarmedStart),
    ...table('renewalMs', renewal),
    ...table('openingStartMs', openingStart.length === 0 ? [] : [Math.min(...openingStart)]),
  };
}

function hostStarts(samples: readonly number[]): PartialConfig {
  if (samples.length === 0) return {};
  const middle = mean(samples);
  const sd = Math.sqrt(mean(samples.map((each) => (each - middle) ** 2)));
  return { hostStartMeanMs: middle, hostStartSdMs: sd };
}
