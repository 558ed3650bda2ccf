import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHmac, randomUUID } from 'node:crypto';
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Dealer, Subscriber } from 'zeromq';
import { freePort } from '../../live/wire/free-port.ts';
import { median } from './bench.ts';

/** What the live system is measured against, in the same run. */

/** Interpreter that has ipykernel, and for the stock server jupyter_server. */
export const PYTHON = process.env['NBOS_BENCH_PYTHON'] ?? 'python3';

export function hasModule(module: string): boolean {
  return spawnSync(PYTHON, ['-c', `import ${module}`]).status === 0;
}

/** How a bare kernel's process is started: with a connection file in `folder`; returns its end. */
export type LaunchBare = (folder: string, file: string) => Promise<() => Promise<void> | void>;

const asProcess: LaunchBare = async (_folder, file) => {
  const child = spawn(PYTHON, ['-m', 'ipykernel_launcher', '-f', file], { stdio: 'ignore' });
  return () => void child.kill('SIGKILL');
};

/** A client that speaks to one ipykernel over ZMQ and does nothing else. */
export class BareKernel {
  private end: () => Promise<void> | void = () => {};
  private readonly shell = new Dealer({ linger: 0 });
  private readonly iopub = new Subscriber({ linger: 0, receiveHighWaterMark: 0 });
  private readonly folder: string;
  private readonly key = randomUUID();
  private readonly session = randomUUID();

  private constructor(folder: string) {
    this.folder = folder;
    const connection = {
      transport: 'ipc',
      ip: join(folder, 'k'),
      shell_port: 1,
      iopub_port: 2,
      stdin_port: 3,
      control_port: 4,
      hb_port: 5,
      key: this.key,
      signature_scheme: 'hmac-sha256',
    };
    const descriptor = openSync(this.file, 'w');
    writeSync(descriptor, JSON.stringify(connection));
    closeSync(descriptor);
    this.shell.connect(`ipc://${folder}/k-1`);
    this.iopub.connect(`ipc://${folder}/k-2`);
    this.iopub.subscribe('');
    void this.drain();
  }

  private get file(): string {
    return join(this.folder, 'kernel.json');
  }

  /** The kernel with its first reply, and how long that took, ms. */
  static async start(launch = asProcess): Promise<{ kernel: BareKernel; ms: number }> {
    const from = performance.now();
    const kernel = new BareKernel(mkdtempSync(join(tmpdir(), 'nbos-bare-')));
    kernel.end = await launch(kernel.folder, kernel.file);
    await kernel.execute('pass');
    return { kernel, ms: performance.now() - from };
  }

  /** execute_request → execute_reply, ms. */
  async execute(code: string): Promise<number> {
    const from = performance.now();
    const header = {
      msg_id: randomUUID(),
      msg_type: 'execute_request',
      session: this.session,
      username: 'bench',
      date: new Date().toISOString(),
      version: '5.3',
    };
    const content = { code, silent: false, store_history: true, user_expressions: {} };
    const parts = [header, {}, {}, content].map((part) => Buffer.from(JSON.stringify(part)));
    const hmac = createHmac('sha256', this.key);
    for (const part of parts) hmac.update(part);
    await this.shell.send(['<IDS|MSG>', hmac.digest('hex'), ...parts]);
    for (;;) {
      const frames = await this.shell.receive();
      const parent = JSON.parse(frames[3]!.toString()) as { msg_id?: string };
      if (parent.msg_id === header.msg_id) return performance.now() - from;
    }
  }

  async stop(): Promise<void> {
    await this.end();
    this.shell.close();
    this.iopub.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async drain(): Promise<void> {
    for await (const _ of this.iopub);
  }
}

/** A stock Jupyter server with the same interpreter. */
export class StockServer {
  readonly url: string;
  readonly token = randomUUID();
  private readonly child: ChildProcess;

  private constructor(port: number) {
    this.url = `http://127.0.0.1:${port}`;
    const folder = mkdtempSync(join(tmpdir(), 'nbos-stock-'));
    const words = ['-m', 'jupyter_server', `--ServerApp.port=${port}`, '--allow-root'];
    // Its limits drop output that comes fast; they are lifted, so that rates can be compared.
    const limits = ['--ZMQChannelsWebsocketConnection.iopub_msg_rate_limit=1e9'];
    this.child = spawn(PYTHON, [...words, ...limits, `--ServerApp.root_dir=${folder}`], {
      env: { ...process.env, JUPYTER_TOKEN: this.token },
      stdio: 'ignore',
    });
  }

  static async start(): Promise<StockServer> {
    const server = new StockServer(await freePort());
    for (let left = 300; left > 0; left--) {
      const up = await server.get('/api').then(
        ({ ok }) => ok,
        () => false,
      );
      if (up) return server;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    server.stop();
    throw new Error('the stock server did not start in 30 s');
  }

  async kernel(): Promise<string> {
    const response = await this.get('/api/kernels', { method: 'POST', body: '{"name":"python3"}' });
    return ((await response.json()) as { id: string }).id;
  }

  stop(): void {
    this.child.kill('SIGTERM');
    setTimeout(() => this.child.kill('SIGKILL'), 3000).unref();
  }

  private get(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, {
      ...init,
      headers: { authorization: `token ${this.token}` },
    });
  }
}

/** The disk's fdatasync of 200 bytes, median ms. */
export function fsyncMs(folder: string): number {
  const file = join(folder, 'fsync.probe');
  const descriptor = openSync(file, 'w');
  const times = Array.from({ length: 200 }, () => {
    const from = performance.now();
    writeSync(descriptor, 'x'.repeat(200));
    fdatasyncSync(descriptor);
    return performance.now() - from;
  });
  closeSync(descriptor);
  rmSync(file);
  return median(times);
}

/** R-7 is not needed for this: the value at that share of the sorted list. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}
