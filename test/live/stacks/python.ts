import { type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../skip.ts';

/** The environment that `.ci/jupyter` makes, or one that NBOS_JUPYTER names by its folder. */
const FOLDER = process.env['NBOS_JUPYTER'] ?? join(PROJECT_ROOT, '.cache', 'jupyter');

export const JUPYTER_PYTHON = join(FOLDER, 'bin', 'python');
export const JUPYTER_BIN = join(FOLDER, 'bin');

/** Why tests with today's Jupyter stack cannot run; '' when they can. */
export const missingJupyter = existsSync(JUPYTER_PYTHON)
  ? ''
  : "today's Jupyter stack is not there (.ci/jupyter makes it, NBOS_JUPYTER names another)";

/** Debian's older stack: notebook 6.4, ipykernel 6.17. */
export const DEBIAN_PYTHON = '/usr/bin/python3';
export const missingDebianJupyter =
  spawnSync(DEBIAN_PYTHON, [
    '-c',
    'import ipykernel, notebook; assert notebook.version_info[0] == 6',
  ]).status === 0
    ? ''
    : "Debian's jupyter-notebook and python3-ipykernel are not installed";

export interface Ended {
  readonly status: number;
  readonly output: string;
}

/** Runs a program to its end, or kills it after the limit. */
export async function runProgram(
  program: string,
  words: readonly string[],
  options: SpawnOptions = {},
  limitMs = 120_000,
): Promise<Ended> {
  const child = spawn(program, words, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.on('data', (text: Buffer) => {
      output += text.toString();
    });
  }
  const timer = setTimeout(() => {
    output += `\nkilled after ${limitMs} ms`;
    child.kill('SIGKILL');
  }, limitMs);
  const status = await new Promise<number>((resolve) => {
    child.on('close', (code) => resolve(code ?? -1));
    child.on('error', (error) => {
      output += error.message;
      resolve(-1);
    });
  });
  clearTimeout(timer);
  return { status, output };
}
