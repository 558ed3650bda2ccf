import { typeHolds } from './admission.ts';
import { type Host, newHost } from './books/host-book.ts';
import { addInto, type ResourceVector, subtractFrom } from './resources.ts';
import type { State } from './state.ts';

/**
 * What waiting work asks of hosts that are not up yet. Waiting executions are matched first-fit,
 * oldest first, to the free capacity of pending hosts; only the unmatched ask for more.
 */

/** All hosts that exist or will, whatever their state. */
export function hostsInAll(state: State): number {
  return state.up.length + state.pending.length + state.draining.length + state.scaling.releasing;
}

/** The first host type that fits and is below its maximum; -1 when there is none. */
function typeFor(state: State, need: Readonly<ResourceVector>, gpuType: string): number {
  return state.hostTypes.findIndex(
    (type, index) => typeHolds(type, need, gpuType) && state.hostsOfType[index]! < type.maxHosts,
  );
}

/** After a request that failed, the next goes out in the next scaling round, not at once. */
export function holdOff(state: State): void {
  const { scaling, config } = state;
  scaling.heldOffUntilTick = Math.floor(state.now / config.scaleIntervalMs) + 1;
  scaling.dirty = true;
}

export function isHeldOff({ now, scaling, config }: State): boolean {
  return now < scaling.heldOffUntilTick * config.scaleIntervalMs;
}

/** Asks for one host; undefined when the maximum is reached or no type fits. */
export function provision(
  state: State,
  need: Readonly<ResourceVector>,
  gpuType: string,
): Host | undefined {
  if (isHeldOff(state) || hostsInAll(state) >= state.bounds.max) return undefined;
  const type = typeFor(state, need, gpuType);
  if (type === -1) return undefined;
  const host = newHost(state.hosts.length, type, state.hostTypes[type]!, state.now);
  state.hosts.push(host);
  state.pending.push(host.id);
  state.index.expect(host);
  state.hostsOfType[type]!++;
  state.totals.scaleOuts++;
  state.scaling.dirty = true;
  state.effects.push({ kind: 'provision-host', host: host.id, type });
  return host;
}

function roomFor(host: Host, need: Readonly<ResourceVector>, gpuType: string): boolean {
  return (
    host.promised.gpuMillis + need.gpuMillis <= host.spec.gpuMillis &&
    host.promised.cpuMillis + need.cpuMillis <= host.spec.cpuMillis &&
    host.promised.memoryMb + need.memoryMb <= host.spec.memoryMb &&
    host.promised.vramMb + need.vramMb <= host.spec.vramMb &&
    (gpuType === '' || gpuType === host.gpuType)
  );
}

/** An execution, or a session whose placement commits, that waits for GPUs. */
export interface Claimant {
  readonly need: Readonly<ResourceVector>;
  readonly gpuType: string;
  promised: number;
}

/** Matches waiting work to a pending host, asking for one when none has room. */
export function promiseHost(state: State, claimant: Claimant): void {
  if (claimant.promised !== -1 || state.config.scaling === 'none') return;
  const { need, gpuType } = claimant;
  let host = state.pending
    .map((id) => state.hosts[id]!)
    .find((candidate) => roomFor(candidate, need, gpuType));
  host ??= provision(state, need, gpuType);
  if (host === undefined) return;
  addInto(host.promised, need);
  claimant.promised = host.id;
  state.scaling.dirty = true;
}

/** Ends a match, because the work waits no more or its host is up or gone. */
export function endPromise(state: State, claimant: Claimant): void {
  if (claimant.promised === -1) return;
  subtractFrom(state.hosts[claimant.promised]!.promised, claimant.need);
  claimant.promised = -1;
  state.scaling.dirty = true;
}

/** GPU-millis of waiting executions that no pending host will serve. */
export function unmatchedGpuMillis(state: State): number {
  // While nothing waits, thousands of pending hosts must not be looked at after every step.
  if (state.queue.gpuMillis === 0) return 0;
  let matched = 0;
  for (const id of state.pending) matched += state.hosts[id]!.promised.gpuMillis;
  return Math.max(0, state.queue.gpuMillis - matched);
}

/** Asks for the hosts that `lacking` replicas need beyond those that are pending already. */
export function askForHosts(
  state: State,
  lacking: number,
  need: Readonly<ResourceVector>,
  gpuType: string,
): void {
  if (state.config.scaling === 'none') return;
  for (let more = lacking - state.pending.length; more > 0; more--) {
    if (provision(state, need, gpuType) === undefined) return;
  }
}
