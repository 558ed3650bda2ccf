import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localPlace } from '../../../live/agent/kernel/local-place.ts';
import type { ProcessRuntime, RuntimeHost } from '../../../live/agent/kernel/process-runtime.ts';
import { KernelFactory } from '../../../live/agent/kernel/processes.ts';
import { findPython, type Interpreter } from '../../../live/agent/kernel/python.ts';
import type {
  CellResult,
  CellRun,
  PooledKernel,
  RuntimeOptions,
} from '../../../live/agent/kernel/runtime.ts';
import { messageOf, newHeader } from '../../../live/jupyter/headers.ts';
import type { JupyterMessage } from '../../../live/jupyter/message.ts';
import type { KernelMeta } from '../../../live/log/entries.ts';

const found = await findPython({
  python: process.env['NBOS_TEST_PYTHON'] ?? '',
  outer: process.env,
  cwd: tmpdir(),
}).catch((error: Error) => error.message);
/** What is not there for tests with real kernels, '' when all is. */
export const MISSING_PYTHON = typeof found === 'string' ? found : '';
export const PYTHON = found as Interpreter;

/** A message with its JSON parsed. */
export interface Seen {
  channel: string;
  type: string;
  parent: string;
  content: Record<string, unknown>;
}

export function seen(channel: string, message: JupyterMessage): Seen {
  const parse = (part: Uint8Array): Record<string, unknown> =>
    JSON.parse(Buffer.from(part).toString());
  return {
    channel,
    type: String(parse(message.header)['msg_type']),
    parent: String(parse(message.parent)['msg_id'] ?? ''),
    content: parse(message.content),
  };
}

export function metaOf(cwd: string, fields: Partial<KernelMeta> = {}): KernelMeta {
  return {
    kernel: randomUUID(),
    spec: 'python3',
    language: 'python',
    argv: [PYTHON.path, '-m', 'ipykernel_launcher', '-f', '{connection_file}'],
    userId: 'test',
    path: '',
    name: '',
    sessionType: 'notebook',
    jupyterSession: '',
    env: {},
    cwd,
    need: { cpuMillis: 100, memoryMb: 100, gpuMillis: 0, vramMb: 0 },
    gpuType: '',
    replicas: 1,
    hashSeed: 7,
    stateKey: 'ab'.repeat(32),
    createdAt: 0,
    session: 1,
    ...fields,
  };
}

export function quietHost(workspace: string): RuntimeHost {
  const log = { info: () => {}, warn: () => {} };
  const place = localPlace({ outer: process.env, workspace, userSite: PYTHON.userSite, log });
  return { place, quotaBytes: 0, log };
}

/** A runtime in a scratch folder, with all that came out of it. */
export class TestKernel {
  readonly folder = mkdtempSync(join(tmpdir(), 'nbk-'));
  readonly options: RuntimeOptions;
  readonly runtime: ProcessRuntime;
  messages: Seen[] = [];
  exit = '';
  #cells = 0;

  constructor(
    meta: Partial<KernelMeta> = {},
    options: Partial<RuntimeOptions> = {},
    workspace = this.folder,
    factory = new KernelFactory(quietHost(workspace)),
    pooled?: PooledKernel,
  ) {
    this.options = {
      meta: metaOf(this.folder, meta),
      directory: join(this.folder, 'r'),
      blobs: join(this.folder, 'b'),
      niced: false,
      orphanMs: 15_000,
      ...options,
    };
    this.runtime = factory.make(this.options, pooled);
    this.runtime.onMessage = (channel, message) => this.messages.push(seen(channel, message));
    this.runtime.onDeath = (exit) => {
      this.exit = exit;
    };
  }

  async run(code: string, fields: Partial<CellRun> = {}): Promise<CellResult> {
    return this.runtime.run({ ...cellOf(++this.#cells, code, this.options.meta), ...fields });
  }

  /** Content of the answer to a client's request on shell. */
  async ask(type: string, content: object): Promise<Record<string, unknown>> {
    const header = newHeader(type, 'client');
    this.runtime.send('shell', messageOf({ header, content }));
    const answer = await this.until(
      ({ channel, parent }) => channel === 'shell' && parent === header.msg_id,
    );
    return answer.content;
  }

  /** The first message that fits, also of those to come; throws after 60 s. */
  async until(fits: (message: Seen) => boolean): Promise<Seen> {
    for (const end = performance.now() + 60_000; performance.now() < end; ) {
      const message = this.messages.find(fits);
      if (message !== undefined) return message;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    throw new Error(`no such message among ${JSON.stringify(this.messages)}`);
  }

  /** Text printed so far. */
  printed(): string {
    return this.messages
      .filter(({ type }) => type === 'stream')
      .map(({ content }) => content['text'])
      .join('');
  }

  async stop(): Promise<void> {
    await this.runtime.stop(true);
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

export function cellOf(cell: number, code: string, { need }: KernelMeta): CellRun {
  const msgId = randomUUID();
  const header = { ...newHeader('execute_request', 'client'), msg_id: msgId };
  const content = {
    code,
    silent: false,
    store_history: true,
    user_expressions: {},
    allow_stdin: true,
    stop_on_error: true,
  };
  return {
    cell,
    attempt: 1,
    count: cell,
    devices: [],
    request: {
      v: 1,
      type: 'submit',
      cell,
      session: 'client',
      msgId,
      userId: 'test',
      submittedAt: 0,
      need,
      header: JSON.stringify(header),
      metadata: '{}',
      content: JSON.stringify(content),
      buffers: [],
    },
  };
}

export function contentOf(message: JupyterMessage): Record<string, unknown> {
  return JSON.parse(Buffer.from(message.content).toString());
}

/** Whether a process is there and not only waits to be buried by its parent. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return line.slice(line.lastIndexOf(')') + 2, line.lastIndexOf(')') + 3) !== 'Z';
  } catch {
    return existsSync('/proc/self') === false;
  }
}
