import type { HostType } from '../config/options.ts';
import { assert } from '../errors.ts';
import { addInto, copyVector, type ResourceVector, subtractFrom, vector } from '../resources.ts';

/** Most devices that a bit set of leases can name. */
export const MAX_DEVICES = 31;

export type HostState = 'pending' | 'up' | 'draining' | 'releasing' | 'gone';

/** One GPU server: its vectors, its devices and what is on it. Plain data. */
export interface Host {
  readonly id: number;
  readonly type: number;
  readonly gpuType: string;
  state: HostState;
  /** an operator wants it out of service: a move that fails does not bring it back */
  drainOrdered: boolean;
  readonly spec: ResourceVector;
  /** spec - committed - excluded */
  idle: ResourceVector;
  committed: ResourceVector;
  /** sum over the replicas and containers placed here; may exceed spec */
  subscribed: ResourceVector;
  /** bit d: device d is whole, idle and not excluded */
  freeDevices: number;
  /** bit d: device d must not be used */
  excludedDevices: number;
  /** GPU-millis of each device that are in use by shares; 0 where it is whole or idle */
  readonly sharedMillis: number[];
  /** containers placed here, ready or starting, of kernels and executions; not the pool */
  readonly containers: number[];
  /** idle containers of the prewarm pool, least recently used first */
  readonly pool: number[];
  /** containers of the pool that are starting */
  poolStarting: number;
  /** pool containers that serve an execution and will come back */
  poolTaken: number;
  /** executions that run here */
  running: number;
  /** GPU size class of the placement pool it belongs to; 0 for none */
  poolClass: number;
  /** execution for which it is kept free, by id; -1 for none */
  reservedFor: number;
  /** while pending: what waiting work will take of it */
  promised: ResourceVector;
  /** place in the host index; -1 once gone */
  leaf: number;
  requestedAt: number;
  upAt: number;
  endAt: number;
  end: 'up' | 'released' | 'lost' | 'failed';
  /** since when nothing is placed here; -1 when something is */
  emptySince: number;
  /** GPU-millis bound to executions: `committed` holds those of whole sessions too */
  boundGpuMillis: number;
  /** totals for hosts.csv; GPU-ms bound to executions up to `boundSince` */
  boundGpuMs: number;
  boundSince: number;
  executions: number;
  replicasMax: number;
}

export function newHost(id: number, typeIndex: number, type: HostType, at: number): Host {
  const spec = vector(type.cpuMillis, type.memoryMb, type.gpus * 1000, type.vramMb);
  return {
    id,
    type: typeIndex,
    gpuType: type.gpuType,
    state: 'pending',
    drainOrdered: false,
    spec,
    idle: copyVector(spec),
    committed: vector(0, 0, 0, 0),
    subscribed: vector(0, 0, 0, 0),
    freeDevices: type.gpus > MAX_DEVICES ? 0 : 2 ** type.gpus - 1,
    excludedDevices: 0,
    sharedMillis: [],
    containers: [],
    pool: [],
    poolStarting: 0,
    poolTaken: 0,
    running: 0,
    poolClass: 0,
    reservedFor: -1,
    promised: vector(0, 0, 0, 0),
    leaf: -1,
    requestedAt: at,
    upAt: -1,
    endAt: -1,
    end: 'up',
    emptySince: -1,
    boundGpuMillis: 0,
    boundGpuMs: 0,
    boundSince: 0,
    executions: 0,
    replicasMax: 0,
  };
}

/** What an execution or container holds on a host: the GPUs as devices where they are booked. */
export interface Lease {
  /** whole devices, as a bit set */
  devices: number;
  /** device of which a share is held; -1 for none */
  sharedDevice: number;
}

function countBits(mask: number): number {
  let count = 0;
  for (let rest = mask; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/**
 * Whether the devices can serve `gpuMillis`: a share fits on a shared device or a free one, more
 * than one GPU needs whole free devices.
 */
export function devicesServe(host: Host, gpuMillis: number): boolean {
  if (gpuMillis === 0) return true;
  if (gpuMillis >= 1000) return countBits(host.freeDevices) * 1000 >= gpuMillis;
  return host.freeDevices !== 0 || bestSharedDevice(host, gpuMillis) !== -1;
}

/**
 * The shared device with the least room that still fits; ties to the lower id. -1 when none does.
 */
function bestSharedDevice(host: Host, gpuMillis: number): number {
  let best = -1;
  let most = 0;
  for (let device = 0; device < host.sharedMillis.length; device++) {
    const used = host.sharedMillis[device]!;
    if (used === 0 || used + gpuMillis > 1000) continue;
    if ((host.excludedDevices & (1 << device)) !== 0) continue;
    if (used > most) {
      best = device;
      most = used;
    }
  }
  return best;
}

function takeDevices(host: Host, gpuMillis: number, lease: Lease): void {
  lease.devices = 0;
  lease.sharedDevice = -1;
  if (gpuMillis === 0) return;
  if (gpuMillis < 1000) {
    let device = bestSharedDevice(host, gpuMillis);
    if (device === -1) {
      device = 31 - Math.clz32(host.freeDevices & -host.freeDevices);
      host.freeDevices &= ~(1 << device);
    }
    while (host.sharedMillis.length <= device) host.sharedMillis.push(0);
    host.sharedMillis[device]! += gpuMillis;
    lease.sharedDevice = device;
    return;
  }
  let taken = 0;
  for (let left = gpuMillis; left > 0; left -= 1000) {
    const lowest = host.freeDevices & -host.freeDevices;
    assert(lowest !== 0, `host ${host.id} leased more devices than it has`);
    taken |= lowest;
    host.freeDevices &= ~lowest;
  }
  lease.devices = taken;
}

function returnDevices(host: Host, gpuMillis: number, lease: Lease): void {
  if (lease.sharedDevice !== -1) {
    const device = lease.sharedDevice;
    host.sharedMillis[device]! -= gpuMillis;
    const excluded = (host.excludedDevices & (1 << device)) !== 0;
    if (host.sharedMillis[device] === 0 && !excluded) host.freeDevices |= 1 << device;
  }
  host.freeDevices |= lease.devices & ~host.excludedDevices;
  lease.devices = 0;
  lease.sharedDevice = -1;
}

/** Commits `need` on a host; the caller has checked that it fits. */
export function commitOn(
  host: Host,
  need: Readonly<ResourceVector>,
  lease: Lease,
  deviceIds: boolean,
): void {
  subtractFrom(host.idle, need);
  addInto(host.committed, need);
  assert(host.idle.gpuMillis >= 0, `host ${host.id} is over-committed`);
  if (deviceIds) takeDevices(host, need.gpuMillis, lease);
}

/** Gives back what `commitOn` took. */
export function releaseOn(
  host: Host,
  need: Readonly<ResourceVector>,
  lease: Lease,
  deviceIds: boolean,
): void {
  addInto(host.idle, need);
  subtractFrom(host.committed, need);
  assert(host.committed.gpuMillis >= 0, `host ${host.id} released more than was committed`);
  if (deviceIds) returnDevices(host, need.gpuMillis, lease);
}

/**
 * Takes a device out of use. What holds it still has its lease, and `idle` is short by that until
 * the caller has ended it, as it must at once.
 */
export function excludeDevice(host: Host, device: number): void {
  host.freeDevices &= ~(1 << device);
  host.excludedDevices |= 1 << device;
  host.idle.gpuMillis -= 1000;
}

export function restoreDevice(host: Host, device: number): void {
  host.excludedDevices &= ~(1 << device);
  host.freeDevices |= 1 << device;
  host.idle.gpuMillis += 1000;
}

export function excludedGpuMillis(host: Host): number {
  return 1000 * countBits(host.excludedDevices);
}

/** Counts GPUs that an execution binds (above 0) or gives back. */
export function countBound(host: Host, gpuMillis: number, at: number): void {
  host.boundGpuMs += host.boundGpuMillis * (at - host.boundSince);
  host.boundSince = at;
  host.boundGpuMillis += gpuMillis;
}
