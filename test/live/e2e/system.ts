import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FaultRequest, KernelStatus, SystemStatus } from '../../../live/admin-types.ts';
import { PROJECT_ROOT } from '../../skip.ts';
import { NotebookClient, WAIT_MS } from './notebook-client.ts';

const READY_MS = 60_000;
/** ms in which what was ended is buried; a kernel that was forgotten ends itself only later */
const BURIED_MS = 8_000;

/**
 * A whole system, started as a user starts it: `nbos up`, in processes of its own, found by its
 * `ready` line. `stop` ends all of it and says what was left behind.
 */
export class System {
  readonly token = randomBytes(16).toString('hex');
  readonly data: string;
  url = '';
  output = '';
  private readonly children: ChildProcess[] = [];
  private readonly clients: NotebookClient[] = [];

  private constructor(data: string) {
    this.data = data;
  }

  static async up(args: readonly string[] = [], data?: string): Promise<System> {
    const system = new System(data ?? mkdtempSync(join(tmpdir(), 'nbos-test-')));
    await system.start(['up', '--port', '0', '--enable-faults', ...args]);
    return system;
  }

  /** One of which nothing runs yet. */
  static on(data: string): System {
    return new System(data);
  }

  /**
   * Starts a command of nbos on this data and waits until it serves. `prefix` are words before it,
   * such as those that bring it into another network.
   */
  async start(words: readonly string[], prefix: readonly string[] = []): Promise<ChildProcess> {
    const child = this.spawn([...words, '--data', this.data], prefix);
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(
        () => reject(new Error(`not ready in ${READY_MS} ms:\n${this.output}`)),
        READY_MS,
      );
      let seen = '';
      child.stdout!.on('data', (text: Buffer) => {
        seen += text.toString();
        const ready = /^ready (http:\S+)$/m.exec(seen);
        if (ready === null) return;
        this.url = ready[1]!;
        clearTimeout(late);
        resolve();
      });
      child.on('exit', (code) => {
        clearTimeout(late);
        reject(new Error(`nbos ${words[0]} ended with ${code}:\n${this.output}`));
      });
    });
    return child;
  }

  /** Starts a command that does not say when it is ready. */
  spawn(words: readonly string[], prefix: readonly string[] = []): ChildProcess {
    const program = [...prefix, process.execPath, join(PROJECT_ROOT, 'dist/cli.js'), ...words];
    const child = spawn(program[0]!, program.slice(1), {
      env: { ...process.env, NBOS_TOKEN: this.token, NBOS_URL: this.url },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.on('data', (text: Buffer) => {
        this.output = (this.output + text.toString()).slice(-20_000);
      });
    }
    this.children.push(child);
    return child;
  }

  /** Runs a command to its end: exit status and everything it printed. */
  async nbos(words: readonly string[], limitMs = WAIT_MS) {
    const child = this.spawn(words);
    let stdout = '';
    let stderr = '';
    child.stdout!.on('data', (text: Buffer) => {
      stdout += text.toString();
    });
    child.stderr!.on('data', (text: Buffer) => {
      stderr += text.toString();
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), limitMs);
    const status = await new Promise<number>((resolve) => {
      child.on('close', (code) => resolve(code ?? -1));
    });
    clearTimeout(timer);
    return { status, stdout, stderr };
  }

  async fetch(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, {
      signal: AbortSignal.timeout(WAIT_MS),
      ...init,
      headers: { authorization: `token ${this.token}`, 'content-type': 'application/json' },
    });
  }

  async json<T>(path: string, init: RequestInit = {}): Promise<T> {
    const response = await this.fetch(path, init);
    const text = await response.text();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  status(): Promise<SystemStatus> {
    return this.json<SystemStatus>('/nbos/status');
  }

  async kernel(id: string): Promise<KernelStatus> {
    const { kernels } = await this.status();
    const found = kernels.find((each) => each.id === id);
    if (found === undefined) throw new Error(`kernel ${id} is not listed`);
    return found;
  }

  fault(request: FaultRequest): Promise<void> {
    return this.json('/nbos/faults', { method: 'POST', body: JSON.stringify(request) });
  }

  /** A new kernel with a client on it. `gpus` 0 by default, so that tests do not queue. */
  async notebook(env: Record<string, string> = { KERNEL_GPUS: '0' }) {
    const { id } = await this.json<{ id: string }>('/api/kernels', {
      method: 'POST',
      body: JSON.stringify({ name: 'python3', env }),
    });
    return { id, client: await this.client(id) };
  }

  async client(kernel: string, options: Parameters<typeof NotebookClient.open>[3] = {}) {
    const client = await NotebookClient.open(this.url, this.token, kernel, options);
    this.clients.push(client);
    return client;
  }

  /** SIGKILL, to one process: 0 and below would be this test's own group. */
  kill(pid: number | undefined): void {
    if (pid === undefined || pid <= 1) throw new Error(`no process to kill: ${pid}`);
    process.kill(pid, 'SIGKILL');
  }

  /** Polls until the condition holds; its last value, or an error that names it. */
  async until<T>(what: string, ask: () => Promise<T | undefined | false>, limitMs = WAIT_MS) {
    const end = Date.now() + limitMs;
    for (;;) {
      const value = await ask().catch(() => undefined);
      if (value) return value as T;
      if (Date.now() > end) throw new Error(`not within ${limitMs} ms: ${what}\n${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Ends it and starts it again as `up`, without these folders of its data. */
  async again(folders: readonly string[]): Promise<void> {
    for (const client of this.clients) client.close(true);
    for (const child of this.children) if (child.exitCode === null) child.kill('SIGTERM');
    await Promise.all(this.children.map((child) => ended(child)));
    for (const folder of folders) rmSync(join(this.data, folder), { recursive: true });
    await this.start(['up', '--port', '0', '--enable-faults', '--split']);
  }

  /** Ends everything; the pids of kernels and hosts that were still there after it. */
  async stop(): Promise<number[]> {
    const known = this.url === '' ? undefined : await this.status().catch(() => undefined);
    const pids = known === undefined ? [] : pidsOf(known);
    for (const client of this.clients) client.close(true);
    for (const child of this.children) if (child.exitCode === null) child.kill('SIGTERM');
    await Promise.all(this.children.map((child) => ended(child)));
    const end = Date.now() + BURIED_MS;
    let left = pids.filter(isAlive);
    while (left.length > 0 && Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      left = left.filter(isAlive);
    }
    for (const pid of left) process.kill(pid, 'SIGKILL');
    // With NBOS_KEEP its logs are left to be read.
    if (process.env['NBOS_KEEP'] === undefined)
      rmSync(this.data, { recursive: true, force: true, maxRetries: 5 });
    else process.stderr.write(`kept: ${this.data}\n`);
    return left;
  }
}

function pidsOf(status: SystemStatus): number[] {
  const hosts = status.hosts.map(({ pid }) => pid);
  const kernels = status.kernels.flatMap(({ replicas }) => replicas.map(({ pid }) => pid));
  return [...new Set([status.gateway.pid, ...hosts, ...kernels])].filter((pid) => pid > 0);
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
  await new Promise((resolve) => child.once('close', resolve));
  clearTimeout(timer);
}

export function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}
