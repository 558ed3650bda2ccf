import { accessSync, constants, existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { NbosError } from '../../../core/errors.ts';
import type { GpuAccess, GpuCreation, GpuUser } from './access.ts';
import type { DeviceNode } from './device-node.ts';
import {
  changeAccess,
  containerProcesses,
  devicesCgroup,
  KERNEL_FILES,
  type KernelFiles,
} from './devices-cgroup.ts';
import type { GpuInventory } from './discovery.ts';
import { NVIDIA_PLACES, type NvidiaPlaces, nvidiaUsers } from './nvidia.ts';
import { descendants, openDevices } from './open-devices.ts';

/** Engines from this version on know CDI names without being set up for them. */
const CDI_SINCE = 25;

const UNSEEN = "processes of containers are not seen: the agent needs the host's pid namespace";

export interface AccessSetting {
  /** kernels run in containers, which have the devices of the inventory only */
  contained?: boolean;
  files?: KernelFiles;
  nvidia?: NvidiaPlaces;
}

/**
 * The GPUs of this machine, for containers of an engine on it. First use of a device without a
 * lease is refused by the devices cgroup where it has files to write to (version 1), and the agent
 * sees the host's cgroups and may write there; else nothing refuses it, and it is only found later.
 */
export class HostGpuAccess implements GpuAccess {
  readonly count: number;
  readonly memoryMb: readonly number[];
  readonly numbers: readonly number[];
  readonly #inventory: GpuInventory;
  readonly #nodes: readonly DeviceNode[];
  readonly #log: Logger;
  readonly #files: KernelFiles;
  readonly #nvidia: NvidiaPlaces;
  /** cgroups of containers by their first process: a number may be another process's by now */
  readonly #cgroups = new Map<number, string>();
  #reason: string;
  /** cgroups of containers have been found on this host */
  #proven = false;

  constructor(inventory: GpuInventory, log: Logger, setting: AccessSetting = {}) {
    const { contained = true, files = KERNEL_FILES, nvidia = NVIDIA_PLACES } = setting;
    this.#inventory = inventory;
    this.#nodes = inventory.gpus.flatMap(({ node }) => node ?? []);
    this.count = inventory.gpus.length;
    this.memoryMb = inventory.gpus.map(({ memoryMb }) => memoryMb);
    // A container sees no others, and counts those that it sees.
    const counts = contained || inventory.kind !== 'nvidia';
    this.numbers = inventory.gpus.map(({ index }, place) => (counts ? place : index));
    this.#log = log;
    this.#files = files;
    this.#nvidia = nvidia;
    if (this.#nodes.length === 0) this.#reason = 'no device is behind its GPUs';
    else this.#reason = contained ? unwritable(files) : 'kernels are plain processes';
  }

  get enforced(): 'cgroup-v1' | 'none' {
    return this.#reason === '' ? 'cgroup-v1' : 'none';
  }

  get reason(): string {
    return this.#reason;
  }

  creation(engineVersion = ''): GpuCreation {
    const { kind, gpus, cdi } = this.#inventory;
    if (kind !== 'nvidia')
      return { devices: this.#nodes.map(({ path }) => path), deviceRequests: [], env: {} };
    const named = cdi && Number.parseInt(engineVersion, 10) >= CDI_SINCE;
    const request = named
      ? { Driver: 'cdi', DeviceIDs: gpus.map(({ index }) => `nvidia.com/gpu=${index}`) }
      : {
          Driver: 'nvidia',
          DeviceIDs: gpus.map(({ uuid }) => uuid),
          Capabilities: [['gpu', 'compute', 'utility']],
        };
    // Numbers of devices mean the same inside and outside, and none is seen before a cell has one.
    const env = { CUDA_DEVICE_ORDER: 'PCI_BUS_ID', CUDA_VISIBLE_DEVICES: '' };
    return { devices: [], deviceRequests: [request], env };
  }

  async started(container: GpuUser): Promise<void> {
    this.#forgetGone();
    // One that is not seen has ended, or none is: the first lease tells.
    if (this.#isSeen(container) || this.#proven) this.#change(container, 'deny', this.#nodes);
  }

  async lease(container: GpuUser, devices: readonly number[]): Promise<void> {
    if (devices.length > 0) this.#change(container, 'allow', this.#nodesOf(devices));
  }

  async end({ pid }: GpuUser, devices: readonly number[]): Promise<void> {
    const folder = this.#cgroups.get(pid);
    if (folder === undefined || !existsSync(folder)) return;
    try {
      changeAccess(folder, 'deny', this.#nodesOf(devices));
    } catch (error) {
      if (existsSync(folder)) throw refused(folder, error);
    }
  }

  async usedBy(containers: readonly GpuUser[]): Promise<readonly (readonly number[])[]> {
    if (this.#inventory.kind !== 'nvidia') {
      const processes = await this.#processesOf(containers);
      return Promise.all(processes.map((pids) => openDevices(pids, this.#nodes, this.#files)));
    }
    const users = await nvidiaUsers(this.#nvidia);
    if (users.size === 0) return containers.map(() => []);
    const processes = await this.#processesOf(containers);
    const uuids = this.#inventory.gpus.map(({ uuid }) => uuid);
    return processes.map((pids) => {
      const used = new Set(pids.flatMap((pid) => users.get(pid) ?? []));
      return uuids.flatMap((uuid, index) => (used.has(uuid) ? [index] : []));
    });
  }

  async #processesOf(containers: readonly GpuUser[]): Promise<number[][]> {
    const all = containers.map(({ pid }) => containerProcesses(pid, this.#files));
    const found = await Promise.all(all);
    const bare = containers.filter((_, index) => found[index] === undefined).map(({ pid }) => pid);
    const trees = bare.length === 0 ? undefined : await descendants(bare, this.#files);
    return containers.map(({ pid }, index) => found[index] ?? trees?.get(pid) ?? []);
  }

  #change(container: GpuUser, change: 'allow' | 'deny', nodes: readonly DeviceNode[]): void {
    if (this.#reason !== '') return;
    const cgroup = devicesCgroup(container.pid, this.#files);
    if ('reason' in cgroup) {
      // A process that is about to end is in no cgroup any more.
      if (this.#proven) throw gone(container);
      this.#giveUp(this.#isSeen(container) ? cgroup.reason : UNSEEN);
      return;
    }
    this.#proven = true;
    this.#cgroups.set(container.pid, cgroup.folder);
    try {
      changeAccess(cgroup.folder, change, nodes);
    } catch (error) {
      if (!existsSync(cgroup.folder)) throw gone(container);
      throw refused(cgroup.folder, error);
    }
  }

  #isSeen({ pid }: GpuUser): boolean {
    return existsSync(join(this.#files.proc, String(pid)));
  }

  #giveUp(reason: string): void {
    this.#reason = reason;
    this.#log.warn({ reason }, 'GPU leases are not enforced on this host');
  }

  #nodesOf(devices: readonly number[]): DeviceNode[] {
    return devices.flatMap((id) => this.#inventory.gpus[id]?.node ?? []);
  }

  #forgetGone(): void {
    for (const [pid, folder] of this.#cgroups) if (!existsSync(folder)) this.#cgroups.delete(pid);
  }
}

/** Why the devices cgroup cannot be written on this machine, '' when it can. */
function unwritable({ cgroups }: KernelFiles): string {
  const file = join(cgroups, 'devices', 'devices.deny');
  if (!existsSync(join(cgroups, 'devices')))
    return existsSync(join(cgroups, 'cgroup.controllers'))
      ? 'cgroup version 2 decides on devices by programs of the engine, not by files'
      : 'there is no devices cgroup';
  try {
    accessSync(file, constants.W_OK);
    return '';
  } catch {
    return `${file} cannot be written: the agent is not root, or sees it read-only`;
  }
}

function gone({ id }: GpuUser): NbosError {
  return new NbosError('gpu-lease-failed', `kernel ${id}: its container has ended`);
}

function refused(folder: string, error: unknown): NbosError {
  return new NbosError(
    'gpu-lease-failed',
    `${folder}: devices cannot be given or taken: ${(error as Error).message}`,
    'The agent must be able to write to the devices cgroup of the containers of its engine.',
  );
}
