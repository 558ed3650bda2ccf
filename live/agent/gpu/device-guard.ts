import type { Logger } from 'pino';
import type { ReplicaDevices } from '../replica-options.ts';
import type { GpuAccess, GpuUser } from './access.ts';
import { HostGpus } from './host-gpus.ts';

export interface GuardLimits {
  /** MB that a process with CUDA takes of each device it sees */
  readonly contextMb: number;
  /** ms between two looks at what uses the devices */
  readonly lookMs: number;
}

export const GUARD_LIMITS: GuardLimits = { contextMb: 500, lookMs: 3_000 };

/** What a kernel's replica does about devices when it is asked. */
export interface DeviceOwner {
  /** A device that its process only keeps is needed: true when the process is ended for it. */
  letGo(): boolean;
  /** Its process uses what it has no right to: it is ended, and the user told why. */
  end(why: string): void;
}

/**
 * The GPUs of one host for all its kernels: the book of leases, the opening and closing of devices,
 * and a look from time to time at what is really used. Opened descriptors outlive a lease, so only
 * the first use can be refused; later misuse is found and ended.
 */
export class DeviceGuard {
  readonly gpus: HostGpus;
  readonly #access: GpuAccess | undefined;
  readonly #limits: GuardLimits;
  readonly #log: Logger;
  readonly #owners = new Map<string, DeviceOwner>();
  readonly #pids = new Map<string, number>();
  #looking = false;
  #lookAt = 0;
  #failed = '';

  constructor(count: number, access: GpuAccess | undefined, log: Logger, limits = GUARD_LIMITS) {
    const { contextMb } = limits;
    this.gpus = new HostGpus(count, { memoryMb: access?.memoryMb ?? [], contextMb });
    this.gpus.onWanted = (kernel) => this.#owners.get(kernel)?.letGo() ?? false;
    this.#access = access;
    this.#limits = limits;
    this.#log = log;
  }

  /** The devices as one kernel's replica knows them. */
  devicesOf(kernel: string): ReplicaDevices {
    const { gpus } = this;
    return {
      take: (cell, ids, asked) => gpus.take(kernel, cell, ids, asked),
      release: (cell) => {
        const ids = gpus.release(kernel, cell);
        if (ids.length > 0) this.#close(kernel, ids);
      },
      nameOf: (id) => this.#access?.numbers[id] ?? id,
      open: this.#access && ((pid, ids) => this.#open(kernel, pid, ids)),
      bind: (ids) => gpus.bind(kernel, ids),
      unbind: () => gpus.unbind(kernel),
      own: (owner) => void this.#owners.set(kernel, owner),
      watch: (pid, now) => this.#watch(kernel, pid, now),
      forget: () => this.#forget(kernel),
    };
  }

  async #open(kernel: string, pid: number, ids: readonly number[]): Promise<void> {
    await this.#seen(kernel, pid);
    await this.#access?.lease({ id: kernel, pid }, ids);
  }

  /** A process is seen while it starts: none of the user's code has run in it. */
  async #seen(kernel: string, pid: number): Promise<void> {
    if (this.#pids.get(kernel) === pid) return;
    this.#pids.set(kernel, pid);
    await this.#access?.started({ id: kernel, pid });
  }

  #close(kernel: string, ids: readonly number[]): void {
    const pid = this.#pids.get(kernel);
    if (pid === undefined) return;
    this.#access
      ?.end({ id: kernel, pid }, ids)
      .catch((error: unknown) => this.#log.warn({ kernel, err: error }, 'devices stay open'));
  }

  #forget(kernel: string): void {
    this.gpus.forget(kernel);
    this.#owners.delete(kernel);
    this.#pids.delete(kernel);
  }

  /** Called in the ticks of all replicas; a look begins when one is due and the last is over. */
  #watch(kernel: string, pid: number, now: number): void {
    if (this.#access === undefined) return;
    if (pid === 0) this.#pids.delete(kernel);
    else
      this.#seen(kernel, pid).catch((error: unknown) =>
        this.#log.warn({ kernel, err: error }, 'devices were not taken from a new process'),
      );
    if (this.#looking || now < this.#lookAt) return;
    this.#looking = true;
    this.look()
      .then(
        () => {
          this.#failed = '';
        },
        (error: unknown) => this.#lookFailed(String(error)),
      )
      .finally(() => {
        this.#looking = false;
        this.#lookAt = now + this.#limits.lookMs;
      });
  }

  /** Told once, not every few seconds. */
  #lookFailed(reason: string): void {
    if (reason !== this.#failed)
      this.#log.warn({ reason }, 'what uses the GPUs cannot be seen at the moment');
    this.#failed = reason;
  }

  /** Sees what is used, binds kernels to it, and ends those that use what is not theirs. */
  async look(): Promise<void> {
    const users: GpuUser[] = Array.from(this.#pids, ([id, pid]) => ({ id, pid }));
    if (users.length === 0) return;
    const used = await this.#access?.usedBy(users);
    for (const [index, { id, pid }] of users.entries()) {
      const ids = used?.[index] ?? [];
      if (ids.length > 0 && this.#pids.get(id) === pid) this.#judge(id, ids);
    }
  }

  #judge(kernel: string, ids: readonly number[]): void {
    const { never, taken } = this.gpus.seen(kernel, ids);
    const owner = this.#owners.get(kernel);
    if (never.length > 0) this.#end(kernel, owner, never, 'was never given');
    else if (taken.length > 0 && owner?.letGo() !== true)
      this.#end(kernel, owner, taken, 'does not have any more');
  }

  #end(kernel: string, owner: DeviceOwner | undefined, ids: readonly number[], why: string): void {
    this.#log.warn({ kernel, devices: ids }, 'a kernel used GPUs that it has no lease for');
    owner?.end(`it used GPU ${ids.join(', ')}, which it ${why}`);
    this.#pids.delete(kernel);
  }
}
