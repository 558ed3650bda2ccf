// time-limit: 400 s
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { freePort } from '../../../live/wire/free-port.ts';
import { testWithPart } from '../../skip.ts';
import { System } from '../e2e/system.ts';
import { JUPYTER_PYTHON, missingJupyter } from './python.ts';

const CHROMIUM = process.env['NBOS_CHROMIUM'] ?? '/usr/bin/chromium';
const missing = missingJupyter || (existsSync(CHROMIUM) ? '' : `no Chromium at ${CHROMIUM}`);
const test = suite<Record<string, never>>('JupyterLab in a browser');

let system: System;
let lab: ChildProcess;
let browser: Browser;
let page: Page;
let labUrl = '';
let labOutput = '';
const folder = mkdtempSync(join(tmpdir(), 'nbos-lab-'));

function cell(source: string): object {
  return { cell_type: 'code', execution_count: null, metadata: {}, outputs: [], source };
}

const NOTEBOOK = {
  cells: [
    cell('kept = {"n": 41}\nkept'),
    cell('kept["n"] += 1\nprint("now", kept["n"])'),
    cell(
      'import time\nfor i in range(40):\n    print("line", i, flush=True)\n    time.sleep(0.25)',
    ),
    cell('print("after", kept["n"])'),
  ],
  metadata: { kernelspec: { name: 'python3', display_name: 'Python 3', language: 'python' } },
  nbformat: 4,
  nbformat_minor: 5,
};

test.before(async () => {
  if (missing !== '') return;
  writeFileSync(join(folder, 'work.ipynb'), JSON.stringify(NOTEBOOK));
  system = await System.up(['--python', JUPYTER_PYTHON]);
  const port = await freePort();
  labUrl = `http://127.0.0.1:${port}`;
  const words = ['-m', 'jupyterlab', '--no-browser', '--allow-root', `--ServerApp.port=${port}`];
  lab = spawn(JUPYTER_PYTHON, [...words, `--gateway-url=${system.url}`, '--LabApp.news_url='], {
    cwd: folder,
    env: {
      ...process.env,
      JUPYTER_GATEWAY_AUTH_TOKEN: system.token,
      JUPYTER_TOKEN: 'lab-token',
      JUPYTER_CONFIG_DIR: folder,
      JUPYTERLAB_SETTINGS_DIR: folder,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [lab.stdout!, lab.stderr!]) {
    stream.on('data', (text: Buffer) => {
      labOutput += text.toString();
    });
  }
  await system.until('JupyterLab serves', async () => (await fetch(`${labUrl}/api`)).ok, 60_000);
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-sync'],
  });
  page = await browser.newPage();
});

test.after(async () => {
  await browser?.close();
  lab?.kill('SIGTERM');
  if (system !== undefined) assert.equal(await system.stop(), [], 'processes left behind');
  rmSync(folder, { recursive: true, force: true });
});

/** Text of the outputs below the n-th cell, from 0. */
function outputOf(index: number) {
  return page.locator('.jp-Notebook .jp-Cell').nth(index).locator('.jp-Cell-outputArea');
}

/** A page that has just connected may drop what is run in that moment: a user runs it again. */
async function runFirst(index: number, text: string): Promise<void> {
  for (let tries = 0; tries < 3; tries++) {
    await runCell(index);
    const shown = outputOf(index).getByText(text).first();
    if (
      await shown.waitFor({ timeout: 10_000 }).then(
        () => true,
        () => false,
      )
    )
      return;
  }
}

async function runCell(index: number): Promise<void> {
  const editor = page.locator('.jp-Notebook .jp-Cell').nth(index).locator('.cm-content');
  await editor.click();
  await page.keyboard.press('Control+Enter');
}

async function shows(index: number, text: string, limitMs = 20_000): Promise<void> {
  try {
    await outputOf(index).getByText(text).first().waitFor({ timeout: limitMs });
  } catch (error) {
    await page.screenshot({ path: join(tmpdir(), 'nbos-jupyterlab.png') });
    const shown = await outputOf(index).allInnerTexts();
    throw new Error(`cell ${index} shows ${JSON.stringify(shown)}\n${labOutput.slice(-3000)}`, {
      cause: error,
    });
  }
}

async function open(): Promise<void> {
  await page.goto(`${labUrl}/lab/tree/work.ipynb?token=lab-token`);
  await page.locator('.jp-Notebook .jp-Cell').nth(3).waitFor({ timeout: 60_000 });
}

testWithPart(
  test,
  missing,
  'a notebook runs, and goes on after its executor was killed',
  async () => {
    await open();
    await page
      .locator('[data-status="idle"], .jp-Notebook-ExecutionIndicator[data-status=idle]')
      .first()
      .waitFor({ timeout: 60_000 });
    await runFirst(0, "{'n': 41}");
    await shows(0, "{'n': 41}");
    const { kernels } = await system.status();
    assert.is(kernels.length, 1);
    const { executor, replicas } = kernels[0]!;
    system.kill(replicas.find((replica) => replica.id === executor)?.pid);
    await runCell(1);
    await shows(1, 'now 42');
  },
);

testWithPart(
  test,
  missing,
  'the page is reloaded in a cell: busy, usable, nothing lost',
  async () => {
    await runCell(2);
    await shows(2, 'line 3');
    await page.keyboard.press('Control+s');
    await page.reload();
    await page.locator('.jp-Notebook .jp-Cell').nth(3).waitFor({ timeout: 60_000 });
    await page
      .locator('.jp-Notebook-ExecutionIndicator[data-status=busy]')
      .first()
      .waitFor({ timeout: 10_000 });
    await runCell(3);
    await shows(3, 'after 42', 40_000);
    const [kernel] = (await system.status()).kernels;
    const file = join(folder, 'out.ipynb');
    writeFileSync(file, JSON.stringify(NOTEBOOK));
    const { status, stderr } = await system.nbos(['output', kernel!.id, '--into', file]);
    assert.is(status, 0, stderr);
    const written = JSON.parse(readFileSync(file, 'utf8')) as typeof NOTEBOOK & {
      cells: { outputs: { text?: string | string[] }[] }[];
    };
    const text = [written.cells[2]!.outputs[0]!.text].flat().join('');
    for (let line = 0; line < 40; line++)
      assert.ok(text.includes(`line ${line}\n`), `line ${line}`);
  },
);

test.run();
