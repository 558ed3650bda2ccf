import { NbosError } from '../../../core/errors.ts';
import { type DeviceNode, deviceNode, deviceNodes } from './device-node.ts';
import { hasCdi, NVIDIA_PLACES, nvidiaGpus } from './nvidia.ts';

/** One GPU of a host; its number is its place in the inventory. */
export interface Gpu {
  readonly name: string;
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
  /** character devices that stand in for GPUs, --gpu-device */
  readonly devices: readonly string[];
  /** so many pretend ones with nothing behind them; undefined: those that are found */
  readonly count: number | undefined;
  /** of a pretend one */
  readonly memoryMb: number;
}

const MOST_GPUS = 31;

/**
 * The GPUs of this host: the devices named, so many pretend ones, or NVIDIA's as the driver tells.
 * @throws NbosError gpu-device-invalid, gpu-unusable
 */
export async function findGpus(wishes: GpuWishes, places = NVIDIA_PLACES): Promise<GpuInventory> {
  const { devices, count, memoryMb } = wishes;
  if (devices.length > 0) {
    if (count !== undefined && count !== devices.length)
      throw tooMany(`${count} GPUs were asked for, and ${devices.length} --gpu-device named`);
    const nodes = await deviceNodes(devices);
    const gpus = nodes.map((node) => ({ name: node.path, uuid: '', memoryMb, node }));
    return checked({ kind: 'pretend', gpus, cdi: false });
  }
  if (count !== undefined) {
    const gpu = { name: 'pretend', uuid: '', memoryMb, node: undefined };
    const gpus = Array.from({ length: count }, () => gpu);
    return checked({ kind: count > 0 ? 'pretend' : 'none', gpus, cdi: false });
  }
  const found = await nvidiaGpus(places);
  if (found.length === 0) return { kind: 'none', gpus: [], cdi: false };
  const gpus = await Promise.all(
    found.map(async ({ name, uuid, memoryMb: ofCard, path }) => ({
      ...{ name, uuid, memoryMb: ofCard },
      node: await deviceNode(path),
    })),
  );
  return checked({ kind: 'nvidia', gpus, cdi: await hasCdi(places) });
}

/** MB that cells can have of all devices: what one context takes of each is booked. */
export function cellMemoryMb({ gpus }: GpuInventory, contextMb: number): number {
  return gpus.reduce((sum, { memoryMb }) => sum + Math.max(0, memoryMb - contextMb), 0);
}

function checked(inventory: GpuInventory): GpuInventory {
  if (inventory.gpus.length > MOST_GPUS)
    throw tooMany(`${inventory.gpus.length} GPUs on one host: at most ${MOST_GPUS} can be booked`);
  return inventory;
}

function tooMany(reason: string): NbosError {
  return new NbosError(
    'gpu-device-invalid',
    reason,
    'Name each device once, and no number beside.',
  );
}
