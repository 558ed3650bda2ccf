import type { Host } from './books/host-book.ts';
import type { ResourceVector } from './resources.ts';
import type { State } from './state.ts';

/**
 * The ratio that `host` would have with `need` more: the largest over the dimensions of
 * (subscribed + need) / spec / replicas. A dimension that the host lacks counts as 0.
 */
export function ratioWith(state: State, host: Host, need: Readonly<ResourceVector>): number {
  const { subscribed, spec } = host;
  return (
    Math.max(
      share(subscribed.gpuMillis + need.gpuMillis, spec.gpuMillis),
      share(subscribed.cpuMillis + need.cpuMillis, spec.cpuMillis),
      share(subscribed.memoryMb + need.memoryMb, spec.memoryMb),
      share(subscribed.vramMb + need.vramMb, spec.vramMb),
    ) / state.config.replicas
  );
}

function share(claimed: number, spec: number): number {
  return spec === 0 ? 0 : claimed / spec;
}

/**
 * Whether a replica with this need is above the limit on this host. A refusal is remembered, so
 * that a scaling round can be set for the moment at which the limit would admit it.
 */
export function exceedsLimit(state: State, host: Host, need: Readonly<ResourceVector>): boolean {
  const ratio = ratioWith(state, host, need);
  if (ratio <= state.scaling.limit) return false;
  if (ratio < state.scaling.wantedLimit) {
    state.scaling.wantedLimit = ratio;
    state.scaling.dirty = true;
  }
  return true;
}

/** Most subscribed GPUs / GPUs of a host under the limit, over all replicas of a kernel. */
export function mostClaimed(state: State): number {
  return state.scaling.limit * state.config.replicas;
}

/**
 * Remembers a search that found no host below the limit, as `exceedsLimit` does for one. Where
 * hosts below it were refused for another reason, it is not known which of those above would serve:
 * then any rise of the limit may.
 */
export function noteLimited(state: State, need: Readonly<ResourceVector>): void {
  const { scaling } = state;
  const ratio = state.index.leastRatioWith(need.gpuMillis) / state.config.replicas;
  const wanted = ratio > scaling.limit ? ratio : scaling.limit * (1 + 4 * Number.EPSILON);
  if (wanted >= scaling.wantedLimit) return;
  scaling.wantedLimit = wanted;
  scaling.dirty = true;
}

/** Demanded / busy GPUs now; the configured maximum while nothing is busy. */
export function currentSample(state: State): number {
  const { demandedGpuMillis, runningGpuMillis, leasedGpuMillis } = state.totals;
  const busy = Math.max(runningGpuMillis, leasedGpuMillis);
  return busy === 0 ? state.config.maxSubscriptionRatio : demandedGpuMillis / busy;
}

/** Adds the present sample `count` times (more than the window holds changes nothing further). */
export function addSamples(state: State, count: number): void {
  const { samples } = state.scaling;
  const window = state.config.subscriptionSamples;
  const sample = currentSample(state);
  for (let left = Math.min(count, window); left > 0; left--) {
    if (samples.length < window) {
      samples.push(sample);
      continue;
    }
    // Shifted by hand: this runs at every round, and the list is a handful of numbers.
    for (let i = 1; i < window; i++) samples[i - 1] = samples[i]!;
    samples[window - 1] = sample;
  }
  state.scaling.limit = limitOf(samples, state.config.maxSubscriptionRatio);
}

/** clamp(mean of the samples, 1, maximum); the maximum before the first sample. */
export function limitOf(samples: readonly number[], maximum: number): number {
  if (samples.length === 0) return maximum;
  let sum = 0;
  for (const sample of samples) sum += sample;
  return Math.min(maximum, Math.max(1, sum / samples.length));
}

/**
 * The limit as of `at`, with the samples of rounds since the last step that nothing has taken yet.
 */
export function limitAt(state: State, at: number): number {
  const { samples, lastTick } = state.scaling;
  const { subscriptionSamples, scaleIntervalMs, maxSubscriptionRatio } = state.config;
  const due = Math.ceil(at / scaleIntervalMs) - 1 - lastTick;
  if (due <= 0) return state.scaling.limit;
  const added = Math.min(due, subscriptionSamples);
  const kept = samples.slice(Math.max(0, samples.length + added - subscriptionSamples));
  for (let i = 0; i < added; i++) kept.push(currentSample(state));
  return limitOf(kept, maxSubscriptionRatio);
}

/**
 * After how many further samples like the present one the limit reaches `wanted`: 1 … window, or
 * Infinity when it would not.
 */
export function samplesUntil(state: State, wanted: number): number {
  const window = state.config.subscriptionSamples;
  const samples = [...state.scaling.samples];
  const sample = currentSample(state);
  for (let count = 1; count <= window; count++) {
    samples.push(sample);
    if (samples.length > window) samples.shift();
    if (limitOf(samples, state.config.maxSubscriptionRatio) >= wanted) return count;
  }
  return Number.POSITIVE_INFINITY;
}
