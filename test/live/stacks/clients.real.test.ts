// time-limit: 600 s
// runs-alone
// Its clients choose ports for kernels and leave them free until a kernel takes them.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testWithPart } from '../../skip.ts';
import { System } from '../e2e/system.ts';
import { JUPYTER_BIN, JUPYTER_PYTHON, missingJupyter, runProgram } from './python.ts';

const test = suite<Record<string, never>>('notebook programs');
const folder = mkdtempSync(join(tmpdir(), 'nbos-clients-'));
let system: System;
let env: NodeJS.ProcessEnv;

/** nbclient's own tests come with its source package, unpacked beside the environment. */
const NBCLIENT = (
  missingJupyter === '' ? readdirSync(join(JUPYTER_BIN, '..'), { withFileTypes: true }) : []
)
  .filter((entry) => entry.isDirectory() && entry.name.startsWith('nbclient-'))
  .map((entry) => join(JUPYTER_BIN, '..', entry.name))[0];

test.before(async () => {
  if (missingJupyter !== '') return;
  system = await System.up(['--python', JUPYTER_PYTHON]);
  // Under the name that notebooks ask for, so that programs which know nothing of us use it.
  const words = ['kernelspec', 'install', '--name', 'python3', '--prefix', folder];
  const installed = await system.nbos(words);
  assert.is(installed.status, 0, installed.stderr);
  env = {
    ...process.env,
    PATH: `${JUPYTER_BIN}:${process.env['PATH']}`,
    JUPYTER_PATH: join(folder, 'share', 'jupyter'),
    NBOS_TOKEN: system.token,
    NBOS_URL: system.url,
    NBOS_SECRET_URL: /http:\S+\/t\/[0-9a-f]+/.exec(system.output)?.[0],
  };
});
test.after(async () => {
  if (system !== undefined) assert.equal(await system.stop(), [], 'processes left behind');
  rmSync(folder, { recursive: true, force: true });
});

function notebook(name: string, sources: readonly string[]): string {
  const file = join(folder, name);
  const cells = sources.map((source, at) => ({
    id: `cell-${at}`,
    cell_type: 'code',
    execution_count: null,
    metadata: at === 0 ? { tags: ['parameters'] } : {},
    outputs: [],
    source,
  }));
  const kernelspec = { name: 'python3', display_name: 'Python 3', language: 'python' };
  const content = { cells, metadata: { kernelspec }, nbformat: 4, nbformat_minor: 5 };
  writeFileSync(file, JSON.stringify(content));
  return file;
}

function textOfCell(file: string, index: number): string {
  const { cells } = JSON.parse(readFileSync(file, 'utf8')) as {
    cells: { outputs: { text?: string | string[] }[] }[];
  };
  return cells[index]!.outputs.map(({ text }) => [text ?? ''].flat().join('')).join('');
}

testWithPart(test, missingJupyter, 'nbconvert --execute', async () => {
  const file = notebook('convert.ipynb', ['x = 20', 'print(x + 22)']);
  const words = ['-m', 'nbconvert', '--to', 'notebook', '--execute', '--inplace', file];
  const { status, output } = await runProgram(JUPYTER_PYTHON, words, { env });
  assert.is(status, 0, output);
  assert.is(textOfCell(file, 1), '42\n');
});

testWithPart(test, missingJupyter, 'papermill', async () => {
  const file = notebook('mill.ipynb', ['x = 1', 'print(x + 1)']);
  const out = join(folder, 'milled.ipynb');
  const words = ['-m', 'papermill', file, out, '-p', 'x', '41', '--no-progress-bar'];
  const { status, output } = await runProgram(JUPYTER_PYTHON, words, { env });
  assert.is(status, 0, output);
  assert.is(textOfCell(out, 2), '42\n');
});

testWithPart(
  test,
  missingJupyter,
  'nbclient through a gateway kernel manager, without headers',
  async () => {
    const file = notebook('gateway.ipynb', ['x = 20', 'print(x + 22)']);
    const program = `
import os, nbformat
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.gateway.managers import GatewayKernelManager
from nbclient import NotebookClient
GatewayClient.instance().url = os.environ["NBOS_SECRET_URL"]
book = nbformat.read(${JSON.stringify(file)}, 4)
NotebookClient(book, kernel_manager_class=GatewayKernelManager, timeout=60).execute()
print("shows", book.cells[1].outputs[0].text)
`;
    const { status, output } = await runProgram(JUPYTER_PYTHON, ['-c', program], { env });
    assert.is(status, 0, output);
    assert.match(output, /shows 42/);
  },
);

testWithPart(
  test,
  missingJupyter || (NBCLIENT ? '' : "nbclient's own tests are not there"),
  "nbclient's own notebooks",
  async () => {
    const words = ['-m', 'pytest', '-q', '--color=no', '-p', 'no:cacheprovider', '-W', 'default'];
    // One of them sets the name of the cell's file through the environment of its own kernels.
    const which = 'test_run_all_notebooks and not Tags';
    const only = ['-k', which, 'tests/test_client.py'];
    const settings = ['-o', 'asyncio_default_fixture_loop_scope=function'];
    const options = { env, cwd: NBCLIENT! };
    const ended = await runProgram(
      JUPYTER_PYTHON,
      [...words, ...settings, ...only],
      options,
      300_000,
    );
    assert.is(ended.status, 0, ended.output);
    assert.match(ended.output, /\b\d\d passed/);
  },
);

test.run();
