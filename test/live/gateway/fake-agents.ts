import { NbosError } from '../../../core/errors.ts';
import type { Brain } from '../../../live/gateway/brain.ts';
import type { Agents } from '../../../live/gateway/links.ts';
import { messageOf, newHeader } from '../../../live/jupyter/headers.ts';
import type { JupyterMessage } from '../../../live/jupyter/message.ts';
import type { AbortReason, LogEntry, StartEntry } from '../../../live/log/entries.ts';
import { KernelLog } from '../../../live/log/kernel-log.ts';
import type { SavedTable } from '../../../live/stores/kernel-store.ts';
import { framesOf } from '../../../live/wire/codec.ts';
import type {
  AgentHello,
  AgentNotice,
  GatewayNotice,
  GatewayRequest,
  RestoreAnswer,
} from '../../../live/wire/messages.ts';
import {
  type FakeGroup,
  type FakeMember,
  type FakeOutput,
  newGroup,
  processAfter,
  reportOf,
} from './fake-group.ts';
import { FakeGroups } from './fake-groups.ts';
import { groupFrom, type Restoring } from './fake-restore.ts';
import { answerTo, runCell } from './fake-run.ts';

const BEAT_MS = 20;
const GPUS = 2;

/**
 * Agents in memory: one true log for each kernel, hosts that can be cut off, and kernels that know
 * a few words: `print N` says N lines, `fail` raises, `hang` waits for an interrupt or `end`, `slow MS`
 * takes that long. `runs` counts how often each cell's code ran.
 */
export class FakeAgents implements Agents {
  readonly hosts: readonly string[];
  readonly #logs = new FakeGroups();
  readonly groups = this.#logs.now;
  readonly runs = new Map<string, number>();
  readonly requests: GatewayRequest[] = [];
  /** names of pooled processes by host */
  readonly pooled = new Map<string, Set<string>>();
  brain: Brain | undefined;
  /** ms from start-replica to replica-ready */
  startMs = 1;
  /** hosts whose processes do not start */
  readonly broken = new Set<string>();
  /** what the store has, by kernel */
  readonly saved = new Map<string, SavedTable>();
  /** what the store says instead of an answer */
  storeSays: NbosError | undefined;
  /** ms that a save takes */
  saveMs = 1;
  /** outputs that are lost on their way, once each */
  readonly lost = new Set<number>();
  readonly #cut = new Set<string>();
  readonly #gone = new Set<string>();
  readonly #timer: NodeJS.Timeout;

  constructor(count: number) {
    this.hosts = Array.from({ length: count }, (_, index) => `h${index + 1}`);
    for (const host of this.hosts) this.pooled.set(host, new Set());
    this.#timer = setInterval(() => this.#beat(), BEAT_MS);
  }

  close(): void {
    clearInterval(this.#timer);
    this.brain = undefined;
  }

  /** A gateway starts (anew): every agent says hello. */
  connect(brain: Brain, hosts: readonly string[] = this.hosts): void {
    this.brain = brain;
    for (const host of hosts) this.hello(host);
  }

  hello(host: string): void {
    this.#gone.delete(host);
    this.#say(() => this.brain?.hello(this.#helloOf(host)));
    for (const [kernel, group] of this.groups)
      for (const [member, { host: at, process }] of group.members)
        if (at === host && process !== 'ready') this.#back(kernel, group, member);
  }

  /** The agent is there again, its process and what that ran are not. One that rests stays so. */
  #back(kernel: string, group: FakeGroup, member: number): void {
    setTimeout(() => this.#started(kernel, member), this.startMs);
    const start = group.log.running?.start;
    if (start === undefined || start.executor !== member || group.run !== undefined) return;
    this.#abort(kernel, start, 'executor-died');
  }

  #abort(kernel: string, { cell, attempt, epoch }: StartEntry, reason: AbortReason): void {
    const message = 'the kernel process died';
    this.apply(kernel, { v: 1, type: 'abort', cell, attempt, epoch, reason, message });
  }

  /** The host and all that runs on it is lost. */
  kill(host: string): void {
    this.#gone.add(host);
    for (const group of this.#logs.every()) {
      const executor = group.members.get(group.log.executor);
      if (executor?.host === host) group.run = undefined;
      for (const member of group.members.values())
        if (member.host === host) member.process = processAfter(group);
    }
  }

  /** The gateway does not hear the host; what runs there goes on. */
  cut(host: string, isCut: boolean): void {
    if (isCut) this.#cut.add(host);
    else this.#cut.delete(host);
  }

  losePooled(pooled: string): void {
    for (const [host, names] of this.pooled)
      if (names.delete(pooled))
        this.#tellGateway(host, { t: 'pooled-failed', pooled, message: 'exit 9' });
  }

  #hears(host: string): boolean {
    return !this.#gone.has(host) && !this.#cut.has(host);
  }

  #beat(): void {
    for (const host of this.hosts) {
      const positions = this.#logs.reports(host);
      this.#tellGateway(host, { t: 'agent-beat', at: Date.now(), positions });
    }
  }

  #helloOf(host: string): AgentHello {
    const kernels = this.#logs.reports(host);
    const gpus = { gpus: GPUS, cpuMillis: 16_000, memoryMb: 122_000, vramMb: 32_000 };
    const about = { v: 1, host, pid: 1, peer: `tcp://${host}`, key: host };
    return { t: 'hello', ...about, ...gpus, kernels, pooled: [...this.pooled.get(host)!] };
  }

  /** In order, and never within the call that causes it. */
  #say(act: () => void): void {
    setImmediate(act);
  }

  #tellGateway(host: string, notice: AgentNotice, frames: readonly Uint8Array[] = []): void {
    this.#say(() => {
      if (this.#hears(host)) this.brain?.notice(host, notice, frames);
    });
  }

  async request(host: string, request: GatewayRequest): Promise<unknown> {
    await new Promise((resolve) => setImmediate(resolve));
    if (!this.#hears(host)) throw new NbosError('link-lost', `there is no link to ${host}`);
    this.requests.push(request);
    if ('kernel' in request && request.t !== 'stop-replica')
      this.#logs.goOnAt(host, request.kernel);
    else if ('meta' in request && request.t === 'start-replica')
      this.#logs.goOnAt(host, request.meta.kernel);
    switch (request.t) {
      case 'start-replica':
        this.pooled.get(host)!.delete(request.pooled);
        this.#start(host, request);
        return undefined;
      case 'stop-replica':
        for (const group of this.#logs.all(request.kernel)) group.members.delete(request.member);
        return undefined;
      case 'rest-replica':
        this.#rest(request.kernel, request.member);
        return undefined;
      case 'save-replica':
        await this.#saveNow(request.kernel, request.member);
        return undefined;
      case 'propose':
        this.#quorum(request.kernel);
        for (const entry of request.entries) this.apply(request.kernel, entry);
        return undefined;
      case 'change-members': {
        const group = this.#quorum(request.kernel);
        if (request.add !== undefined) group.addresses.set(request.add.member, request.add.host);
        if (request.remove !== undefined) group.addresses.delete(request.remove);
        return undefined;
      }
      case 'interrupt':
        this.groups.get(request.kernel)?.run?.end(true);
        return undefined;
      case 'resend-outputs': {
        const group = this.groups.get(request.kernel)!;
        for (const output of group.outputs)
          if (output.seq >= request.from) this.#sendOutput(request.kernel, group, output);
        return undefined;
      }
      case 'restore-replica':
        return this.#restore(host, request);
      case 'report':
        return this.#logs.reports(host);
      case 'start-pooled':
        this.pooled.get(host)!.add(request.pooled);
        this.#tellGateway(host, { t: 'pooled-ready', pooled: request.pooled });
        return undefined;
      case 'stop-pooled':
        this.pooled.get(host)!.delete(request.pooled);
        return undefined;
      default:
        return undefined;
    }
  }

  #quorum(kernel: string): FakeGroup {
    const group = this.groups.get(kernel);
    if (group === undefined) throw new NbosError('kernel-unknown', `no kernel ${kernel} here`);
    const alive = [...group.addresses].filter(
      ([member, host]) => group.members.has(member) && !this.#gone.has(host),
    );
    if (alive.length * 2 <= group.addresses.size) throw new NbosError('no-quorum', 'no majority');
    return group;
  }

  /** The state of a kernel as it is now comes to the store. */
  save(kernel: string): void {
    const { log, index } = this.groups.get(kernel)!;
    this.saved.set(kernel, { index, state: structuredClone(log.state()) });
  }

  async #restore(host: string, request: Restoring): Promise<RestoreAnswer> {
    const { kernel } = request.meta;
    const former = this.groups.get(kernel);
    const taken = former?.taken;
    const begun = await groupFrom(host, request, async () => {
      await new Promise((resolve) => setTimeout(resolve, this.startMs));
      if (this.storeSays !== undefined) throw this.storeSays;
      return this.saved.get(kernel);
    });
    if (!this.#hears(host)) throw new NbosError('link-lost', `there is no link to ${host}`);
    if (former?.taken !== taken)
      throw new NbosError('change-refused', `kernel ${kernel} was taken up by another host`);
    this.#logs.replace(kernel, begun.group);
    setTimeout(() => this.#started(kernel, request.member), this.startMs);
    const { index, store } = begun;
    return { index, store, report: reportOf(kernel, begun.group, request.member) };
  }

  #start(
    host: string,
    { meta, member, members, joins }: Extract<GatewayRequest, { t: 'start-replica' }>,
  ): void {
    const { kernel } = meta;
    let group = this.groups.get(kernel);
    const before = group?.members.get(member);
    if (before !== undefined) {
      this.#wake(kernel, member, before);
      return;
    }
    if (group === undefined || (meta.visits === true && !joins)) {
      group = newGroup(new KernelLog(), 0);
      this.groups.set(kernel, group);
      this.apply(kernel, { v: 1, type: 'create', meta });
    }
    if (!joins) for (const each of members) group.addresses.set(each.member, each.host);
    group.members.set(member, { host, process: 'starting' });
    setTimeout(() => this.#started(kernel, member), this.startMs);
  }

  /** It has a process again, if it had none. */
  #wake(kernel: string, member: number, found: FakeMember): void {
    this.groups.get(kernel)!.taken++;
    if (found.process !== 'resting') return;
    found.process = 'starting';
    setTimeout(() => this.#started(kernel, member), this.startMs);
  }

  #rest(kernel: string, member: number): void {
    const group = this.groups.get(kernel);
    const found = group?.members.get(member);
    if (group === undefined || found === undefined) return;
    found.process = 'resting';
    const start = group.run?.start;
    if (start?.executor === member) this.#abort(kernel, start, 'executor-died');
  }

  async #saveNow(kernel: string, member: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, this.saveMs));
    if (this.groups.get(kernel)?.members.has(member) !== true)
      throw new NbosError('kernel-unknown', `no kernel ${kernel} here`);
    if (this.storeSays !== undefined) throw this.storeSays;
    this.save(kernel);
  }

  #started(kernel: string, member: number): void {
    const found = this.#logs
      .all(kernel)
      .map(({ members }) => members.get(member))
      .find((each) => each !== undefined);
    if (found?.process !== 'starting' || this.#gone.has(found.host)) return;
    if (this.broken.has(found.host)) {
      if (this.groups.get(kernel)?.log.meta?.visits === true) found.process = 'resting';
      const failed = { code: 'kernel-failed', message: 'no module named ipykernel' };
      this.#tellGateway(found.host, { t: 'replica-failed', kernel, member, ...failed });
      return;
    }
    found.process = 'ready';
    const about = { kernel, member, pid: 1000 + member, startMs: 1 };
    this.#tellGateway(found.host, { t: 'replica-ready', ...about });
  }

  /** A committed entry: every member tells, and the executor acts. */
  apply(kernel: string, entry: LogEntry, group = this.groups.get(kernel)!): void {
    const applied = group.log.apply(++group.index, entry);
    for (const [member, { host }] of group.members) {
      const { index, notice } = applied;
      this.#tellGateway(host, { t: 'applied', kernel, member, index, entry: notice });
    }
    if (!applied.changed) return;
    if (entry.type === 'start') this.#run(kernel, group, entry);
    if (entry.type === 'reset') this.#reset(kernel, group);
    if (entry.type === 'abort' && group.run?.start.cell === entry.cell) group.run = undefined;
  }

  #reset(kernel: string, group: FakeGroup): void {
    group.run = undefined;
    for (const [member, each] of group.members) {
      if (each.process === 'resting') continue;
      each.process = 'starting';
      setTimeout(() => this.#started(kernel, member), this.startMs);
    }
  }

  /** The process of the executor dies; its agent says so and starts it again. */
  die(kernel: string, reason: AbortReason = 'executor-died'): void {
    const group = this.groups.get(kernel);
    if (group === undefined) return;
    const { executor } = group.log;
    const member = group.members.get(executor);
    if (member === undefined || !this.#hears(member.host) || member.process === 'resting') return;
    member.process = 'starting';
    this.#tellGateway(member.host, { t: 'process-died', kernel, member: executor, exit: '9' });
    const start = group.run?.start;
    if (start !== undefined) this.#abort(kernel, start, reason);
    setTimeout(() => this.#started(kernel, executor), 30);
  }

  /** The cell that runs ends well. */
  end(kernel: string): void {
    this.groups.get(kernel)!.run!.end(false);
  }

  #run(kernel: string, group: FakeGroup, start: StartEntry): void {
    if (group.members.get(start.executor)?.process === 'resting') {
      this.#abort(kernel, start, 'executor-died');
      return;
    }
    const parent = Buffer.from(group.log.open.get(start.cell)!.submit.header);
    const say = (type: string, content: object): void => {
      const message = messageOf({ header: newHeader(type, kernel), parent, content });
      this.output(kernel, start, message, group);
    };
    const key = `${kernel} ${start.cell}`;
    this.runs.set(key, (this.runs.get(key) ?? 0) + 1);
    runCell(group, start, say, (entry) => this.apply(kernel, entry, group));
  }

  output(
    kernel: string,
    { cell, attempt, executor }: StartEntry,
    message: JupyterMessage,
    group = this.groups.get(kernel)!,
  ): void {
    const after = group.outputs.findLast(({ member }) => member === executor)?.seq ?? -1;
    const output = { seq: group.nextOutput++, after, member: executor, cell, attempt, message };
    group.outputs.push(output);
    if (!this.lost.delete(output.seq)) this.#sendOutput(kernel, group, output);
  }

  #sendOutput(kernel: string, group: FakeGroup, output: FakeOutput): void {
    const { message, ...about } = output;
    const { host } = group.members.get(output.member) ?? { host: '' };
    this.#tellGateway(host, { t: 'output', kernel, ...about }, framesOf(message));
  }

  tell(host: string, notice: GatewayNotice, frames: readonly Uint8Array[] = []): boolean {
    if (!this.#hears(host)) return false;
    if (notice.t === 'outputs-seen') {
      const group = this.groups.get(notice.kernel);
      if (group === undefined) return true;
      for (const [member, each] of group.members)
        if (each.host === host) group.seen.set(member, notice.upTo);
      group.replied = notice.replied ?? -1;
    } else if (notice.t === 'to-kernel') this.#answer(host, notice, frames);
    return true;
  }

  #answer(
    host: string,
    { kernel, member, channel }: Extract<GatewayNotice, { t: 'to-kernel' }>,
    frames: readonly Uint8Array[],
  ): void {
    const reply = answerTo(frames[0]!, kernel, member);
    this.#tellGateway(host, { t: 'from-kernel', kernel, member, channel }, framesOf(reply));
  }
}
