/** A kernel's container, or its process where there are no containers. */
export interface GpuUser {
  /** for messages only */
  readonly id: string;
  /** on the host: of the container's first process */
  readonly pid: number;
}

/** What a container needs at its creation so that it can be given devices later. */
export interface GpuCreation {
  /** host paths of device nodes, the same inside */
  readonly devices: string[];
  /** as the engine's API has them: HostConfig.DeviceRequests */
  readonly deviceRequests: object[];
  readonly env: Record<string, string>;
}

/**
 * The GPUs of a host as its kernels reach them. Engines cannot add a device to a container
 * that runs, so all containers get all devices, and what a kernel may open of them changes with
 * each cell.
 */
export interface GpuAccess {
  readonly count: number;
  /** memory of each device, MB; 0 where it is not known */
  readonly memoryMb: readonly number[];
  /** what the processes of kernels call each device */
  readonly numbers: readonly number[];
  /** whether a device without a lease cannot be opened */
  readonly enforced: 'cgroup-v1' | 'none';
  /** why not, '' when it is */
  readonly reason: string;
  /** What containers need at their creation; `engineVersion` as the engine tells it, '' unknown. */
  creation(engineVersion?: string): GpuCreation;
  /** Takes all devices from a container that has just started: no cell has run in it yet. */
  started(container: GpuUser): Promise<void>;
  /** Before a cell runs: these devices can be opened. Rejects `gpu-lease-failed`. */
  lease(container: GpuUser, devices: readonly number[]): Promise<void>;
  /** After it: they cannot be opened any more. What is open stays so. */
  end(container: GpuUser, devices: readonly number[]): Promise<void>;
  /** Which devices each of these uses at the moment, in the order given. */
  usedBy(containers: readonly GpuUser[]): Promise<readonly (readonly number[])[]>;
}
