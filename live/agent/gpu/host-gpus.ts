/** A lease as a cell holds it. */
interface Lease {
  readonly kernel: string;
  readonly devices: readonly number[];
  /** a share of each device, which other kernels may share */
  readonly shared: boolean;
  /** memory that the cell needs of each device, MB */
  readonly vramMb: number;
}

/** Whether a cell can have its devices, and what must happen before. */
export type Taken = 'taken' | 'restart-process' | 'busy' | 'unknown-device';

/** What a cell asks of its devices besides their ids. */
export interface Asked {
  readonly shared: boolean;
  /** MB of each device */
  readonly vramMb: number;
}

/** What the book of a host's GPUs knows of their memory. */
export interface GpuMemory {
  /** of each device, MB; 0 where it is not known, and then not counted */
  readonly memoryMb: readonly number[];
  /** that a process with CUDA takes of each device it sees, used or not, MB */
  readonly contextMb: number;
}

const WHOLE: Asked = { shared: false, vramMb: 0 };
const UNKNOWN: GpuMemory = { memoryMb: [], contextMb: 0 };

/**
 * The GPUs of a host and what runs on them. The gateway's books choose the devices of a cell; a
 * host checks that they are there and free before it runs it: its view outlives a gateway.
 * Devices that a process has used stay visible to it and hold its memory until it ends, so a
 * kernel is bound to the ids that it first used with CUDA.
 */
export class HostGpus {
  readonly count: number;
  readonly #memory: GpuMemory;
  readonly #leases = new Map<string, Lease>();
  readonly #bound = new Map<string, readonly number[]>();
  /** of a kernel's process: all devices that it ever had, and those of its latest lease */
  readonly #had = new Map<string, { all: Set<number>; latest: readonly number[] }>();
  #holders: (string | undefined)[];
  /**
   * A device that this kernel's process keeps without a lease is needed by another. True when it
   * lets go; else whoever needs it waits.
   */
  onWanted: (kernel: string) => boolean = () => false;

  constructor(count: number, memory: GpuMemory = UNKNOWN) {
    this.count = count;
    this.#memory = memory;
    this.#holders = new Array(count).fill(undefined);
  }

  /**
   * Leases `devices` to a cell of `kernel`, all or none. `restart-process` when the process has CUDA
   * on others: it must be started anew from its state and `unbind` be called first. `busy` also
   * while another process keeps what is needed: it has been asked to let go.
   */
  take(kernel: string, cell: number, devices: readonly number[], asked: Asked = WHOLE): Taken {
    if (devices.some((id) => !Number.isInteger(id) || id < 0 || id >= this.count))
      return 'unknown-device';
    const bound = this.#bound.get(kernel);
    if (bound !== undefined && devices.some((id) => !bound.includes(id))) return 'restart-process';
    if (!devices.every((id) => this.#isFree(kernel, id, asked.shared))) return 'busy';
    const lease = { kernel, devices, ...asked };
    const inTheWay = devices.flatMap((id) => this.#inTheWay(id, lease));
    if (inTheWay.length > 0) {
      for (const other of new Set(inTheWay)) this.onWanted(other);
      return 'busy';
    }
    if (!devices.every((id) => this.#hasRoom(id, lease))) return 'busy';
    this.#leases.set(keyOf(kernel, cell), lease);
    if (!asked.shared) for (const id of devices) this.#holders[id] = kernel;
    this.#remember(kernel, devices);
    return 'taken';
  }

  #isFree(kernel: string, id: number, shared: boolean): boolean {
    const holder = this.#holders[id];
    if (holder !== undefined) return holder === kernel;
    return shared || !this.#leasing(id).some((other) => other !== kernel);
  }

  /** Kernels that keep this device without a lease, where there must be none or is no room. */
  #inTheWay(id: number, lease: Lease): string[] {
    if (lease.shared && this.#hasRoom(id, lease)) return [];
    const leasing = this.#leasing(id);
    return this.#keeping(id).filter((other) => other !== lease.kernel && !leasing.includes(other));
  }

  /** Whether contexts and shares of all that are on the device fit with this one. */
  #hasRoom(id: number, { kernel, shared, vramMb }: Lease): boolean {
    const memoryMb = this.#memory.memoryMb[id] ?? 0;
    if (memoryMb === 0 || !shared) return true;
    const contexts = new Set([kernel, ...this.#keeping(id), ...this.#leasing(id)]).size;
    let needed = vramMb + contexts * this.#memory.contextMb;
    for (const each of this.#leases.values())
      if (each.kernel !== kernel && each.devices.includes(id)) needed += each.vramMb;
    return needed <= memoryMb;
  }

  #keeping(id: number): string[] {
    const bound = [...this.#bound].filter(([, devices]) => devices.includes(id));
    return bound.map(([kernel]) => kernel);
  }

  #leasing(id: number): string[] {
    const leases = [...this.#leases.values()].filter(({ devices }) => devices.includes(id));
    return leases.map(({ kernel }) => kernel);
  }

  #remember(kernel: string, devices: readonly number[]): void {
    if (devices.length === 0) return;
    const all = this.#had.get(kernel)?.all ?? new Set();
    for (const id of devices) all.add(id);
    this.#had.set(kernel, { all, latest: devices });
  }

  /** Ends a cell's lease, and gives the devices that it had; none when there is no such lease. */
  release(kernel: string, cell: number): readonly number[] {
    const lease = this.#leases.get(keyOf(kernel, cell));
    if (lease === undefined) return [];
    this.#leases.delete(keyOf(kernel, cell));
    const others = [...this.#leases.values()].filter((each) => each.kernel === kernel);
    for (const id of lease.devices)
      if (this.#holders[id] === kernel && !others.some((each) => each.devices.includes(id)))
        this.#holders[id] = undefined;
    return lease.devices;
  }

  /** CUDA has started in the kernel's process with these devices visible. */
  bind(kernel: string, devices: readonly number[]): void {
    if (!this.#bound.has(kernel) && devices.length > 0) this.#bound.set(kernel, [...devices]);
  }

  /** The kernel's process has ended: its contexts are gone with it. Leases stay as they are. */
  unbind(kernel: string): void {
    this.#bound.delete(kernel);
    this.#had.delete(kernel);
  }

  /** The kernel is gone from this host. */
  forget(kernel: string): void {
    this.unbind(kernel);
    for (const [key, lease] of this.#leases) if (lease.kernel === kernel) this.#leases.delete(key);
    this.#holders = this.#holders.map((holder) => (holder === kernel ? undefined : holder));
  }

  /**
   * Devices were seen in use by a kernel's process: binds it. Gives those that it must not use:
   * `never` leased to it, or `taken` by another kernel since.
   */
  seen(kernel: string, used: readonly number[]): { never: number[]; taken: number[] } {
    const had = this.#had.get(kernel);
    const never = used.filter((id) => had?.all.has(id) !== true);
    const fair = used.filter((id) => !never.includes(id));
    const latest = had?.latest ?? [];
    this.bind(kernel, fair.every((id) => latest.includes(id)) && fair.length > 0 ? latest : fair);
    const leasing = (id: number): boolean => this.#leasing(id).includes(kernel);
    const lost = (id: number): boolean => {
      const holder = this.#holders[id];
      return holder !== undefined && holder !== kernel && !leasing(id);
    };
    return { never, taken: fair.filter(lost) };
  }

  /** Devices that a kernel's process has used with CUDA, which later cells should get again. */
  boundTo(kernel: string): readonly number[] {
    return this.#bound.get(kernel) ?? [];
  }

  /** Which kernel holds each device, undefined for a free one. */
  holders(): readonly (string | undefined)[] {
    return this.#holders;
  }
}

function keyOf(kernel: string, cell: number): string {
  return `${kernel}/${cell}`;
}
