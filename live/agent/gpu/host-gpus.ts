/** A lease as a cell holds it. */
interface Lease {
  readonly kernel: string;
  readonly devices: readonly number[];
}

/** Whether a cell can have its devices, and what must happen before. */
export type Taken = 'taken' | 'restart-process' | 'busy' | 'unknown-device';

/**
 * The GPUs of a host and what runs on them. The gateway's books choose the devices of a cell; a
 * host checks that they are there and free before it runs it: its view outlives a gateway.
 * Devices that a process has used stay visible to it and hold its memory until it ends, so a
 * kernel is bound to the ids that it first used with CUDA.
 */
export class HostGpus {
  readonly count: number;
  readonly #leases = new Map<string, Lease>();
  readonly #bound = new Map<string, readonly number[]>();
  #holders: (string | undefined)[];

  constructor(count: number) {
    this.count = count;
    this.#holders = new Array(count).fill(undefined);
  }

  /**
   * Leases `devices` to a cell of `kernel`, all or none. `restart-process` when the process has CUDA
   * on others: it must be started anew from its state and `unbind` be called first. A share of a
   * device, `shared`, may be held by several kernels at once.
   */
  take(kernel: string, cell: number, devices: readonly number[], shared = false): Taken {
    if (devices.some((id) => !Number.isInteger(id) || id < 0 || id >= this.count))
      return 'unknown-device';
    const bound = this.#bound.get(kernel);
    if (bound !== undefined && devices.some((id) => !bound.includes(id))) return 'restart-process';
    const free = (id: number): boolean =>
      this.#holders[id] === undefined || this.#holders[id] === kernel;
    if (!shared && !devices.every(free)) return 'busy';
    this.#leases.set(keyOf(kernel, cell), { kernel, devices });
    if (!shared) for (const id of devices) this.#holders[id] = kernel;
    return 'taken';
  }

  /** Ends a cell's lease; nothing when it has none. */
  release(kernel: string, cell: number): void {
    const lease = this.#leases.get(keyOf(kernel, cell));
    if (lease === undefined) return;
    this.#leases.delete(keyOf(kernel, cell));
    const others = [...this.#leases.values()].filter((each) => each.kernel === kernel);
    for (const id of lease.devices)
      if (this.#holders[id] === kernel && !others.some((each) => each.devices.includes(id)))
        this.#holders[id] = undefined;
  }

  /** CUDA has started in the kernel's process with these devices visible. */
  bind(kernel: string, devices: readonly number[]): void {
    if (!this.#bound.has(kernel) && devices.length > 0) this.#bound.set(kernel, [...devices]);
  }

  /** The kernel's process has ended: its contexts are gone with it. Leases stay as they are. */
  unbind(kernel: string): void {
    this.#bound.delete(kernel);
  }

  /** The kernel is gone from this host. */
  forget(kernel: string): void {
    this.unbind(kernel);
    for (const [key, lease] of this.#leases) if (lease.kernel === kernel) this.#leases.delete(key);
    this.#holders = this.#holders.map((holder) => (holder === kernel ? undefined : holder));
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
