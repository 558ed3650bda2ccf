import type { Logger } from 'pino';
import { hostTypesOf, resolveConfig } from '../../core/config/config.ts';
import { NbosError } from '../../core/errors.ts';
import { type Arguments, numberOf, wordsOf } from '../../traces/command-line.ts';
import type { Capacity } from '../agent/agent-options.ts';
import type { GpuAccess } from '../agent/gpu/access.ts';
import { GUARD_LIMITS } from '../agent/gpu/device-guard.ts';
import { cellMemoryMb, findGpus, type GpuWishes } from '../agent/gpu/discovery.ts';
import { HostGpuAccess } from '../agent/gpu/host-access.ts';
import type { DockerSettings } from './docker-flags.ts';

/** The GPUs of a host as its agent is told of them. */
export interface HostGpus {
  capacity: Capacity;
  /** undefined where nothing is behind their numbers */
  gpuAccess: GpuAccess | undefined;
}

/**
 * Finds the GPUs of a host, which are this machine's: those of an engine elsewhere cannot be seen.
 * @throws NbosError usage, gpu-device-invalid, gpu-unusable
 */
export async function gpusOf(
  wishes: GpuWishes,
  docker: DockerSettings | undefined,
  log: Logger,
): Promise<HostGpus> {
  const engine = docker === undefined ? '' : docker.engine || process.env['DOCKER_HOST'] || '';
  const isElsewhere = engine.startsWith('tcp:');
  if (isElsewhere && wishes.devices.length > 0)
    throw new NbosError(
      'usage',
      `--gpu-device: kernels run on the engine at ${engine}, which has other devices`,
      'Run the agent on the machine of its engine, with --docker unix:///var/run/docker.sock.',
    );
  const { devices, count = isElsewhere ? 0 : undefined } = wishes;
  const inventory = await findGpus({ devices, count });
  const { kind, gpus } = inventory;
  const capacity = capacityOf(gpus.length);
  if (gpus.every(({ node }) => node === undefined)) return { capacity, gpuAccess: undefined };
  const gpuAccess = new HostGpuAccess(inventory, log, { contained: docker !== undefined });
  const { enforced, reason } = gpuAccess;
  const names = gpus.map(({ name }) => name);
  log.info({ kind, names, enforced, ...(reason === '' ? {} : { reason }) }, 'GPUs of this host');
  const vramMb = cellMemoryMb(inventory, GUARD_LIMITS.contextMb) || capacity.vramMb;
  return { capacity: { ...capacity, vramMb }, gpuAccess };
}

/** What a host has beside its GPUs is pretended, as in simulations. */
function capacityOf(gpus: number): Capacity {
  const [type] = hostTypesOf(resolveConfig({ gpusPerHost: gpus }));
  const { cpuMillis, memoryMb, vramMb } = type!;
  return { gpus, cpuMillis, memoryMb, vramMb };
}

/** What the command line of one host wishes: all that the driver has when it says nothing. */
export function describedGpus(given: Arguments): GpuWishes {
  return { devices: wordsOf(given, 'gpu-device'), count: numberOf(given, 'gpus-per-host') };
}

/**
 * The devices of each of `hosts` hosts on this machine, which share those that are named evenly;
 * undefined when none are named. @throws NbosError usage, gpu-device-invalid, gpu-unusable
 */
export async function sharedDevices(
  given: Arguments,
  hosts: number,
): Promise<string[][] | undefined> {
  const devices = wordsOf(given, 'gpu-device');
  if (devices.length === 0) return undefined;
  if (numberOf(given, 'gpus-per-host') !== undefined)
    throw new NbosError(
      'usage',
      '--gpu-device and --gpus-per-host: hosts have either these devices or pretend ones',
      'Leave one of them out.',
    );
  const { gpus } = await findGpus({ devices, count: undefined });
  const names = gpus.map(({ name, uuid }) => uuid || name);
  return Array.from({ length: hosts }, (_, host) =>
    names.slice(
      Math.floor((host * names.length) / hosts),
      Math.floor(((host + 1) * names.length) / hosts),
    ),
  );
}
