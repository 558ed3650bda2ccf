import type { Host } from './books/host-book.ts';
import { DIMENSIONS, type ResourceVector } from './resources.ts';
import type { State } from './state.ts';

/**
 * The ratio that `host` would have with `need` more: the largest over the dimensions of
 * (subscribed + need) / spec / replicas. A dimension that the host lacks counts as 0.
 */
export function ratioWith(state: State, host: Host, need: Readonly<ResourceVector>): number {
  let most = 0;
  for (const d of DIMENSIONS) {
    const spec = host.spec[d];
    if (spec === 0) continue;
    const ratio = (host.subscribed[d] + need[d]) / spec;
    if (ratio > most) most = ratio;
  }
  return most / state.config.replicas;
}

/**
 * Whether a replica with this need is above the limit on this host. A refusal is remembered, so that
 * a scaling round can be set for the moment at which the limit would admit it.
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
  for (let i = Math.min(count, window); i > 0; i--) samples.push(sample);
  if (samples.length > window) samples.splice(0, samples.length - window);
  state.scaling.limit = limitOf(samples, state.config.maxSubscriptionRatio);
}

/** clamp(mean of the samples, 1, maximum); the maximum before the first sample. */
export function limitOf(samples: readonly number[], maximum: number): number {
  if (samples.length === 0) return maximum;
  let sum = 0;
  for (const sample of samples) sum += sample;
  return Math.min(maximum, Math.max(1, sum / samples.length));
}

/** The limit as of `at`, with the samples of rounds since the last step that nothing has taken yet. */
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
