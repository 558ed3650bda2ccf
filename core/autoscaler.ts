import type { Host } from './books/host-book.ts';
import { armRelease } from './containers.ts';
import { isHeldOff, provision, unmatchedGpuMillis } from './demand.ts';
import { releaseHost, startDrain } from './hosts.ts';
import { retryPlacements } from './kernels.ts';
import { drainReplicas } from './migration.ts';
import { ZERO } from './resources.ts';
import type { State } from './state.ts';
import { addSamples, samplesUntil } from './subscription.ts';
import { renewPromises, serveWaiting } from './waiting.ts';

/**
 * Scaling rounds and subscription samples fall on the multiples of `scaleIntervalMs`, after all
 * other events of that millisecond. A round that can change nothing is not run: its sample is taken
 * later, by multiplicity, since nothing it depends on has changed in between.
 */

/** GPU-millis that hosts are wanted for: committed, and waiting without a pending host. */
function load(state: State): number {
  return state.totals.leasedGpuMillis + unmatchedGpuMillis(state);
}

function hostsFor(state: State, factor: number): number {
  const gpuMillis = Math.max(1, state.hostTypes[0]!.gpus * 1000);
  const { bufferHosts, loadBufferHosts } = state.config;
  const buffer = loadBufferHosts === -1 ? bufferHosts : loadBufferHosts;
  return Math.ceil((factor * load(state)) / gpuMillis) + buffer;
}

/** Hosts wanted: clamp(ceil(f x load / g) + buffer, min, max); on demand, the minimum. */
function target(state: State): number {
  const { min, max } = state.bounds;
  if (state.config.scaling === 'none') return 0;
  if (state.config.scaling === 'on-demand') return min;
  return Math.min(max, Math.max(min, hostsFor(state, state.config.scaleOutFactor)));
}

/** Hosts above which some are released: ceil(l x load / g) + buffer, at least the minimum. */
function upperLimit(state: State): number {
  return Math.max(state.bounds.min, hostsFor(state, state.config.scaleInFactor));
}

function active(state: State): number {
  return state.up.length + state.pending.length;
}

/** Takes the samples of all rounds before `before`; the state has not changed since the last. */
export function takeSamplesBefore(state: State, before: number): void {
  const { scaling, config } = state;
  const last = Math.ceil(before / config.scaleIntervalMs) - 1;
  const count = last - scaling.lastTick;
  if (count <= 0) return;
  addSamples(state, count);
  scaling.dirty = true;
  if (state.up.length <= upperLimit(state)) scaling.holdSinceTick = -1;
  else if (scaling.holdSinceTick === -1) scaling.holdSinceTick = scaling.lastTick + 1;
  scaling.lastTick = last;
}

/** The scaling round at the present moment, which is a multiple of the interval. */
export function scalingRound(state: State): void {
  const { scaling } = state;
  scaling.armedAt = Number.POSITIVE_INFINITY;
  scaling.dirty = true;
  takeSamplesBefore(state, state.now + 1);
  scaling.wantedLimit = Number.POSITIVE_INFINITY;
  retryPlacements(state);
  serveWaiting(state, null);
  // Claims change with the pending hosts, so that a round that asks for none changes nothing.
  let renews = state.now === scaling.heldOffUntilTick * state.config.scaleIntervalMs;
  for (let more = target(state) - active(state); more > 0; more--) {
    if (provision(state, ZERO, '') === undefined) break;
    renews = true;
  }
  if (renews) renewPromises(state);
  if (state.config.scaling === 'predictive' && holdHasPassed(state)) scaleIn(state);
}

function holdHasPassed(state: State): boolean {
  const { scaling, config } = state;
  if (scaling.holdSinceTick === -1) return false;
  return state.now - scaling.holdSinceTick * config.scaleIntervalMs >= config.scaleInHoldMs;
}

/**
 * Releases up to `scaleInMax` hosts without committed GPUs: those with fewest replicas first, then
 * by id, each only if all its replicas have somewhere to go.
 */
function scaleIn(state: State): void {
  const excess = state.up.length - upperLimit(state);
  let left = Math.min(state.config.scaleInMax, excess);
  if (left <= 0) return;
  const candidates: Host[] = [];
  for (const id of state.up) {
    const host = state.hosts[id]!;
    if (mayBeReleased(state, host)) candidates.push(host);
  }
  candidates.sort((a, b) => a.containers.length - b.containers.length || a.id - b.id);
  for (const host of candidates) {
    if (left === 0) return;
    if (host.containers.length === 0) {
      releaseHost(state, host);
    } else {
      if (!drainReplicas(state, host)) continue;
      startDrain(state, host);
    }
    left--;
  }
}

function mayBeReleased(state: State, host: Host): boolean {
  return (
    host.committed.gpuMillis === 0 &&
    host.running === 0 &&
    host.poolTaken === 0 &&
    host.containers.length <= state.config.maxStandbyPerReleasedHost
  );
}

/** An on-demand policy's host has been empty for long enough. */
export function releaseIfEmpty(state: State, id: number): void {
  const host = state.hosts[id]!;
  const { config, bounds } = state;
  if (host.state !== 'up' || host.emptySince === -1 || config.scaling !== 'on-demand') return;
  if (state.now - host.emptySince < config.emptyHostHoldMs) return;
  if (active(state) <= bounds.min) return;
  // A kernel that lacks hosts for some of its replicas may need this one for the others.
  if (config.replicas > 1 && state.placementQueue.length > 0) return;
  releaseHost(state, host);
}

/** No kernel waits for hosts any more: those kept for them may be released. */
export function releaseKept(state: State): void {
  if (state.config.replicas === 1 || state.config.scaling !== 'on-demand') return;
  for (const id of state.up) {
    const host = state.hosts[id]!;
    if (host.emptySince !== -1) armRelease(state, host);
  }
}

/** Sets the timer of the next round that can change something; called after every step. */
export function armScaling(state: State): void {
  const { scaling, config } = state;
  if (!scaling.dirty) return;
  scaling.dirty = false;
  const nextTick = scaling.lastTick + 1;
  let tick = Number.POSITIVE_INFINITY;
  if (active(state) < target(state)) {
    tick = nextTick;
  } else if (config.scaling === 'predictive' && state.up.length > upperLimit(state)) {
    const since = scaling.holdSinceTick === -1 ? nextTick : scaling.holdSinceTick;
    const hold = Math.ceil(config.scaleInHoldMs / config.scaleIntervalMs);
    tick = Math.max(nextTick, since + hold);
  }
  if (scaling.wantedLimit < Number.POSITIVE_INFINITY && waits(state)) {
    const rounds = samplesUntil(state, scaling.wantedLimit);
    if (rounds < Number.POSITIVE_INFINITY) tick = Math.min(tick, scaling.lastTick + rounds);
  }
  // What was not asked for in the meantime is asked for then.
  if (isHeldOff(state)) tick = Math.min(tick, scaling.heldOffUntilTick);
  const at = tick * config.scaleIntervalMs;
  if (at >= scaling.armedAt) return;
  scaling.armedAt = at;
  state.effects.push({ kind: 'set-timer', timer: 'scaling', key: tick, at });
}

function waits(state: State): boolean {
  return state.queue.size > 0 || state.placementQueue.length > 0;
}
