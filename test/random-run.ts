import type { Config, HostType, PartialConfig, ScheduledFault } from '../core/config/options.ts';
import { hash4 } from '../core/hash.ts';
import { PLACEMENTS } from '../core/placements/index.ts';
import { POLICIES } from '../core/policies/index.ts';
import type { Policy } from '../core/policies/policy.ts';
import { type ResourceVector, vector, vectorForGpus } from '../core/resources.ts';
import { configFor } from '../sim/policy-file.ts';
import { TraceBuilder } from '../traces/build.ts';
import { NoteList } from '../traces/notes.ts';
import { fitToHosts } from '../traces/oversize.ts';
import type { Trace } from '../traces/trace.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

export interface RandomRun {
  readonly trace: Trace;
  readonly policy: Policy;
  readonly config: Config;
}

/** A stream of numbers that depends on the seed alone. */
export class Dice {
  private readonly seed: number;
  private drawn = 0;

  constructor(seed: number) {
    this.seed = seed;
  }

  /** An integer from `least` to `most`. */
  between(least: number, most: number): number {
    return least + (hash4(this.seed, this.drawn++, 77, 0) % (most - least + 1));
  }

  chance(percent: number): boolean {
    return this.between(1, 100) <= percent;
  }

  of<T>(items: readonly T[]): T {
    return items[this.between(0, items.length - 1)]!;
  }
}

/**
 * A whole simulation drawn from a seed: a small cluster, a policy with its options, faults, and a
 * trace of a few sessions that the cluster can carry.
 */
export function randomRun(seed: number): RandomRun {
  const dice = new Dice(seed);
  const policy = POLICIES[dice.of(Object.keys(POLICIES))]!;
  const replicas = policy.replicated ? dice.of([1, 3, 3, 5]) : 1;
  const hostTypes = randomHostTypes(dice, replicas);
  const faulty = dice.chance(60);
  const config = configFor(policy, {
    ...randomCluster(dice, hostTypes, replicas),
    ...randomScheduling(dice, policy),
    ...randomLatencies(dice),
    ...(faulty ? randomFaults(dice) : {}),
    seed,
  });
  const trace = randomTrace(dice, hostTypes, config);
  return { trace: fitToHosts(trace, hostTypes, 'clip', new NoteList()), policy, config };
}

/**
 * Each type alone could hold all replicas of a kernel, and all types can be at their most at once.
 */
function randomHostTypes(dice: Dice, replicas: number): HostType[] {
  return Array.from({ length: dice.of([1, 1, 2, 3]) }, (_, index) => {
    const gpus = dice.between(1, 8);
    return {
      name: `type-${index}`,
      gpus,
      cpuMillis: 8_000 * gpus,
      memoryMb: 61_000 * gpus,
      vramMb: 16_000 * gpus,
      gpuType: index === 0 ? '' : dice.of(['', 'A100', 'V100']),
      speed: dice.of([0.5, 1, 1, 2]),
      maxHosts: replicas + dice.between(1, 4),
      pricePerHour: gpus,
    };
  });
}

function randomCluster(dice: Dice, hostTypes: HostType[], replicas: number): PartialConfig {
  const hosts = hostTypes.reduce((sum, type) => sum + type.maxHosts, 0);
  return {
    hosts,
    hostTypes,
    replicas,
    // A fixed cluster has hosts of every type, since `hosts` is the sum of them.
    fixed: dice.chance(15),
    minHosts: dice.between(0, 3),
    deviceIds: dice.chance(85),
    scaleIntervalMs: dice.of([1_000, 10_000, 30_000]),
    scaleInHoldMs: dice.of([0, 60_000, 300_000]),
    scaleInMax: dice.between(1, 3),
    emptyHostHoldMs: dice.of([0, 60_000, 300_000]),
    maxStandbyPerReleasedHost: dice.of([0, 4, 1_000_000]),
    maxSubscriptionRatio: dice.of([1, 2, 7, 7]),
    subscriptionSamples: dice.of([1, 5]),
  };
}

function randomScheduling(dice: Dice, policy: Policy): PartialConfig {
  const options: Record<string, unknown> = {};
  if (dice.chance(30)) options['placement'] = dice.of(Object.keys(PLACEMENTS));
  if (dice.chance(40)) options['scaling'] = dice.of(['predictive', 'on-demand']);
  if (dice.chance(30)) options['bufferHosts'] = dice.between(0, 3);
  if (dice.chance(50)) options['queueOrder'] = dice.of(['fifo', 'sjf']);
  if (dice.chance(20)) options['strictOrder'] = true;
  if (dice.chance(20)) options['queueLimit'] = dice.between(1, 4);
  if (dice.chance(10)) options['placementQueueLimit'] = dice.between(1, 2);
  if (dice.chance(10)) options['kernelQueueLimit'] = dice.between(1, 2);
  if (dice.chance(50)) options['starvationMs'] = dice.of([0, 1_000, 60_000]);
  if (dice.chance(30)) options['maxAttempts'] = dice.between(1, 8);
  if (dice.chance(30)) options['retryAborted'] = false;
  if (dice.chance(50)) options['replyAfter'] = dice.of(['run', 'commit', 'write']);
  if (dice.chance(60)) {
    options['prewarmPool'] = dice.of(['none', 'minimum', 'fixed', 'littles-law']);
    options['prewarmPerHost'] = dice.between(-1, 3);
    options['prewarmMaxPerHost'] = dice.between(-1, 4);
    options['prewarmFixed'] = dice.between(0, 8);
    options['prewarmWindowMs'] = dice.of([1, 60_000, 600_000]);
  }
  if (policy.container === 'session' && dice.chance(40)) {
    options['reclamation'] = dice.of(['adobe', 'colab', 'custom']);
    options['reclaimAfterMs'] = dice.of([1, MINUTE_MS, 10 * MINUTE_MS]);
  }
  options['loop'] = dice.of(['closed', 'open']);
  return options;
}

function randomLatencies(dice: Dice): PartialConfig {
  if (dice.chance(60)) return {};
  // Everything at once: many events share a millisecond.
  const zero = { coldStartMedianMs: 0, hostStartMeanMs: 0, hostStartSdMs: 0, hostStopMeanMs: 0 };
  const hops = { gatewayMinMs: 0, gatewayMaxMs: 0, prewarmedMinMs: 0, prewarmedMaxMs: 0 };
  return { ...zero, ...hops, hostStopSdMs: 0, stateMedianMb: 0, deviceStartMs: 0 };
}

function randomFaults(dice: Dice): PartialConfig {
  const perDay = () => (dice.chance(40) ? dice.of([5, 50, 400]) : 0);
  const share = () => (dice.chance(40) ? dice.of([0.02, 0.3]) : 0);
  const faults: ScheduledFault[] = [];
  for (let left = dice.between(0, 6); left > 0; left--) faults.push(...scheduledFault(dice));
  return {
    faults,
    hostLossPerDay: perDay(),
    deviceExcludedPerDay: perDay(),
    containerCrashPerDay: perDay(),
    slowStartShare: share(),
    storeFailureShare: share(),
    scaleOutFailureShare: share(),
    containerFailureShare: share(),
    yieldShare: share(),
  };
}

function scheduledFault(dice: Dice): ScheduledFault[] {
  const atMs = dice.between(0, 2 * HOUR_MS);
  const target = dice.between(0, 6);
  const kind = dice.of([
    'host-loss',
    'device-excluded',
    'container-crash',
    'slow-start',
    'store-failure',
    'scale-out-failure',
    'yield-next',
  ] as const);
  const detail = dice.between(0, 3);
  if (kind === 'device-excluded') {
    const back = atMs + dice.between(0, HOUR_MS);
    return [
      { kind, atMs, target, detail },
      { kind: 'device-restored', atMs: back, target, detail },
    ];
  }
  return [{ kind, atMs, target, detail, forMs: dice.between(1, HOUR_MS), factor: 3 }];
}

function randomTrace(dice: Dice, hostTypes: readonly HostType[], config: Config): Trace {
  const builder = new TraceBuilder();
  const sessions = dice.between(1, 8);
  for (let session = 0; session < sessions; session++) {
    // Only types that some host has and all replicas of a kernel find room on.
    const gpuType = dice.chance(70) ? '' : dice.of(hostTypes).gpuType;
    const largest = Math.max(
      ...hostTypes
        .filter((type) => gpuType === '' || type.gpuType === gpuType)
        .filter((type) => type.maxHosts >= config.replicas)
        .map((type) => type.gpus),
    );
    const gpusOf = () => gpuMillis(dice, largest);
    const startMs = dice.between(0, HOUR_MS);
    let at = startMs + dice.between(0, MINUTE_MS);
    const cells: { submitMs: number; durationMs: number; shape: ResourceVector }[] = [];
    const fixed = gpusOf();
    for (let cell = dice.between(0, 6); cell > 0; cell--) {
      const durationMs = dice.of([0, dice.between(1, 90_000), dice.between(1, HOUR_MS)]);
      cells.push({ submitMs: at, durationMs, shape: dice.chance(50) ? fixed : gpusOf() });
      at += durationMs + dice.of([0, dice.between(0, MINUTE_MS), dice.between(0, HOUR_MS)]);
    }
    const endMs = at + dice.of([0, dice.between(0, 10 * MINUTE_MS)]);
    const shape = cells.length === 0 ? gpusOf() : undefined;
    const handle = builder.addSession({
      id: `s${session}`,
      startMs,
      endMs,
      gpuType,
      ...(shape === undefined ? {} : { shape }),
    });
    for (const cell of cells) builder.addCell({ session: handle, ...cell });
  }
  return builder.build({ name: 'random', source: 'drawn from a seed' });
}

function gpuMillis(dice: Dice, largest: number): ResourceVector {
  if (dice.chance(8)) return vector(dice.between(0, 4_000), dice.between(0, 16_000), 0, 0);
  if (dice.chance(25)) return vectorForGpus(dice.of([100, 250, 500, 700]));
  return vectorForGpus(1000 * dice.between(1, largest));
}
