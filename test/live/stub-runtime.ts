import type {
  ApplyResult,
  CellResult,
  CellRun,
  KernelRuntime,
  PooledKernel,
  PooledOptions,
  RuntimeFactory,
  RuntimeOptions,
  StateUpdate,
} from '../../live/agent/kernel/runtime.ts';
import { messageOf, newHeader } from '../../live/jupyter/headers.ts';
import type { JupyterMessage } from '../../live/jupyter/message.ts';
import type { Delta } from '../../live/log/entries.ts';

const NOTHING: Delta = { units: [], dropped: [], unreplicated: [], pinned: [], stateBytes: 0 };

/** What a stub does with a cell: its outputs as text, its delta, and how long it takes in ms. */
export interface StubCell {
  prints?: readonly string[];
  delta?: Delta;
  error?: string;
  runMs?: number;
}

/**
 * A kernel process in memory, for tests and benches of what is around it. Cells do what `script`
 * says of their code; without one they print nothing and change nothing. It answers kernel_info.
 */
export class StubRuntime implements KernelRuntime {
  readonly pid: number;
  readonly begun = true;
  state: KernelRuntime['state'] = 'starting';
  onSaved: (delta: Delta) => void = () => {};
  onMessage: (channel: 'shell' | 'control' | 'stdin' | 'iopub', message: JupyterMessage) => void =
    () => {};
  onDeath: (exit: string) => void = () => {};
  /** unit id → version, as applied or produced */
  readonly units = new Map<string, number>();
  readonly ran: string[] = [];
  readonly options: RuntimeOptions;
  readonly #script: (code: string) => StubCell;
  #interrupted: (() => void) | undefined;
  #died: ((error: Error) => void) | undefined;

  constructor(options: RuntimeOptions, pid: number, script: (code: string) => StubCell) {
    this.options = options;
    this.pid = pid;
    this.#script = script;
  }

  async start(): Promise<void> {
    this.state = 'ready';
  }

  async run(cell: CellRun): Promise<CellResult> {
    this.state = 'busy';
    const startedAt = performance.now();
    const parent = Buffer.from(cell.request.header);
    const code = String((JSON.parse(cell.request.content) as { code?: string }).code ?? '');
    this.ran.push(code);
    const { prints = [], delta = NOTHING, error, runMs = 0 } = this.#script(code);
    const say = (type: string, content: object): void =>
      this.onMessage('iopub', messageOf({ header: newHeader(type, 'stub'), parent, content }));
    say('status', { execution_state: 'busy' });
    say('execute_input', { code, execution_count: cell.count });
    for (const text of prints) say('stream', { name: 'stdout', text });
    const interrupted = runMs > 0 && (await this.#sleep(runMs));
    if (this.state !== 'busy') throw new Error('the stub has died');
    const ename = interrupted ? 'KeyboardInterrupt' : error;
    const failed = { status: 'error', ename, evalue: '', traceback: [] };
    if (ename !== undefined) say('error', failed);
    for (const { id, version } of delta.units) this.units.set(id, version);
    this.state = 'ready';
    const content = {
      ...(ename === undefined ? { status: 'ok', payload: [], user_expressions: {} } : failed),
      execution_count: cell.count,
    };
    const reply = messageOf({ header: newHeader('execute_reply', 'stub'), parent, content });
    const took = performance.now() - startedAt;
    return { reply, delta, helperError: '', runMs: took, captureMs: 0 };
  }

  /** Whether it was interrupted. */
  #sleep(ms: number): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, ms, false);
      this.#interrupted = () => {
        clearTimeout(timer);
        resolve(true);
      };
      this.#died = (error) => {
        clearTimeout(timer);
        reject(error);
      };
    });
  }

  async apply(state: StateUpdate): Promise<ApplyResult> {
    if (state.reset) this.units.clear();
    for (const { id, version } of state.units) this.units.set(id, version);
    for (const id of state.dropped) this.units.delete(id);
    return { failed: [] };
  }

  async collect(): Promise<Delta | null> {
    return null;
  }

  send(channel: 'shell' | 'control' | 'stdin', message: JupyterMessage): void {
    const header = JSON.parse(Buffer.from(message.header).toString()) as { msg_type: string };
    if (header.msg_type !== 'kernel_info_request') return;
    const parent = message.header;
    const content = { status: 'ok', protocol_version: '5.4', implementation: 'stub' };
    const answer = messageOf({ header: newHeader('kernel_info_reply', 'stub'), parent, content });
    setImmediate(() => this.onMessage(channel, answer));
  }

  async interrupt(): Promise<void> {
    this.#interrupted?.();
  }

  pause(): void {}
  resume(): void {}
  prioritize(): void {}

  /** As a crash of the process would look. */
  die(exit: string): void {
    if (this.state === 'dead') return;
    this.state = 'dead';
    this.#died?.(new Error(exit));
    this.onDeath(exit);
  }

  async stop(): Promise<void> {
    this.state = 'dead';
    this.#died?.(new Error('stopped'));
  }
}

/** Makes stubs and remembers them, newest last. */
export class StubFactory implements RuntimeFactory {
  readonly made: StubRuntime[] = [];
  readonly #script: (code: string) => StubCell;
  #nextPid = 1_000_000_000;

  constructor(script: (code: string) => StubCell = () => ({})) {
    this.#script = script;
  }

  make(options: RuntimeOptions): StubRuntime {
    const runtime = new StubRuntime(options, this.#nextPid++, this.#script);
    this.made.push(runtime);
    return runtime;
  }

  async startPooled({ pooled }: PooledOptions): Promise<PooledKernel> {
    return { pooled, pid: this.#nextPid++, onDeath: () => {}, stop: async () => {} };
  }

  async endLeftovers(): Promise<readonly number[]> {
    return [];
  }
}
