import { NbosError } from '../../../core/errors.ts';
import { type DeviceNode, deviceNode, deviceNodes } from './device-node.ts';
import { hasCdi, NVIDIA_PLACES, type NvidiaPlaces, nvidiaGpus } from './nvidia.ts';

/** One GPU of a host; its number is its place in the inventory. */
export interface Gpu {
  readonly name: string;
  /** among all of the driver, by which CDI names it; 0 for a pretend one */
  readonly index: number;
  /** NVIDIA's, '' for a pretend one */
  readonly uuid: string;
  /** MB, 0 where it is not known */
  readonly memoryMb: number;
  /** what a container opens to use it; undefined for one that is only a number */
  readonly node: DeviceNode | undefined;
}

export interface GpuInventory {
  readonly kind: 'nvidia' | 'pretend' | 'none';
  readonly gpus: readonly Gpu[];
  /** engines can be told of them by CDI names */
  readonly cdi: boolean;
}

export interface GpuWishes {
  /** --gpu-device: character devices that stand in for GPUs, or uuids of NVIDIA's; `nvidia`: all */
  readonly devices: readonly string[];
  /** so many pretend ones with nothing behind them; undefined: those that are found */
  readonly count: number | undefined;
}

const MOST_GPUS = 31;
const NONE: GpuInventory = { kind: 'none', gpus: [], cdi: false };

/**
 * The GPUs of this host: the devices named, so many pretend ones, or all that NVIDIA's driver has.
 * @throws NbosError gpu-device-invalid, gpu-unusable
 */
export async function findGpus(wishes: GpuWishes, places = NVIDIA_PLACES): Promise<GpuInventory> {
  const { devices, count } = wishes;
  if (devices.length > 0 && count !== undefined && count !== devices.length)
    throw invalid(`${count} GPUs were asked for, and ${devices.length} --gpu-device named`);
  if (devices.some((name) => name.startsWith('/') || !/^(nvidia$|GPU-)/.test(name))) {
    const nodes = await deviceNodes(devices);
    const gpus = nodes.map((node) => ({ ...pretend(node.path), node }));
    return checked({ kind: 'pretend', gpus, cdi: false });
  }
  if (devices.length === 0 && count !== undefined) {
    const gpus = Array.from({ length: count }, () => pretend('pretend'));
    return checked({ kind: count > 0 ? 'pretend' : 'none', gpus, cdi: false });
  }
  const found = await nvidiaInventory(places);
  return devices.length === 0 || devices.includes('nvidia') ? found : chosen(found, devices);
}

async function nvidiaInventory(places: NvidiaPlaces): Promise<GpuInventory> {
  const found = await nvidiaGpus(places);
  if (found.length === 0) return NONE;
  const gpus = await Promise.all(
    found.map(async ({ path, ...gpu }) => ({ ...gpu, node: await deviceNode(path) })),
  );
  return checked({ kind: 'nvidia', gpus, cdi: await hasCdi(places) });
}

/** In the order of their bus, as CUDA numbers them. @throws NbosError gpu-device-invalid */
function chosen(found: GpuInventory, uuids: readonly string[]): GpuInventory {
  const missing = uuids.find((uuid) => !found.gpus.some((gpu) => gpu.uuid === uuid));
  if (missing !== undefined) throw invalid(`--gpu-device ${missing}: this host has no such GPU`);
  return { ...found, gpus: found.gpus.filter(({ uuid }) => uuids.includes(uuid)) };
}

function pretend(name: string): Gpu {
  return { name, index: 0, uuid: '', memoryMb: 0, node: undefined };
}

/** MB that cells can have of all devices: what one context takes of each is booked. 0: not known */
export function cellMemoryMb({ gpus }: GpuInventory, contextMb: number): number {
  return gpus.reduce((sum, { memoryMb }) => sum + Math.max(0, memoryMb - contextMb), 0);
}

function checked(inventory: GpuInventory): GpuInventory {
  if (inventory.gpus.length > MOST_GPUS)
    throw invalid(`${inventory.gpus.length} GPUs on one host: at most ${MOST_GPUS} can be booked`);
  return inventory;
}

function invalid(reason: string): NbosError {
  return new NbosError(
    'gpu-device-invalid',
    reason,
    '`nvidia-smi -L` lists GPUs with their uuids.',
  );
}
