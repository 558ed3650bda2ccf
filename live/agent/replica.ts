import type { NbosError } from '../../core/errors.ts';
import { type Message, NOBODY, type RoleStatus } from '../../core/raft/index.ts';
import type { JupyterMessage } from '../jupyter/message.ts';
import type { AbortEntry, EndEntry, KernelMeta, LogEntry } from '../log/entries.ts';
import { type Applied, KernelLog } from '../log/kernel-log.ts';
import type { AgentFault, KernelPosition, KernelReport, MemberAddress } from '../wire/messages.ts';
import { createGroup, type Group, loadGroup } from './group.ts';
import type { GroupMachine, GroupOptions } from './group-options.ts';
import type { ForwardAnswer, Replica } from './ports.ts';
import { CellRunner } from './replica-cell.ts';
import { ReplicaCollector } from './replica-collect.ts';
import { AbortElsewhere } from './replica-elsewhere.ts';
import { causeFault } from './replica-faults.ts';
import { RunningLease } from './replica-fence.ts';
import { collectorOf, isInForce, type Joints, leaseOf, runnerOf } from './replica-joints.ts';
import type { NewReplica, ReplicaOptions } from './replica-options.ts';
import { OutputGate } from './replica-outputs.ts';
import { ReplicaProcess } from './replica-process.ts';
import { positionOf, reportOf } from './replica-report.ts';
import { ReplicaSaving } from './replica-saving.ts';
import { ReplicaState } from './replica-state.ts';
import { filesOf } from './replica-table.ts';

/**
 * One kernel on this host: its Raft member decides, its process follows. Whatever is applied here
 * comes in the order of the log; whatever the process does comes back as entries.
 */
export class KernelReplica implements Replica, GroupMachine {
  readonly kernel: string;
  readonly #options: ReplicaOptions;
  readonly #process: ReplicaProcess;
  readonly #runner: CellRunner;
  readonly #collector: ReplicaCollector;
  readonly #gate: OutputGate;
  readonly #lease: RunningLease;
  readonly #state: ReplicaState;
  readonly #saving: ReplicaSaving;
  readonly #elsewhere: AbortElsewhere;
  #log = new KernelLog();
  #group!: Group;
  #meta!: KernelMeta;
  #dead = false;
  #resets = 0;

  constructor(options: ReplicaOptions) {
    const { kernel, limits, peers } = options;
    this.#options = options;
    this.kernel = kernel;
    this.#elsewhere = new AbortElsewhere(kernel, peers);
    this.#process = new ReplicaProcess(this.#processOf());
    const of = { process: this.#process, log: () => this.#log, group: () => this.#group };
    this.#state = new ReplicaState(options, of);
    this.#saving = new ReplicaSaving(options, this.#state, of);
    const joints: Joints = {
      ...{ ...of, options, state: this.#state, elsewhere: this.#elsewhere },
      runner: () => this.#runner,
      collector: () => this.#collector,
      restart: () => this.#restartProcess(),
    };
    this.#runner = new CellRunner(runnerOf(joints));
    this.#lease = new RunningLease(leaseOf(joints), limits.leaseMs, limits.contactMs);
    this.#collector = new ReplicaCollector(collectorOf(joints));
    this.#gate = new OutputGate(kernel, options, () => ({
      member: this.member,
      executor: this.#log.executor,
      current: this.#runner.current,
    }));
  }

  /**
   * Its log on disk, new or found there; then the process, which is not waited for. Of a kernel
   * that visits, what is found rests.
   */
  async open(fresh: NewReplica | undefined): Promise<boolean> {
    const { store, peers, random, now, log, limits, kernel } = this.#options;
    const options: GroupOptions = { kernel, store, peers, random, now, log, limits: limits.group };
    if (fresh === undefined) {
      const loaded = await loadGroup(options, this);
      if (loaded === undefined) return false;
      this.#group = loaded.group;
      this.#meta = loaded.identity.meta;
    } else {
      const { meta, member, members, joins } = fresh;
      this.#group = await createGroup(options, this, { member, meta, members }, joins);
      this.#meta = meta;
    }
    this.#group.start();
    if (fresh === undefined && this.#meta.visits) void this.#process.rest();
    else this.#process.start();
    return true;
  }

  get member(): number {
    return this.#group.member;
  }

  get #isExecutor(): boolean {
    return this.#log.executor === this.member;
  }

  #processOf(): ConstructorParameters<typeof ReplicaProcess>[0] {
    const { kernel, limits, now, log, tell, makeRuntime, niced, blobs } = this.#options;
    return {
      kernel,
      limits,
      now,
      log,
      make: (first) => {
        this.#options.devices.unbind();
        const meta = this.#log.meta ?? this.#meta;
        return makeRuntime(meta, niced && !this.#isExecutor, first);
      },
      table: () => this.#log.units,
      revision: () => this.#log.revision,
      count: () => this.#log.count,
      ensure: (units) => blobs.ensure(kernel, filesOf(units), this.#group.hosts),
      onMessage: (channel, message) => this.#gate.fromKernel(channel, message),
      onSaved: (delta) => this.#collector.found(delta),
      onReady: (startMs) => {
        const { pid } = this.#process;
        tell({ t: 'replica-ready', kernel, member: this.member, pid, startMs });
        this.#state.tell(0);
      },
      onDeath: (exit, begun) => {
        this.#runner.died(exit, begun);
        this.#collector.forget();
        tell({ t: 'process-died', kernel, member: this.member, exit });
      },
      onFailed: ({ code, message }) => {
        tell({ t: 'replica-failed', kernel, member: this.member, code, message });
      },
    };
  }

  apply(index: number, entry: LogEntry): void {
    const { kernel, member } = this;
    const former = this.#log.executor;
    const applied = this.#log.apply(index, entry);
    const { notice, changed } = applied;
    if (entry.type !== 'state' && entry.type !== 'saved')
      this.#options.tell({ t: 'applied', kernel, member, index, entry: notice });
    if (changed) this.#follow(applied, former);
  }

  #follow({ index, entry }: Applied, former: number): void {
    this.#saving.follow(entry);
    switch (entry.type) {
      case 'start':
        this.#onStart(index, former);
        break;
      case 'yield': {
        const { cell, attempt } = entry;
        if (this.#runner.current !== undefined) this.#runner.decided();
        const { kernel, member } = this;
        this.#options.tell({ t: 'yielded', kernel, cell, attempt, member });
        break;
      }
      case 'end':
      case 'abort':
        this.#onDecided(entry);
        if (entry.type === 'end') this.#state.tell(entry.timings.saveMs);
        break;
      case 'state':
        if (this.#isExecutor && this.#collector.confirmed(entry.n)) this.#process.took(entry.delta);
        else this.#process.changed();
        this.#state.tell(0);
        break;
      case 'reset':
        this.#startOver();
        break;
      default:
    }
  }

  #onStart(index: number, former: number): void {
    const { start, submit } = this.#log.running!;
    const { executor } = start!;
    if (executor !== this.member) {
      // What lives on in a former executor's process is of no kernel any more.
      const demoted = former === this.member;
      if (demoted && (this.#log.pinned.length > 0 || this.#collector.isAhead))
        this.#restartProcess();
      this.#group.transferTo(executor);
      return;
    }
    this.#options.outputs.advanceTo(start!.firstOutput ?? 0);
    // A START from before this host opened the log may have run in its former life.
    if (index > this.#group.lastAtOpen) this.#runner.begin(start!, submit);
  }

  #onDecided(entry: EndEntry | AbortEntry): void {
    const { current } = this.#runner;
    const { outputs } = this.#options;
    outputs.decided(entry.cell);
    if (entry.type === 'end') outputs.advanceTo(entry.lastOutput + 1);
    if (current?.start.cell !== entry.cell) {
      if (entry.type === 'end') this.#process.changed();
      return;
    }
    this.#runner.decided();
    this.#lease.reset();
    const same = current.generation === this.#process.generation;
    if (entry.type === 'abort') {
      if (same && current.phase !== 'preparing') this.#restartProcess();
      return;
    }
    if (same) this.#process.took(entry.delta);
    else this.#process.changed();
    this.#collector.afterCell(entry.n ?? 0);
  }

  #restartProcess(): void {
    this.#collector.forget();
    this.#process.restart();
  }

  #startOver(): void {
    this.#resets = this.#log.resets;
    this.#runner.decided();
    this.#lease.reset();
    this.#restartProcess();
    this.#state.tell(0);
  }

  snapshot(): unknown {
    this.#saving.outdated();
    return this.#log.state();
  }

  restore(state: unknown): void {
    const before = this.#log;
    this.#log = state === undefined ? new KernelLog() : KernelLog.from(state);
    this.#log.revision = before.revision + 1;
    this.#options.outputs.advanceTo(this.#log.lastOutput + 1);
    if (before.applied > 0) this.#leaveBehind(before);
    this.#resets = this.#log.resets;
    this.#process.changed();
  }

  /** The others went on without this member: what its process did alone is not the kernel's. */
  #leaveBehind({ executor, pinned }: KernelLog): void {
    const { current } = this.#runner;
    const lost = current !== undefined && !isInForce(this.#log, current.start);
    if (lost) this.#runner.decided();
    const demoted = executor === this.member && !this.#isExecutor;
    const differs = this.#collector.isAhead || (demoted && pinned.length > 0);
    if (this.#log.resets !== this.#resets) this.#startOver();
    else if ((lost && current.phase !== 'preparing') || (differs && (lost || !current)))
      this.#restartProcess();
  }

  onRole({ role }: RoleStatus): void {
    this.#saving.onRole();
    if (role !== 'leader' || this.#log.meta !== undefined) return;
    this.#group
      .propose([{ v: 1, type: 'create', meta: this.#meta }])
      .catch((error: unknown) => this.#warn(error, 'the first entry of a kernel was not written'));
  }

  onLostQuorum(): void {
    this.#options.tell({ t: 'lost-quorum', kernel: this.kernel, member: this.member });
  }

  onFailed(error: unknown): void {
    this.#dead = true;
    const { code = 'replica-stopped', message = String(error) } = error as Partial<NbosError>;
    const { kernel, member } = this;
    this.#options.tell({ t: 'replica-failed', kernel, member, code, message });
    const { current } = this.#runner;
    if (current !== undefined)
      this.#runner.giveUp(current, 'executor-died', `The log on this host failed: ${message}.`);
    this.#process.stop(true).catch((failure: unknown) => {
      this.#warn(failure, 'a kernel process did not end');
    });
  }

  step(messages: readonly Message[], from: string): void {
    this.#group.step(messages, from);
  }

  tick(): void {
    this.#elsewhere.tick();
    if (this.#dead) return;
    this.#group.tick();
    this.#process.tick();
    this.#runner.tick();
    if (this.#runner.current !== undefined) this.#lease.tick(this.#options.now());
    else if (this.#group.node.leader !== NOBODY) this.#runner.abandonOld(this.#log, this.member);
    this.#collector.tick(this.#isExecutor);
    this.#saving.tick();
  }

  hostGone(host: string): void {
    if (!this.#dead) this.#group.hostGone(host);
  }

  propose(entries: readonly LogEntry[]): Promise<void> {
    return this.#group.propose(entries);
  }

  proposeHere(entries: readonly LogEntry[]): Promise<ForwardAnswer> {
    return this.#group.proposeHere(entries);
  }

  changeMembers(add: MemberAddress | undefined, remove: number | undefined): Promise<void> {
    return this.#group.changeMembers(add, remove);
  }

  toKernel(channel: 'shell' | 'control' | 'stdin', message: JupyterMessage): void {
    this.#gate.addressed = true;
    this.#process.send(channel, message);
  }

  async interrupt(): Promise<void> {
    if (!this.#runner.interruptEarly()) await this.#process.interrupt();
  }

  resendOutputs(from: number): void {
    this.#gate
      .resend(from)
      .catch((error: unknown) => this.#warn(error, 'outputs were not sent again'));
  }

  outputsSeen(upTo: number): void {
    this.#options.outputs.outputsSeen(upTo);
  }

  wake(): void {
    const { state } = this.#process;
    this.#saving.takeBack();
    if (state === 'resting' || state === 'dead') this.#process.start();
  }

  async rest(): Promise<void> {
    this.#collector.forget();
    await this.#process.rest();
    if (this.#process.state === 'resting') this.#options.devices.unbind();
  }

  save(): Promise<void> {
    return this.#saving.save();
  }

  position(): KernelPosition {
    return { ...positionOf(this.#group, this.#process), ...this.#saving.standing() };
  }

  report(): KernelReport {
    const { outputs } = this.#options;
    return reportOf(this.#group, this.#process, this.#log, this.#meta, outputs);
  }

  fault(fault: AgentFault): void {
    causeFault(fault, this.#process, this.#runner);
  }

  async stop(how: 'leave' | 'purge'): Promise<void> {
    const { store, blobs, outputs } = this.#options;
    this.#dead = true;
    this.#elsewhere.stop();
    this.#saving.stop();
    this.#runner.stop();
    await this.#group.stop();
    await this.#process.stop(how === 'leave');
    await outputs.close();
    if (how === 'leave') return;
    await store.remove(this.kernel);
    await blobs.remove(this.kernel);
  }

  #warn(error: unknown, message: string): void {
    this.#options.log.warn({ kernel: this.kernel, err: error }, message);
  }
}
