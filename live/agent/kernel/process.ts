import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync } from 'node:fs';
import { open, readFile, rename, stat, truncate, writeFile } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { NbosError } from '../../../core/errors.ts';
import { describeExit, LAST_WORDS } from '../../doctor/exit-diagnosis.ts';
import { goneWithin } from './gone-within.ts';
import { compiledCache } from './injection.ts';
import type { ProcessOptions, StartedProcess, StateFolders } from './place.ts';
import { ownFolders } from './state-folders.ts';

/** What a kernel writes past Jupyter; cut when it grows beyond this. */
const MAX_LOG_BYTES = 16 * 1024 * 1024;
const TAIL_BYTES = 4096;
const TAIL_LINES = 5;
const NICE = 10;

/**
 * One operating system process in a session and process group of its own, so that an interrupt from
 * our terminal does not reach it and that all it started can be ended with it.
 */
export class KernelProcess implements StartedProcess {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #options: ProcessOptions;
  readonly #gone: Promise<string>;
  /** how we ended it, '' while we did not */
  #killedBy = '';
  #exit: string | undefined;

  private constructor(child: ChildProcess, options: ProcessOptions) {
    this.#child = child;
    this.#options = options;
    this.pid = child.pid!;
    this.#gone = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        // What it started goes with it, while the group's number cannot be another's yet.
        this.#signalGroup('SIGKILL');
        void this.#describe(code, signal).then((exit) => {
          this.#exit = exit;
          resolve(exit);
          options.onExit(exit);
        });
      });
    });
  }

  /** Starts it. Rejects with `kernel-failed` when the program cannot be run. */
  static async start(options: ProcessOptions): Promise<KernelProcess> {
    const { argv, env, cwd, directory } = options;
    const folder = await stat(cwd).catch(() => undefined);
    if (!folder?.isDirectory())
      throw new NbosError(
        'kernel-failed',
        `kernel process: its working directory ${cwd} does not exist`,
        'Create it, or start the kernel elsewhere.',
      );
    const log = openSync(join(directory, 'kernel.log'), 'a', 0o600);
    let child: ChildProcess;
    try {
      const stdio: ['ignore', number, number] = ['ignore', log, log];
      child = spawn(argv[0]!, argv.slice(1), { env: { ...env }, cwd, detached: true, stdio });
    } finally {
      closeSync(log);
    }
    await started(child, argv[0]!);
    if (options.niced) reniced([child.pid!], NICE);
    const process = new KernelProcess(child, options);
    await writePidFile(directory, child.pid!);
    return process;
  }

  get running(): boolean {
    return this.#exit === undefined && this.#child.exitCode === null;
  }

  signal(name: NodeJS.Signals): void {
    if (this.running) this.#child.kill(name);
  }

  /** To the process and all it has started. */
  #signalGroup(name: NodeJS.Signals): void {
    try {
      process.kill(-this.pid, name);
    } catch {
      // Nothing of it is left.
    }
  }

  pause(): void {
    if (this.running) this.#signalGroup('SIGSTOP');
  }

  resume(): void {
    if (this.running) this.#signalGroup('SIGCONT');
  }

  /** For all its threads. */
  prioritize(): void {
    if (!this.running || !this.#options.niced) return;
    let threads: number[];
    try {
      threads = readdirSync(`/proc/${this.pid}/task`).map(Number);
    } catch {
      threads = [this.pid];
    }
    reniced(threads, 0);
  }

  async kill(): Promise<void> {
    if (!this.running) return void (await this.#gone);
    this.#killedBy ||= 'ended by NotebookOS';
    this.#signalGroup('SIGKILL');
    await this.#gone;
  }

  async end(patienceMs: number): Promise<void> {
    this.#killedBy ||= 'shut down';
    if (await this.goneWithin(patienceMs)) return;
    this.#signalGroup('SIGTERM');
    if (await this.goneWithin(1000)) return;
    await this.kill();
  }

  async goneWithin(ms: number): Promise<boolean> {
    if (this.#exit !== undefined) return true;
    return goneWithin(this.#gone, ms);
  }

  /** Keeps the log of a kernel that writes without end from filling the disk. */
  async attend(): Promise<void> {
    const file = join(this.#options.directory, 'kernel.log');
    const size = (await stat(file).catch(() => undefined))?.size ?? 0;
    if (size > MAX_LOG_BYTES) await truncate(file, 0);
  }

  async give(name: string, text: string): Promise<string> {
    const file = join(this.#options.directory, name);
    await writeFile(file, text, { mode: 0o600 });
    return file;
  }

  cache(): Promise<string> {
    return compiledCache(this.#options.directory);
  }

  folders(blobs: string): Promise<StateFolders> {
    return ownFolders(this.#options.directory, blobs);
  }

  async #describe(code: number | null, signal: NodeJS.Signals | null): Promise<string> {
    const tail = await logTail(join(this.#options.directory, 'kernel.log'));
    const how = describeExit(code, signal);
    if (this.#killedBy !== '') return `${this.#killedBy} (${how})`;
    return tail === '' ? how : how + LAST_WORDS + tail;
  }
}

async function logTail(file: string): Promise<string> {
  const handle = await open(file, 'r').catch(() => undefined);
  if (handle === undefined) return '';
  try {
    const { size } = await handle.stat();
    const from = Math.max(0, size - TAIL_BYTES);
    const { buffer, bytesRead } = await handle.read(
      Buffer.alloc(size - from),
      0,
      size - from,
      from,
    );
    const lines = buffer.toString('utf8', 0, bytesRead).split('\n');
    const words = lines.map((line) => line.trim()).filter((line) => line !== '');
    return words.slice(-TAIL_LINES).join(' | ').slice(-1000);
  } catch {
    return '';
  } finally {
    await handle.close();
  }
}

function started(child: ChildProcess, program: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => {
      reject(
        new NbosError(
          'kernel-failed',
          `kernel process: ${program} cannot be run: ${error.message}`,
          'Check the kernelspec, or name an interpreter with --python.',
        ),
      );
    });
  });
}

function reniced(ids: readonly number[], priority: number): void {
  for (const id of ids) {
    try {
      setPriority(id, priority);
    } catch {
      // Raising a priority takes a right that most users do not have.
    }
  }
}

/** Whether this user may give a process its normal priority back. */
export async function canPrioritize(): Promise<boolean> {
  if (process.getuid?.() === 0) return true;
  const limits = await readFile('/proc/self/limits', 'utf8').catch(() => '');
  const soft = Number(/^Max nice priority\s+(\d+)/m.exec(limits)?.[1] ?? 0);
  return soft >= 20;
}

/** The pid file holds the start time too, so that a later process of that number is left alone. */
async function writePidFile(directory: string, pid: number): Promise<void> {
  const file = join(directory, 'pid');
  const text = `${JSON.stringify({ v: 1, pid, startedAt: await startTime(pid) })}\n`;
  await writeFile(`${file}.new`, text, { mode: 0o600 });
  await rename(`${file}.new`, file);
}

/** When a process started, in the system's own count; '' where it cannot be told, or it has ended. */
export async function startTime(pid: number): Promise<string> {
  const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name in brackets may hold spaces and brackets itself.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  // One that has ended stays listed until its parent takes note.
  return fields[0] === 'Z' || fields[0] === 'X' ? '' : (fields[19] ?? '');
}
