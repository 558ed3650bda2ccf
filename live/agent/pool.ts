import { join } from 'node:path';
import type { Logger } from 'pino';
import type { AgentNotice } from '../wire/messages.ts';
import type {
  KernelRuntime,
  PooledKernel,
  RuntimeFactory,
  RuntimeOptions,
} from './kernel/runtime.ts';

/** Hash seed of processes that are started before it is known whose they become. */
export const POOLED_HASH_SEED = 0;

/** Processes of this host: those started ahead of their kernel, and folders for all. */
export class Processes {
  readonly #runtimes: RuntimeFactory;
  readonly #root: string;
  readonly #orphanMs: number;
  readonly #tell: (notice: AgentNotice) => void;
  readonly #log: Logger;
  readonly #pooled = new Map<string, PooledKernel>();
  readonly #starting = new Set<string>();
  /** one starts after the other: kernels and their cells come first */
  #starts: Promise<void> = Promise.resolve();
  #folders = 0;

  constructor(
    runtimes: RuntimeFactory,
    root: string,
    orphanMs: number,
    tell: (notice: AgentNotice) => void,
    log: Logger,
  ) {
    this.#runtimes = runtimes;
    this.#root = root;
    this.#orphanMs = orphanMs;
    this.#tell = tell;
    this.#log = log;
  }

  /** Pooled processes that wait for a kernel. */
  names(): string[] {
    return [...this.#pooled.keys()];
  }

  /** A process that is not started; `pooled` names one to take, if it is there and fits. */
  make(options: Omit<RuntimeOptions, 'directory' | 'orphanMs'>, pooled: string): KernelRuntime {
    const taken = this.#pooled.get(pooled);
    this.#pooled.delete(pooled);
    const whole = { ...options, directory: this.#folder(), orphanMs: this.#orphanMs };
    return this.#runtimes.make(whole, taken);
  }

  /** Starts one ahead; `pooled-ready` or `pooled-failed` tells. */
  async start(pooled: string, spec: string, argv: readonly string[]): Promise<void> {
    if (this.#pooled.has(pooled) || this.#starting.has(pooled)) return;
    this.#starting.add(pooled);
    this.#starts = this.#starts.then(() => this.#start(pooled, spec, argv));
    await this.#starts;
  }

  async #start(pooled: string, spec: string, argv: readonly string[]): Promise<void> {
    // It may have been given up while it waited.
    if (!this.#starting.has(pooled)) return;
    try {
      const kernel = await this.#runtimes.startPooled({
        ...{ pooled, spec, argv },
        language: 'python',
        hashSeed: POOLED_HASH_SEED,
        directory: this.#folder(),
        niced: true,
        orphanMs: this.#orphanMs,
      });
      // Or while it started.
      if (!this.#starting.delete(pooled)) {
        await kernel.stop();
        return;
      }
      this.#pooled.set(pooled, kernel);
      kernel.onDeath = (exit) => {
        if (this.#pooled.delete(pooled)) this.#tell({ t: 'pooled-failed', pooled, message: exit });
      };
      this.#tell({ t: 'pooled-ready', pooled });
    } catch (error) {
      this.#starting.delete(pooled);
      this.#log.warn({ err: error, pooled }, 'a pooled process did not start');
      this.#tell({ t: 'pooled-failed', pooled, message: (error as Error).message });
    }
  }

  async stop(pooled: string): Promise<void> {
    this.#starting.delete(pooled);
    const kernel = this.#pooled.get(pooled);
    this.#pooled.delete(pooled);
    await kernel?.stop();
  }

  async close(): Promise<void> {
    this.#starting.clear();
    // What is being started ends itself, once it can be ended.
    await Promise.all([this.#starts, ...this.names().map((pooled) => this.stop(pooled))]);
  }

  /** Short: paths of sockets have at most 107 bytes. */
  #folder(): string {
    return join(this.#root, (++this.#folders).toString(36));
  }
}
