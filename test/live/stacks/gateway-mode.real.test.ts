import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { freePort } from '../../../live/wire/free-port.ts';
import { testWithPart } from '../../skip.ts';
import { NotebookClient, textOf } from '../e2e/notebook-client.ts';
import { missingKernel } from '../e2e/parts.ts';
import { System } from '../e2e/system.ts';
import { DEBIAN_PYTHON, JUPYTER_PYTHON, missingDebianJupyter, missingJupyter } from './python.ts';

const test = suite<Record<string, never>>('Jupyter servers in gateway mode');
const TOKEN = 'of-the-server-between';
let system: System;

test.before(async () => {
  if (missingKernel === '') system = await System.up();
});
test.after(async () => {
  if (system !== undefined) assert.equal(await system.stop(), [], 'processes left behind');
});

/** A Jupyter server whose kernels are ours, and a client of that server. */
class Between {
  readonly url: string;
  output = '';
  private readonly child: ChildProcess;
  private readonly folder = mkdtempSync(join(tmpdir(), 'nbos-between-'));

  constructor(python: string, module: string, port: number) {
    this.url = `http://127.0.0.1:${port}`;
    const app = module === 'notebook' ? 'NotebookApp' : 'ServerApp';
    const words = ['-m', module, '--no-browser', '--allow-root', `--${app}.port=${port}`];
    this.child = spawn(python, [...words, `--gateway-url=${system.url}`], {
      cwd: this.folder,
      env: {
        ...process.env,
        JUPYTER_GATEWAY_AUTH_TOKEN: system.token,
        JUPYTER_TOKEN: TOKEN,
        JUPYTER_CONFIG_DIR: this.folder,
        JUPYTER_RUNTIME_DIR: this.folder,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.on('data', (text: Buffer) => {
        this.output += text.toString();
      });
    }
  }

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { authorization: `token ${TOKEN}` };
    return fetch(`${this.url}${path}`, { ...init, headers });
  }

  async ready(): Promise<void> {
    await system.until('the server serves', async () => (await this.fetch('/api')).ok, 60_000);
  }

  /** Such servers offer their clients the legacy framing only. */
  async notebook(): Promise<{ id: string; client: NotebookClient }> {
    const body = '{"name":"python3","path":""}';
    const response = await this.fetch('/api/kernels', { method: 'POST', body });
    assert.is(response.status, 201, `${await response.clone().text()}\n${this.output}`);
    const { id } = (await response.json()) as { id: string };
    return { id, client: await NotebookClient.open(this.url, TOKEN, id, { framing: 'legacy' }) };
  }

  stop(): void {
    this.child.kill('SIGTERM');
    setTimeout(() => this.child.kill('SIGKILL'), 3000).unref();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function serves(python: string, module: string): Promise<void> {
  const between = new Between(python, module, await freePort());
  try {
    await between.ready();
    const { id, client } = await between.notebook();
    for (let at = 1; at <= 3; at++) {
      const { text, reply } = await client.run(`print("cell", ${at})`);
      assert.is(text, `cell ${at}\n`, between.output);
      assert.is(reply['execution_count'], at);
    }
    // A frame that such servers hang on for ever: a message with binary buffers.
    await client.run(
      'from ipykernel.comm import Comm\nComm(target_name="t", buffers=[b"123"])\nNone',
    );
    assert.is((await client.run('print("still here")')).text, 'still here\n', between.output);
    const running = client.execute('import time; print("in", flush=True); time.sleep(60)');
    await client.next(({ content }) => content['text'] === 'in\n');
    assert.ok((await between.fetch(`/api/kernels/${id}/interrupt`, { method: 'POST' })).ok);
    assert.is((await running.done)['ename'], 'KeyboardInterrupt');
    assert.ok((await between.fetch(`/api/kernels/${id}/restart`, { method: 'POST' })).ok);
    const after = client.execute('print("fresh")');
    assert.is((await after.done)['execution_count'], 1);
    assert.is(textOf(after.outputs), 'fresh\n');
    client.close();
    assert.ok((await between.fetch(`/api/kernels/${id}`, { method: 'DELETE' })).ok);
    await system.until('it is gone', async () => (await system.status()).kernels.length === 0);
  } finally {
    between.stop();
  }
}

testWithPart(test, missingKernel || missingJupyter, 'jupyter_server 2', () =>
  serves(JUPYTER_PYTHON, 'jupyter_server'),
);
testWithPart(test, missingKernel || missingDebianJupyter, 'notebook 6.4 of Debian', () =>
  serves(DEBIAN_PYTHON, 'notebook'),
);

test.run();
