/** A lease as a cell holds it. */
interface Lease {
  readonly kernel: string;
  /** as the gateway's books number them */
  readonly booked: readonly number[];
  /** what it has of this host, in the order in which the process sees them */
  readonly devices: readonly number[];
  /** a share of each device, which other kernels may share */
  readonly shared: boolean;
  /** memory that the cell needs of each device, MB */
  readonly vramMb: number;
}

/** The devices that a cell has, or why it cannot have any and what must happen before. */
export type Taken = readonly number[] | 'restart-process' | 'busy' | 'unknown-device';

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
 * The GPUs of a host and what runs on them. The gateway's books say how many a cell has, and which
 * cells share one; the host says which they are, so that a kernel has the same ones again: a
 * process with CUDA sees those it had first until it ends, and keeps some of their memory. Its view
 * outlives a gateway, and what is not free in it is not given, whatever the books say.
 */
export class HostGpus {
  readonly count: number;
  readonly #memory: GpuMemory;
  readonly #leases = new Map<string, Lease>();
  /** by kernel: devices that its process sees, in their order, since CUDA has started in it */
  readonly #bound = new Map<string, readonly number[]>();
  /** of a kernel's process: all devices that it ever had, and those of its latest lease */
  readonly #had = new Map<string, { all: Set<number>; latest: readonly number[] }>();
  /**
   * A device that this kernel's process keeps without a lease is needed by another. True when it
   * lets go; else whoever needs it waits.
   */
  onWanted: (kernel: string) => boolean = () => false;

  constructor(count: number, memory: GpuMemory = UNKNOWN) {
    this.count = count;
    this.#memory = memory;
  }

  /**
   * Leases as many devices to a cell of `kernel` as are `booked`, all or none. `restart-process`
   * when its process sees others: it must be started anew from its state and `unbind` be called
   * first. `busy` also while another process keeps what is needed: it has been asked to let go.
   */
  take(kernel: string, cell: number, booked: readonly number[], asked: Asked = WHOLE): Taken {
    if (booked.some((id) => !Number.isInteger(id) || id < 0 || id >= this.count))
      return 'unknown-device';
    const devices = this.#choose(kernel, booked, asked.shared);
    if (typeof devices === 'string') return devices;
    const lease = { kernel, booked, devices, ...asked };
    const inTheWay = devices.flatMap((id) => this.#inTheWay(id, lease));
    if (inTheWay.length > 0) {
      for (const other of new Set(inTheWay)) this.onWanted(other);
      return 'busy';
    }
    if (!devices.every((id) => this.#hasRoom(id, lease))) return 'busy';
    this.#leases.set(keyOf(kernel, cell), lease);
    this.#remember(kernel, devices);
    return devices;
  }

  #choose(kernel: string, booked: readonly number[], shared: boolean): Taken {
    const sharing = shared ? this.#sharedAs(kernel, booked) : [];
    const free = this.#freeFor(kernel);
    const possible = sharing.length > 0 ? sharing : free.slice(0, booked.length);
    if (possible.length < booked.length) return 'busy';
    // A process counts devices from the first that it sees.
    const seen = this.#bound.get(kernel)?.slice(0, booked.length);
    if (seen === undefined) return possible;
    const allowed = sharing.length > 0 ? sharing : free;
    const fits = seen.length === booked.length && seen.every((id) => allowed.includes(id));
    return fits ? seen : 'restart-process';
  }

  /** What others have who share the same devices in the books. */
  #sharedAs(kernel: string, booked: readonly number[]): number[] {
    const leases = [...this.#leases.values()].filter((each) => each.shared);
    return booked.flatMap((id) => {
      const other = leases.find((each) => each.kernel !== kernel && each.booked.includes(id));
      return other?.devices[other.booked.indexOf(id)] ?? [];
    });
  }

  /** Devices without a lease of another kernel: its own first, those that others keep last. */
  #freeFor(kernel: string): number[] {
    const rank = (id: number): number => {
      const leasing = this.#leasing(id);
      if (leasing.length > 0) return leasing.every((each) => each === kernel) ? 0 : -1;
      return this.#keeping(id).some((other) => other !== kernel) ? 2 : 1;
    };
    const free = Array.from({ length: this.count }, (_, id) => ({ id, rank: rank(id) }));
    const usable = free.filter((each) => each.rank !== -1);
    return usable.sort((a, b) => a.rank - b.rank || a.id - b.id).map(({ id }) => id);
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
    this.#leases.delete(keyOf(kernel, cell));
    return lease?.devices ?? [];
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
    const holders = this.holders();
    const lost = (id: number): boolean =>
      holders[id] !== undefined && !this.#leasing(id).includes(kernel);
    return { never, taken: fair.filter(lost) };
  }

  /** Devices that a kernel's process has used with CUDA, which later cells should get again. */
  boundTo(kernel: string): readonly number[] {
    return this.#bound.get(kernel) ?? [];
  }

  /** Which kernel has each device for itself, undefined for a free or shared one. */
  holders(): readonly (string | undefined)[] {
    const whole = [...this.#leases.values()].filter(({ shared }) => !shared);
    return Array.from(
      { length: this.count },
      (_, id) => whole.find(({ devices }) => devices.includes(id))?.kernel,
    );
  }
}

function keyOf(kernel: string, cell: number): string {
  return `${kernel}/${cell}`;
}
