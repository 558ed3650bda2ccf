import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { type ErrorCode, NbosError } from '../../../core/errors.ts';
import { parseObject, readField } from '../../jupyter/fields.ts';
import { messageOf, newHeader } from '../../jupyter/headers.ts';
import type { JupyterMessage } from '../../jupyter/message.ts';
import { type KernelChannel, KernelClient } from './client.ts';
import { writeConnection } from './connection.ts';
import { helperProgram, injection } from './injection.ts';
import type { KernelPlace, StartedProcess } from './place.ts';

/** Every wait for a kernel, in ms. */
export interface KernelLimits {
  /** from the start of the process until it answers */
  startMs: number;
  /** an answer of the helper that has nothing to do but answer */
  answerMs: number;
  /** bringing a process to a state */
  applyMs: number;
  /** a shutdown asked for, before SIGTERM */
  shutdownMs: number;
  /** an interrupt asked for, before SIGINT */
  interruptMs: number;
  /** iopub idle after the reply came, and the other way round */
  idleMs: number;
  /** a standby starts so much later where its priority could not be given back */
  standbyDelayMs: number;
}

export const KERNEL_LIMITS: KernelLimits = {
  startMs: 60_000,
  answerMs: 30_000,
  applyMs: 600_000,
  shutdownMs: 5_000,
  interruptMs: 1_000,
  idleMs: 10_000,
  standbyDelayMs: 400,
};

/** A logger as pino has it. */
export interface Log {
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
}

export interface BareOptions {
  place: KernelPlace;
  /** with {connection_file} */
  argv: readonly string[];
  env: Readonly<Record<string, string>>;
  cwd: string;
  directory: string;
  niced: boolean;
  pooled: boolean;
  /** whether the helper goes in */
  python: boolean;
  limits: KernelLimits;
  log: Log;
}

/** What a message answers: `msg_id` and `session` of its parent, '' for none. */
export interface Parent {
  readonly msgId: string;
  readonly session: string;
}

/** Who uses a bare kernel; replaced when a pooled one is taken. */
export interface BareHandlers {
  message(channel: KernelChannel, message: JupyterMessage, parent: Parent): void;
  /** iopub messages whose parent is a request of ours */
  ownOutput(message: JupyterMessage): void;
  exit(exit: string): void;
}

const NOBODY: BareHandlers = { message: () => {}, ownOutput: () => {}, exit: () => {} };
const FIRST_NUDGE_MS = 30;
const NUDGE_GROWTH = 1.3;
const MAX_NUDGE_MS = 500;
/** Output that was on its way when the process died comes within so long. */
const QUIET_MS = 20;
const MAX_DRAIN_MS = 250;

/** Errors that say where and why as they are. */
const TELLING: ReadonlySet<ErrorCode> = new Set([
  'kernel-failed',
  'path-too-long',
  'engine-absent',
  'engine-denied',
  'engine-failed',
  'image-missing',
]);

interface Waiting {
  resolve(message: JupyterMessage): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

/** A kernel process with its sockets, and the helper in it: no kernel of a user's yet. */
export class BareKernel {
  readonly directory: string;
  /** names our own requests among those of clients */
  readonly session = randomUUID();
  /** why the helper is not in, '' when it is or is not wanted */
  helperError = '';
  handlers: BareHandlers = NOBODY;
  garbage = 0;
  readonly #options: BareOptions;
  readonly #waiting = new Map<string, Waiting>();
  #process: StartedProcess | undefined;
  #client: KernelClient | undefined;
  #iopubSeen = false;
  #iopubCount = 0;
  #lastParentBytes: Uint8Array = Buffer.alloc(0);
  #lastParent: Parent = { msgId: '', session: '' };
  #dead = '';
  #ending = false;

  constructor(options: BareOptions) {
    this.#options = options;
    this.directory = options.directory;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** '' while it lives, else how it ended */
  get dead(): string {
    return this.#dead;
  }

  get process(): StartedProcess | undefined {
    return this.#process;
  }

  /** Starts the process and waits until it answers and the helper is in. Rejects `kernel-failed`. */
  async launch(): Promise<void> {
    const { place, argv, env, cwd, directory, niced, pooled, limits } = this.#options;
    try {
      const connection = await writeConnection(directory);
      this.#process = await place.start({
        argv: argv.map((part) => part.replaceAll('{connection_file}', connection.file)),
        env,
        cwd,
        directory,
        niced,
        pooled,
        onExit: (exit) => void this.#exited(exit),
      });
      if (this.#ending) throw died('it was stopped while it started');
      this.#client = new KernelClient(connection, {
        message: (channel, message) => this.#message(channel, message),
        garbage: () => this.garbage++,
      });
      await this.#nudge(performance.now() + limits.startMs);
      if (this.#options.python) await this.#inject(this.#process);
    } catch (error) {
      await this.kill();
      throw failed(error, argv[0]!, place.advice);
    }
  }

  /** Until shell and iopub have both answered: the subscription may take hold after the first try. */
  async #nudge(until: number): Promise<void> {
    let patience = FIRST_NUDGE_MS;
    let answered = false;
    const sent: string[] = [];
    while (!(answered && this.#iopubSeen)) {
      if (this.#dead !== '') throw died(this.#dead);
      if (performance.now() > until) throw await this.#silent();
      // A kernel that starts finds one question waiting, not one for each nudge.
      if (sent.length === 0 || answered) {
        const header = newHeader('kernel_info_request', this.session);
        sent.push(header.msg_id);
        const answer = this.#expect(header.msg_id, this.#options.limits.startMs);
        answer.then(() => (answered = true)).catch(() => undefined);
        this.send('shell', messageOf({ header }));
      }
      await this.#wait(patience, () => answered && this.#iopubSeen);
      patience = Math.min(MAX_NUDGE_MS, patience * NUDGE_GROWTH);
    }
    for (const id of sent) this.#forget(id);
  }

  async #silent(): Promise<NbosError> {
    const beats = await this.#client?.beats(this.#options.limits.interruptMs);
    const what = beats ? 'its heartbeat answers, but its shell does not' : 'nothing of it answers';
    return new NbosError(
      'kernel-timeout',
      `kernel process ${this.pid}: after ${this.#options.limits.startMs} ms ${what}`,
      'Run its command by hand to see what keeps it.',
    );
  }

  #wake: () => void = () => {};

  #wait(ms: number, done: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        if (!done() && this.#dead === '') return;
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** A kernel whose helper fails still runs; nothing of it is replicated then. */
  async #inject(process: StartedProcess): Promise<void> {
    let file = '';
    try {
      const { text, digest } = await helperProgram();
      file = await process.give('helper.py', text);
      const content = {
        code: injection(file, digest, await process.cache()),
        silent: true,
        store_history: false,
        user_expressions: {},
        allow_stdin: false,
        stop_on_error: false,
      };
      const reply = await this.ask(
        'shell',
        'execute_request',
        content,
        this.#options.limits.answerMs,
      );
      if (reply['status'] !== 'ok')
        this.helperError = `${String(reply['ename'])}: ${String(reply['evalue'])}`;
    } catch (error) {
      if (this.#dead !== '') throw error;
      this.helperError = (error as Error).message;
    }
    if (file !== '') await rm(file, { force: true });
    if (this.helperError !== '')
      this.#options.log.warn({ pid: this.pid, error: this.helperError }, 'helper is not in');
  }

  /**
   * Content of the answer to a request of ours. Rejects `kernel-died` and `kernel-timeout`.
   */
  async ask(
    channel: 'shell' | 'control',
    type: string,
    content: object,
    ms: number,
  ): Promise<Record<string, unknown>> {
    if (this.#dead !== '') throw died(this.#dead);
    const header = newHeader(type, this.session);
    const answer = this.#expect(header.msg_id, ms);
    this.send(channel, messageOf({ header, content }));
    const message = await answer;
    return parseObject(message.content) ?? {};
  }

  /** Sends a request of ours whose answer nobody waits for. */
  tell(channel: 'shell' | 'control', type: string): void {
    this.send(channel, messageOf({ header: newHeader(type, this.session) }));
  }

  send(channel: 'shell' | 'control' | 'stdin', message: JupyterMessage): void {
    this.#client?.send(channel, message);
  }

  #expect(id: string, ms: number): Promise<JupyterMessage> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(
          new NbosError(
            'kernel-timeout',
            `kernel process ${this.pid}: no answer within ${ms} ms`,
            'Interrupt or restart the kernel.',
          ),
        );
      }, ms);
      this.#waiting.set(id, { resolve, reject, timer });
    });
  }

  #forget(id: string): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    if (waiting !== undefined) clearTimeout(waiting.timer);
    this.#waiting.delete(id);
    return waiting;
  }

  #message(channel: KernelChannel, message: JupyterMessage): void {
    if (channel === 'iopub') {
      this.#iopubCount++;
      // The welcome of a subscription has no parent; it proves as much as any other message.
      this.#iopubSeen = true;
    }
    const parent = this.#parentOf(message.parent);
    if (parent.session === this.session && channel !== 'stdin') {
      if (channel === 'iopub') this.handlers.ownOutput(message);
      else this.#forget(parent.msgId)?.resolve(message);
    } else this.handlers.message(channel, message, parent);
    if (this.#iopubSeen) queueMicrotask(() => this.#wake());
  }

  /** Messages of a cell have the same parent, byte by byte: it is read once. */
  #parentOf(bytes: Uint8Array): Parent {
    if (Buffer.compare(bytes, this.#lastParentBytes) === 0) return this.#lastParent;
    this.#lastParent = {
      msgId: readField(bytes, 'msg_id') ?? '',
      session: readField(bytes, 'session') ?? '',
    };
    this.#lastParentBytes = bytes;
    return this.#lastParent;
  }

  async #exited(exit: string): Promise<void> {
    const until = performance.now() + MAX_DRAIN_MS;
    for (let before = -1; before !== this.#iopubCount && performance.now() < until; ) {
      before = this.#iopubCount;
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    }
    this.#dead = exit;
    this.#client?.close();
    for (const id of [...this.#waiting.keys()]) this.#forget(id)?.reject(died(exit));
    this.#wake();
    this.handlers.exit(exit);
  }

  /** SIGKILL for all of it, and its folder away. */
  async kill(): Promise<void> {
    this.#ending = true;
    await this.#process?.kill();
    await this.#away();
  }

  /** shutdown_request, then SIGTERM, then SIGKILL; its folder goes. */
  async shutdown(): Promise<void> {
    this.#ending = true;
    if (this.#process?.running) {
      const header = newHeader('shutdown_request', this.session);
      this.send('control', messageOf({ header, content: { restart: false } }));
      await this.#process.end(this.#options.limits.shutdownMs);
    }
    await this.#away();
  }

  async #away(): Promise<void> {
    this.#client?.close();
    // Stopped while it starts, it may be making its sockets at this moment.
    await rm(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

export function died(exit: string): NbosError {
  return new NbosError('kernel-died', `The kernel process has ended: ${exit}`);
}

function failed(error: unknown, program: string, advice: string): NbosError {
  if (error instanceof NbosError && TELLING.has(error.code)) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new NbosError('kernel-failed', `${program}: ${reason}`, advice);
}
