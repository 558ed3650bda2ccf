import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { NbosError } from '../core/errors.ts';
import type { PlannedRun } from './plan.ts';
import type { FromWorker, PlainError, RunOutcome, ToWorker } from './worker-loop.ts';

export interface PoolOptions {
  /** worker processes at once */
  readonly jobs: number;
  /** longest that one run may take, ms; its worker is killed then */
  readonly timeoutMs: number;
  /** program of the worker: it calls `serveRuns` */
  readonly worker: URL;
  readonly signal?: AbortSignal | undefined;
  /** where the run may write; asked just before it starts */
  readonly folderOf: (run: PlannedRun) => string;
  readonly onDone: (run: PlannedRun, outcome: RunOutcome) => void;
  /** returns whether to go on with other runs */
  readonly onFailure: (run: PlannedRun, error: PlainError) => boolean;
  /** runs that have ended, with the shares of those in progress */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

interface Slot {
  child: ChildProcess | undefined;
  run: PlannedRun | undefined;
  share: number;
  timer: NodeJS.Timeout | undefined;
}

/**
 * Performs runs in forked processes and resolves when all have ended. A worker that dies fails its
 * run only. Workers never outlive the call: they are killed when it ends, however it ends.
 * Throws `interrupted` when the signal fires, and what `onDone` throws.
 */
export function runPool(runs: readonly PlannedRun[], options: PoolOptions): Promise<void> {
  return new Promise((resolve, reject) => new Pool(runs, options, resolve, reject).start());
}

class Pool {
  readonly #runs: readonly PlannedRun[];
  readonly #options: PoolOptions;
  readonly #resolve: () => void;
  readonly #reject: (error: unknown) => void;
  readonly #slots: Slot[];
  readonly #abort = () => this.#end(interruptedError());
  #next = 0;
  #ended = 0;
  #over = false;

  constructor(
    runs: readonly PlannedRun[],
    options: PoolOptions,
    resolve: () => void,
    reject: (error: unknown) => void,
  ) {
    this.#runs = runs;
    this.#options = options;
    this.#resolve = resolve;
    this.#reject = reject;
    const count = Math.max(1, Math.min(options.jobs, runs.length));
    this.#slots = Array.from({ length: count }, () => ({
      child: undefined,
      run: undefined,
      share: 0,
      timer: undefined,
    }));
  }

  start(): void {
    const { signal } = this.#options;
    if (signal?.aborted) {
      this.#abort();
      return;
    }
    signal?.addEventListener('abort', this.#abort);
    if (this.#runs.length === 0) this.#end();
    for (const slot of this.#slots) this.#assign(slot);
  }

  #assign(slot: Slot): void {
    if (this.#over) return;
    const run = this.#runs[this.#next];
    if (run === undefined) {
      if (this.#ended === this.#runs.length) this.#end();
      return;
    }
    this.#next++;
    slot.run = run;
    slot.share = 0;
    slot.child ??= this.#fork(slot);
    slot.timer = setTimeout(() => this.#expire(slot), this.#options.timeoutMs);
    const order: ToWorker = { run, folder: this.#options.folderOf(run) };
    // A dead worker is reported by its `exit`; the failed send adds nothing.
    slot.child.send(order, () => undefined);
  }

  #fork(slot: Slot): ChildProcess {
    // `fork` hands on this process's Node options, so that TypeScript workers load as it did.
    const child = fork(fileURLToPath(this.#options.worker), [], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    let complaint = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-2000);
    });
    child.on('message', (message) => this.#hear(slot, message as FromWorker));
    child.on('error', (error) => this.#lose(slot, child, error.message));
    child.on('exit', (code, signal) => {
      const how = signal ? `was ended by ${signal}` : `ended with exit status ${code}`;
      // `exit` can come before the last of stderr.
      setImmediate(() => this.#lose(slot, child, `its worker process ${how}`, complaint));
    });
    return child;
  }

  #hear(slot: Slot, message: FromWorker): void {
    if (this.#over || slot.run === undefined) return;
    if (message.kind === 'progress') {
      slot.share = message.total > 0 ? Math.min(1, message.done / message.total) : 0;
      this.#report();
    } else if (message.kind === 'done') {
      const run = this.#finish(slot);
      try {
        this.#options.onDone(run, message.outcome);
      } catch (error) {
        this.#end(error);
      }
      this.#report();
      this.#assign(slot);
    } else {
      this.#fail(slot, message.error);
    }
  }

  #expire(slot: Slot): void {
    const seconds = this.#options.timeoutMs / 1000;
    const child = slot.child;
    slot.child = undefined;
    child?.kill('SIGKILL');
    this.#fail(slot, {
      code: 'experiment-failed',
      message: `it took longer than ${seconds} s`,
      hint: 'Give it longer with --timeout.',
      stack: '',
    });
  }

  #lose(slot: Slot, child: ChildProcess, how: string, complaint = ''): void {
    if (slot.child !== child) return;
    slot.child = undefined;
    if (this.#over || slot.run === undefined) return;
    this.#fail(slot, { code: '', message: how, hint: '', stack: complaint });
  }

  #fail(slot: Slot, error: PlainError): void {
    const run = this.#finish(slot);
    const goOn = this.#options.onFailure(run, error);
    this.#report();
    if (goOn) this.#assign(slot);
    else this.#end();
  }

  #finish(slot: Slot): PlannedRun {
    const run = slot.run!;
    clearTimeout(slot.timer);
    slot.run = undefined;
    slot.share = 0;
    this.#ended++;
    return run;
  }

  #report(): void {
    let done = this.#ended;
    for (const slot of this.#slots) done += slot.share;
    this.#options.onProgress?.(done, this.#runs.length);
  }

  #end(error?: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#options.signal?.removeEventListener('abort', this.#abort);
    const gone = this.#slots.map((slot) => {
      clearTimeout(slot.timer);
      return slot.child ? ended(slot.child) : undefined;
    });
    // Their temporary folders may be removed only once nobody writes there.
    void Promise.all(gone).then(() =>
      error === undefined ? this.#resolve() : this.#reject(error),
    );
  }
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
    child.kill('SIGKILL');
  });
}

function interruptedError(): NbosError {
  return new NbosError(
    'interrupted',
    'the experiment was interrupted; finished runs are kept',
    'Go on with --resume.',
  );
}
