import { spawn } from 'node:child_process';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { type Ended, ended } from '../../cli/nbos.ts';
import { PROJECT_ROOT } from '../../skip.ts';

/** Words after `node` that start the program: the source where tests run from source. */
export const PROGRAM_WORDS: readonly string[] = import.meta.url.endsWith('.ts')
  ? ['--import', import.meta.resolve('tsx'), join(PROJECT_ROOT, 'cli.ts')]
  : [join(PROJECT_ROOT, 'dist', 'cli.js')];

const LIMIT_MS = 60_000;

/** Runs the program while this process goes on, so that it can be its gateway. */
export async function runNbos(
  words: readonly string[],
  env: NodeJS.ProcessEnv,
  cwd = PROJECT_ROOT,
): Promise<Ended> {
  const child = spawn(process.execPath, [...PROGRAM_WORDS, ...words], {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const late = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
  const end = await ended(child);
  clearTimeout(late);
  return end;
}

/** Runs a command that must succeed; returns what it printed. */
export async function works(
  words: readonly string[],
  env: NodeJS.ProcessEnv,
  cwd?: string,
): Promise<string> {
  const { status, stdout, stderr } = await runNbos(words, env, cwd);
  assert.is(status, 0, `nbos ${words.join(' ')}: ${stderr}`);
  return stdout;
}

/** Runs a command that must fail as a user's mistake does: exit 1, one line `code: message`. */
export async function refuses(
  words: readonly string[],
  env: NodeJS.ProcessEnv,
  expected: RegExp,
): Promise<void> {
  const { status, stdout, stderr } = await runNbos(words, env);
  const what = `nbos ${words.join(' ')}\n${stdout}${stderr}`;
  assert.is(status, 1, what);
  assert.is(stdout, '', what);
  assert.is(stderr.trimEnd().split('\n').length, 1, what);
  assert.match(stderr, expected);
}
