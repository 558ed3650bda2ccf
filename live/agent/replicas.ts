import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { NbosError } from '../../core/errors.ts';
import type {
  AgentNotice,
  GatewayRequest,
  KernelPosition,
  KernelReport,
  RestoreAnswer,
  StoredKernel,
} from '../wire/messages.ts';
import type { AgentOptions, FreshReplica } from './agent-options.ts';
import type { PeerBlobs } from './blobs.ts';
import type { PeerLinks } from './peers.ts';
import type { Processes } from './pool.ts';
import type { Replica, Tell } from './ports.ts';
import { recoverGroup } from './recover-group.ts';
import { type Ground, restoreGroup } from './restore-group.ts';
import type { Saver } from './saver.ts';
import type { LevelStore } from './store.ts';

export interface ReplicasOf {
  options: AgentOptions;
  store: LevelStore;
  peers: PeerLinks;
  blobs: PeerBlobs;
  processes: Processes;
  saver: Saver | undefined;
  tell: Tell;
}

/** A replica that is to come to this host, or to go. */
interface Asked {
  readonly member: number;
  readonly comes: boolean;
}

/** A beat in so many says all positions, the others those that changed. */
const WHOLE_EVERY_BEATS = 20;

/** The replicas on this host, by kernel; comings and goings of one kernel one after the other. */
export class Replicas {
  readonly #of: ReplicasOf;
  readonly #replicas = new Map<string, Replica>();
  /** kernels whose log is here and cannot be used, with the reason */
  readonly #unusable = new Map<string, NbosError>();
  /** that stopped by themselves: what they had is in the store */
  readonly #stopped = new Set<string>();
  readonly #work = new Map<string, Promise<unknown>>();
  /** comings and goings that wait for their turn, by kernel, in order */
  readonly #asked = new Map<string, Asked[]>();
  /** process started ahead that a kernel's next first one is taken from */
  readonly #pooled = new Map<string, string>();
  readonly #told = new Map<string, string>();
  /** last cell of a kernel whose reply has left the gateway */
  readonly #replied = new Map<string, number>();
  #beats = 0;

  constructor(of: ReplicasOf) {
    this.#of = of;
  }

  /** Takes up all kernels that the store has; one that fails does not keep the others. */
  async recover(): Promise<void> {
    const { store, options } = this.#of;
    const kernels = await store.kernels();
    await Promise.all(kernels.map((kernel) => this.#inTurn(kernel, () => this.#reopen(kernel))));
    if (kernels.length > 0)
      options.log.info(
        { kernels: this.#replicas.size, unusable: this.#unusable.size },
        'replicas are here again',
      );
  }

  get size(): number {
    return this.#replicas.size;
  }

  /** What one replica throws does not keep it from the others. */
  each(work: (replica: Replica) => void): void {
    for (const replica of this.#replicas.values())
      try {
        work(replica);
      } catch (error) {
        const { kernel } = replica;
        this.#of.options.log.error({ err: error, kernel }, 'a replica failed at its work');
      }
  }

  find(kernel: string): Replica | undefined {
    return this.#replicas.get(kernel);
  }

  /** Throws `kernel-unknown`; with `member` also when another one is here. */
  get(kernel: string, member?: number): Replica {
    const replica = this.#replicas.get(kernel);
    if (replica !== undefined && (member === undefined || replica.member === member))
      return replica;
    throw this.#unusable.get(kernel) ?? this.#unknown(kernel);
  }

  /** Reasons for which logs on this host are not used. */
  unusable(): IterableIterator<[string, NbosError]> {
    return this.#unusable.entries();
  }

  /** Resolves once its Raft member exists. Asked twice, it is made once. */
  start(request: Extract<GatewayRequest, { t: 'start-replica' }>): Promise<void> {
    const { meta, member, members, joins, niced, pooled } = request;
    return this.#asTold(meta.kernel, { member, comes: true }, async () => {
      const before = this.#replicas.get(meta.kernel);
      if (before?.member === member) {
        if (meta.visits) this.#wake(before, pooled);
        return;
      }
      await this.#purge(meta.kernel);
      await this.#open(meta.kernel, niced, pooled, { meta, member, members, joins });
    });
  }

  /** Ends its process, the log stays. Nothing happens when another member is here by now. */
  rest(kernel: string, member: number): Promise<void> {
    return this.#inTurn(kernel, async () => {
      const replica = this.#replicas.get(kernel);
      if (replica?.member === member) await replica.rest();
    });
  }

  #wake(replica: Replica, pooled: string): void {
    this.#pooled.set(replica.kernel, pooled);
    replica.wake();
    // The gateway waits to hear of it, also where it runs already.
    this.#told.delete(replica.kernel);
  }

  /** Removes process, log and files; `closed`: from the store too. Nothing happens when another member is here by now. */
  stop(kernel: string, member: number, closed: boolean): Promise<void> {
    return this.#asTold(kernel, { member, comes: false }, async () => {
      const replica = this.#replicas.get(kernel);
      if (replica !== undefined && replica.member !== member) return;
      await this.#purge(kernel);
      if (closed) this.#of.saver?.ended(kernel);
    });
  }

  /**
   * The kernel goes on from this replica alone, as member `as`; its process starts anew. Asked
   * again after it was done, nothing happens.
   */
  recoverFrom(kernel: string, member: number, as: number): Promise<void> {
    return this.#inTurn(kernel, async () => {
      const { store, options } = this.#of;
      if (this.#replicas.get(kernel)?.member === as) return;
      const replica = this.get(kernel, member);
      this.#replicas.delete(kernel);
      await replica.stop('leave');
      let failure: unknown;
      await recoverGroup(store, kernel, options.host, as).catch((error) => {
        failure = error;
      });
      await this.#reopen(kernel);
      if (failure !== undefined) throw failure;
    });
  }

  /**
   * The kernel goes on here with what the store has of it. Resolves once its member exists; when
   * that was not to be, all is as it was.
   */
  restore(request: Extract<GatewayRequest, { t: 'restore-replica' }>): Promise<RestoreAnswer> {
    const { t: _t, pooled, ...beginning } = request;
    const { kernel } = beginning.meta;
    return this.#inTurn(kernel, async () => {
      const { store, blobs, options } = this.#of;
      const before = this.#replicas.get(kernel);
      if (before === undefined) await this.#purge(kernel);
      await blobs.prepare(kernel);
      const ground: Ground = {
        ...{ host: options.host, logs: store },
        fetch: (files) => blobs.fetchStored(kernel, files),
        clear: async () => {
          this.#replicas.delete(kernel);
          await before?.stop('leave');
        },
      };
      try {
        const begun = await restoreGroup(ground, options.store, beginning);
        await this.#open(kernel, false, pooled, undefined);
        if (beginning.meta.visits) this.get(kernel).wake();
        options.log.info({ kernel, ...begun }, 'a kernel begins anew from the store');
        return { ...begun, report: this.get(kernel).report() };
      } catch (error) {
        if (before === undefined) await this.#purge(kernel);
        else if (!this.#replicas.has(kernel)) await this.#reopen(kernel);
        throw error;
      }
    });
  }

  /** What the store knows of a kernel that no host has; undefined for nothing. */
  async stored(kernel: string): Promise<StoredKernel | undefined> {
    const saved = await this.#of.options.store?.latestTable(kernel);
    if (saved === undefined || saved.state.meta === null) return undefined;
    const { meta, epoch, executor, nextCell, nextAttempt, count } = saved.state;
    return { meta, applied: saved.index, epoch, executor, nextCell, nextAttempt, count };
  }

  /** A replica said that it has stopped. */
  failed(kernel: string): void {
    this.#stopped.add(kernel);
  }

  /** How many have stopped that may go on one day. */
  get stopped(): number {
    return this.#stopped.size;
  }

  /** Makes replicas anew that stopped, when what stopped them is over. */
  async restartStopped(): Promise<void> {
    const kernels = [...this.#stopped];
    this.#stopped.clear();
    await Promise.all(
      kernels.map((kernel) =>
        this.#inTurn(kernel, async () => {
          const replica = this.#replicas.get(kernel);
          if (replica === undefined && !this.#unusable.has(kernel)) return;
          this.#replicas.delete(kernel);
          await replica?.stop('leave');
          await this.#reopen(kernel);
        }),
      ),
    );
  }

  /** What a gateway without memory needs to go on. */
  reports(): KernelReport[] {
    const reports: KernelReport[] = [];
    this.each((replica) => {
      const report = replica.report();
      const replied = this.#replied.get(replica.kernel);
      if (replied === undefined) reports.push(report);
      else reports.push({ ...report, outputs: { ...report.outputs, replied } });
    });
    return reports;
  }

  outputsSeen(kernel: string, upTo: number, replied: number | undefined): void {
    this.#replicas.get(kernel)?.outputsSeen(upTo);
    if (replied !== undefined) this.#replied.set(kernel, replied);
  }

  /** For a beat: what changed since the last one, from time to time all. */
  positions(): KernelPosition[] {
    const whole = this.#beats++ % WHOLE_EVERY_BEATS === 0;
    const found: KernelPosition[] = [];
    this.each((replica) => {
      const position = replica.position();
      const { member, role, applied, process, pid, store } = position;
      const said = `${member} ${role} ${applied} ${process} ${pid} ${store?.since}`;
      if (!whole && this.#told.get(replica.kernel) === said) return;
      this.#told.set(replica.kernel, said);
      found.push(position);
    });
    return found;
  }

  /** Lets go of all; logs and files stay. */
  async close(): Promise<void> {
    await Promise.all(this.#work.values());
    const { log } = this.#of.options;
    await Promise.all(
      [...this.#replicas.values()].map((replica) =>
        replica
          .stop('leave')
          .catch((error) => log.error({ err: error, kernel: replica.kernel }, 'did not stop')),
      ),
    );
    this.#replicas.clear();
  }

  async #reopen(kernel: string): Promise<void> {
    const { options, tell } = this.#of;
    try {
      await this.#open(kernel, true, '', undefined);
    } catch (error) {
      const reason = asNbosError(error);
      this.#unusable.set(kernel, reason);
      if (reason.code === 'disk-full') this.failed(kernel);
      options.log.error({ err: error, kernel }, 'a kernel of this host cannot be used');
      const { code, message } = reason;
      tell({ t: 'replica-failed', kernel, member: 0, code, message });
    }
  }

  async #open(
    kernel: string,
    niced: boolean,
    pooled: string,
    fresh: FreshReplica | undefined,
  ): Promise<void> {
    const { options, store, peers, blobs, processes, saver, tell } = this.#of;
    await blobs.prepare(kernel);
    const directory = blobs.directory(kernel);
    this.#pooled.set(kernel, pooled);
    const replica = await options.openReplica(
      {
        ...{ kernel, store, peers, blobs, niced, saver },
        tell: (notice, frames) => {
          if (notice.t === 'replica-failed') this.#heardFailure(kernel, notice);
          tell(notice, frames);
        },
        log: options.log,
        gpus: options.capacity.gpus,
        gpuAccess: options.gpuAccess,
        outputs: join(options.folder, 'outputs', kernel),
        makeRuntime: (meta, nicedNow, first) => {
          const taken = first ? (this.#pooled.get(kernel) ?? '') : '';
          return processes.make({ meta, blobs: directory, niced: nicedNow }, taken);
        },
      },
      fresh,
    );
    this.#unusable.delete(kernel);
    this.#stopped.delete(kernel);
    this.#replicas.set(kernel, replica);
  }

  #heardFailure(kernel: string, { code }: Extract<AgentNotice, { t: 'replica-failed' }>): void {
    if (code === 'replica-stopped' || code === 'disk-full' || code === 'file-unwritable')
      this.failed(kernel);
  }

  async #purge(kernel: string): Promise<void> {
    const { store, blobs, options } = this.#of;
    const replica = this.#replicas.get(kernel);
    this.#replicas.delete(kernel);
    this.#unusable.delete(kernel);
    this.#stopped.delete(kernel);
    this.#told.delete(kernel);
    this.#pooled.delete(kernel);
    this.#replied.delete(kernel);
    await replica?.stop('purge');
    await store.remove(kernel);
    await blobs.remove(kernel);
    await rm(join(options.folder, 'outputs', kernel), { recursive: true, force: true });
  }

  /** A start in its turn, unless the same member is to go again, or another to come, by now. */
  #asTold(kernel: string, asked: Asked, work: () => Promise<void>): Promise<void> {
    const all = this.#asked.get(kernel) ?? [];
    this.#asked.set(kernel, all);
    all.push(asked);
    return this.#inTurn(kernel, async () => {
      all.shift();
      if (all.length === 0) this.#asked.delete(kernel);
      const { member, comes } = asked;
      const isOver = all.some((later) => later.comes !== (later.member === member));
      if (comes && isOver) throw this.#unknown(kernel);
      await work();
    });
  }

  #inTurn<Result>(kernel: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#work.get(kernel) ?? Promise.resolve();
    const result = before.then(work, work);
    const settled = result
      .catch(() => undefined)
      .then(() => {
        if (this.#work.get(kernel) === settled) this.#work.delete(kernel);
      });
    this.#work.set(kernel, settled);
    return result;
  }

  #unknown(kernel: string): NbosError {
    return new NbosError(
      'kernel-unknown',
      `host ${this.#of.options.host} has no replica of kernel ${kernel}`,
      'It may have moved; `nbos kernels` shows where its replicas are.',
    );
  }
}

export function asNbosError(error: unknown): NbosError {
  if (error instanceof NbosError) return error;
  return new NbosError('agent-failed', error instanceof Error ? error.message : String(error));
}
