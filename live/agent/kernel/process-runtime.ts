import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { NbosError } from '../../../core/errors.ts';
import { parseObject, readField } from '../../jupyter/fields.ts';
import { bytesOf } from '../../jupyter/headers.ts';
import type { JupyterMessage } from '../../jupyter/message.ts';
import type { Delta } from '../../log/entries.ts';
import {
  BareKernel,
  died,
  KERNEL_LIMITS,
  type KernelLimits,
  type Log,
  type Parent,
} from './bare-kernel.ts';
import { BegunMark } from './begun-mark.ts';
import { requestOf } from './cell-request.ts';
import type { KernelChannel } from './client.ts';
import type { KernelPlace } from './place.ts';
import { splitReply } from './records.ts';
import type {
  ApplyResult,
  CellResult,
  CellRun,
  KernelRuntime,
  RuntimeOptions,
  StateUpdate,
} from './runtime.ts';
import { StateExchange } from './state-exchange.ts';

/** What all kernel processes of a host share. */
export interface RuntimeHost {
  readonly place: KernelPlace;
  /** most bytes of state of a kernel, 0 for no limit */
  readonly quotaBytes: number;
  readonly limits?: Partial<KernelLimits>;
  readonly log: Log;
}

/** Between two cells only messages of these kinds can be worth keeping when their parent is ours. */
const LATE_OUTPUT = /^(stream|display_data|update_display_data|error|clear_output|comm_)/;

const NOTHING: Delta = { units: [], dropped: [], unreplicated: [], pinned: [], stateBytes: 0 };

interface Running {
  msgId: string;
  header: Uint8Array;
  record: string;
  reply: JupyterMessage | undefined;
  idle: boolean;
  timer: NodeJS.Timeout | undefined;
  done(): void;
  fail(error: Error): void;
}

/** KernelRuntime over an operating system process; see runtime.ts for the contract. */
export class ProcessRuntime implements KernelRuntime {
  onSaved: (delta: Delta) => void = () => {};
  onMessage: (channel: KernelChannel, message: JupyterMessage) => void = () => {};
  onDeath: (exit: string) => void = () => {};
  readonly #options: RuntimeOptions;
  readonly #host: RuntimeHost;
  readonly #limits: KernelLimits;
  #kernel: BareKernel | undefined;
  #taken: BareKernel | undefined;
  #exchange: StateExchange | undefined;
  #state: KernelRuntime['state'] = 'starting';
  #running: Running | undefined;
  #helper = false;
  readonly #mark = new BegunMark();
  /** state is being loaded: what it prints is nobody's output */
  #applying = false;
  #stopping = false;
  #lastHeader: Uint8Array | undefined;
  #saves: Promise<void> = Promise.resolve();
  #pings: NodeJS.Timeout | undefined;

  /** `taken`: a pooled kernel, started with the same argv and hash seed. */
  constructor(options: RuntimeOptions, host: RuntimeHost, taken?: BareKernel) {
    this.#options = options;
    this.#host = host;
    this.#limits = { ...KERNEL_LIMITS, ...host.limits };
    this.#taken = taken;
  }

  get pid(): number {
    return this.#kernel?.pid ?? 0;
  }

  get state(): KernelRuntime['state'] {
    return this.#running !== undefined ? 'busy' : this.#state;
  }

  /** Why the helper is not in, '' when it is. */
  get helperError(): string {
    return this.#kernel?.helperError ?? '';
  }

  async start(): Promise<void> {
    const { meta, niced, blobs } = this.#options;
    await mkdir(blobs, { recursive: true, mode: 0o700 });
    if (niced && !(await this.#host.place.canPrioritize()))
      await pause(this.#limits.standbyDelayMs);
    if (this.#stopping) throw died('it was stopped while it started');
    const kernel = this.#takePooled() ?? (await this.#fresh());
    if (this.#stopping) throw died('it was stopped while it started');
    this.#kernel = kernel;
    kernel.handlers = {
      message: (channel, message, parent) => this.#message(channel, message, parent),
      ownOutput: (message) => this.#ownOutput(message),
      exit: (exit) => this.#exited(exit),
    };
    if (kernel.pid === 0) await kernel.launch();
    if (meta.language === 'python' && kernel.helperError === '') await this.#setUp(kernel);
    if (kernel.dead !== '') throw died(kernel.dead);
    this.#state = 'ready';
    this.#pings = setInterval(() => this.#ping(), Math.max(100, this.#options.orphanMs / 3));
    this.#pings.unref();
  }

  #takePooled(): BareKernel | undefined {
    const taken = this.#taken;
    this.#taken = undefined;
    return taken?.dead === '' ? taken : undefined;
  }

  async #fresh(): Promise<BareKernel> {
    const { meta, directory, niced } = this.#options;
    return new BareKernel({
      place: this.#host.place,
      ...(await this.#host.place.launch(meta)),
      directory,
      niced,
      pooled: false,
      python: meta.language === 'python',
      limits: this.#limits,
      log: this.#host.log,
    });
  }

  async #setUp(kernel: BareKernel): Promise<void> {
    const { meta, blobs, orphanMs } = this.#options;
    const folders = await kernel.process!.folders(blobs);
    this.#exchange = new StateExchange(folders, blobs);
    const content = {
      key: meta.stateKey,
      directory: folders.home,
      blobs: folders.shown,
      cwd: meta.cwd,
      env: meta.env,
      hashSeed: meta.hashSeed,
      orphanMs,
      quotaBytes: this.#host.quotaBytes,
      excluded: [],
    };
    try {
      const answer = await kernel.ask(
        'shell',
        'nbos_setup_request',
        content,
        this.#limits.answerMs,
      );
      if (answer['status'] === 'ok') this.#helper = true;
      else kernel.helperError = `${String(answer['ename'])}: ${String(answer['evalue'])}`;
    } catch (error) {
      if (kernel.dead !== '') throw error;
      kernel.helperError = (error as Error).message;
    }
    if (kernel.helperError !== '')
      this.#host.log.warn(
        { kernel: meta.kernel, error: kernel.helperError },
        'helper set-up failed',
      );
  }

  async run(cell: CellRun): Promise<CellResult> {
    const kernel = this.#usable('run a cell');
    const header = bytesOf(cell.request.header);
    const record = `cell-${cell.cell}-${cell.attempt}-${randomUUID().slice(0, 8)}`;
    const startedAt = performance.now();
    const ended = new Promise<void>((done, fail) => {
      this.#running = {
        msgId: cell.request.msgId,
        header,
        record,
        reply: undefined,
        idle: false,
        timer: undefined,
        done,
        fail,
      };
    });
    this.#lastHeader = header;
    if (this.#helper) this.#mark.set(this.#exchange!.folders.spool, record);
    else this.#mark.clear();
    const running = this.#running!;
    ended.catch(() => undefined);
    try {
      kernel.send('shell', requestOf(cell, header, this.#helper ? record : ''));
      await ended;
      const { reply, text } = splitReply(running.reply!);
      const picked = await this.#pick(record, text);
      const runMs = performance.now() - startedAt;
      return { reply, runMs, ...picked };
    } finally {
      clearTimeout(running.timer);
      this.#running = undefined;
    }
  }

  get begun(): boolean {
    return this.#kernel === undefined || this.#kernel.dead === '' || !this.#mark.isThere;
  }

  #usable(what: string): BareKernel {
    const kernel = this.#kernel;
    if (kernel === undefined || this.#state !== 'ready' || kernel.dead !== '')
      throw died(kernel?.dead || `it cannot ${what}: it is ${this.#state}`);
    if (this.#running !== undefined || this.#applying)
      throw new NbosError('kernel-failed', `kernel process ${this.pid}: busy, it cannot ${what}`);
    return kernel;
  }

  /** `text`: the record, where it came with the reply. */
  async #pick(
    name: string,
    text: string | undefined,
  ): Promise<Omit<CellResult, 'reply' | 'runMs'>> {
    if (this.#options.meta.language !== 'python')
      return { delta: NOTHING, helperError: '', captureMs: 0 };
    if (!this.#helper)
      return { delta: null, helperError: this.helperError || 'no helper', captureMs: 0 };
    await this.#saves;
    try {
      const record = await this.#exchange?.recordOfCell(name, text);
      if (record === undefined)
        return { delta: null, helperError: 'the helper left no record', captureMs: 0 };
      const { delta, error: helperError, cuda, captureMs } = record;
      return { delta, helperError, cuda, captureMs };
    } catch (error) {
      return { delta: null, helperError: (error as Error).message, captureMs: 0 };
    }
  }

  async apply(state: StateUpdate): Promise<ApplyResult> {
    const kernel = this.#usable('take state');
    if (!this.#helper) return { failed: [] };
    this.#applying = true;
    try {
      const update = (await this.#exchange?.shown(state)) ?? state;
      const answer = await kernel.ask('shell', 'nbos_apply_request', update, this.#limits.applyMs);
      if (answer['status'] !== 'ok')
        throw new NbosError(
          'kernel-failed',
          `kernel process ${this.pid}: state not taken: ${String(answer['evalue'])}`,
        );
      const failed = (answer['failed'] ?? []) as ApplyResult['failed'];
      const outdated = (answer['outdated'] ?? []) as readonly string[];
      return outdated.length === 0 ? { failed } : { failed, outdated };
    } finally {
      this.#applying = false;
    }
  }

  async collect(): Promise<Delta | null> {
    const kernel = this.#usable('collect state');
    if (!this.#helper) return null;
    const answer = await kernel.ask('shell', 'nbos_collect_request', {}, this.#limits.applyMs);
    return (await this.#exchange?.record(answer['record']))?.delta ?? null;
  }

  send(channel: 'shell' | 'control' | 'stdin', message: JupyterMessage): void {
    this.#kernel?.send(channel, message);
  }

  #message(channel: KernelChannel, message: JupyterMessage, parent: Parent): void {
    // What a kernel says while it starts (warnings of its debugger, a welcome) is not for clients.
    if (this.#state === 'starting') return;
    const running = this.#running;
    const ofCell = running !== undefined && parent.msgId === running.msgId;
    if (!ofCell || !this.#keeps(channel, message, running)) this.onMessage(channel, message);
    else if (running.reply !== undefined && running.idle) running.done();
    else if (running.reply !== undefined || running.idle)
      running.timer ??= this.#impatience(running);
  }

  /** Whether a message of the cell that runs goes no further: its reply, its idle, a save. */
  #keeps(channel: KernelChannel, message: JupyterMessage, running: Running): boolean {
    const type = readField(message.header, 'msg_type');
    if (channel === 'shell' && type === 'execute_reply') {
      running.reply = message;
      return true;
    }
    if (channel !== 'iopub') return false;
    if (type === 'nbos_saved') {
      this.#saved(message);
      return true;
    }
    if (type !== 'status' || readField(message.content, 'execution_state') !== 'idle') return false;
    running.idle = true;
    return true;
  }

  /** One of reply and idle is here: the other comes at once, or was lost. */
  #impatience(running: Running): NodeJS.Timeout {
    return setTimeout(() => {
      if (running.reply !== undefined) running.done();
      else
        running.fail(
          new NbosError(
            'kernel-timeout',
            `kernel process ${this.pid}: the cell ended, but its reply did not come`,
            'Restart the kernel.',
          ),
        );
    }, this.#limits.idleMs);
  }

  #saved(message: JupyterMessage): void {
    const name = parseObject(message.content)?.['record'];
    this.#saves = this.#saves.then(async () => {
      try {
        const record = await this.#exchange?.record(name);
        if (record?.delta) this.onSaved(record.delta);
      } catch (error) {
        this.#host.log.warn({ name, error: (error as Error).message }, 'save was not taken');
      }
    });
  }

  /** A thread of the user's that prints while a request of ours is the kernel's latest. */
  #ownOutput(message: JupyterMessage): void {
    if (this.#applying || this.#state !== 'ready') return;
    const type = readField(message.header, 'msg_type') ?? '';
    if (!LATE_OUTPUT.test(type) || this.#lastHeader === undefined) return;
    this.onMessage('iopub', { ...message, parent: this.#lastHeader });
  }

  #exited(exit: string): void {
    const wasReady = this.#state === 'ready';
    this.#state = 'dead';
    clearInterval(this.#pings);
    this.#running?.fail(died(exit));
    // While it starts, the rejection of `start` says it.
    if (wasReady && !this.#stopping) this.onDeath(exit);
  }

  #ping(): void {
    if (this.#helper) this.#kernel?.tell('control', 'nbos_ping_request');
    void this.#kernel?.process?.attend().catch(() => undefined);
  }

  async interrupt(): Promise<void> {
    const kernel = this.#kernel;
    if (kernel === undefined || kernel.dead !== '') return;
    // A kernel that has not come to its cell yet would ignore it.
    if (this.#running !== undefined) await this.#mark.gone(this.#limits.interruptMs);
    try {
      await kernel.ask('control', 'interrupt_request', {}, this.#limits.interruptMs);
    } catch {
      kernel.process?.signal('SIGINT');
    }
  }

  pause(): void {
    this.#kernel?.process?.pause();
  }

  resume(): void {
    this.#kernel?.process?.resume();
  }

  prioritize(): void {
    this.#kernel?.process?.prioritize();
  }

  async stop(now = false): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#pings);
    const kernel = this.#kernel ?? this.#taken;
    if (now) await kernel?.kill();
    else await kernel?.shutdown();
    this.#state = 'dead';
    await this.#exchange?.folders.remove();
    await rm(this.#options.directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
