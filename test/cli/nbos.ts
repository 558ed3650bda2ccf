import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { PROJECT_ROOT } from '../skip.ts';

export const PROGRAM = join(PROJECT_ROOT, 'dist', 'cli.js');

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the built program as a user would, in `cwd` (default: the checkout). */
export function nbos(words: readonly string[], cwd = PROJECT_ROOT): Ended {
  const { status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, ...words], {
    cwd,
    encoding: 'utf8',
    timeout: 60_000,
    maxBuffer: 1 << 28,
  });
  return { status, stdout, stderr };
}

/** Runs a command that must succeed; returns what it printed. */
export function works(words: readonly string[], cwd = PROJECT_ROOT): string {
  const { status, stdout, stderr } = nbos(words, cwd);
  assert.is(status, 0, `nbos ${words.join(' ')}: ${stderr}`);
  return stdout;
}

/**
 * Runs a command that must fail as a user's mistake does: non-zero exit, no result on stdout, one
 * line `code: message` that matches, and no stack trace.
 */
export function refuses(words: readonly string[], expected: RegExp, cwd = PROJECT_ROOT): string {
  const { status, stdout, stderr } = nbos(words, cwd);
  const what = `nbos ${words.join(' ')}\n${stdout}${stderr}`;
  assert.is(status, 1, what);
  const lines = stderr
    .trimEnd()
    .split('\n')
    .filter((line) => !/^(note|warning): /.test(line));
  assert.is(lines.length, 1, what);
  assert.match(lines[0]!, /^[a-z-]+: \S/);
  assert.match(lines[0]!, expected);
  assert.not.match(stderr, /\n\s+at /);
  return lines[0]!;
}

export function start(words: readonly string[], cwd = PROJECT_ROOT): ChildProcess {
  return spawn(process.execPath, [PROGRAM, ...words], { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
}

export function ended(child: ChildProcess): Promise<Ended> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (piece) => (stdout += piece));
  child.stderr?.on('data', (piece) => (stderr += piece));
  return new Promise((resolve) => {
    child.on('close', (status) => resolve({ status, stdout, stderr }));
  });
}

/** Calls `act` with a fresh folder that is removed afterwards. */
export async function inFolder(act: (folder: string) => void | Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'nbos-cli-'));
  try {
    await act(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Names of all files below a folder, `[]` when it does not exist. */
export function filesBelow(folder: string): string[] {
  try {
    return (readdirSync(folder, { recursive: true }) as string[]).sort();
  } catch {
    return [];
  }
}

/** A workload of the tiresias format: three sessions, a few minutes. */
export const TIRESIAS = `job_id,num_gpu,submit_time,iterations,model_name,duration,interval
0,1,0,0,m,2,0
1,1,5,0,m,3,0
2,4,12,0,m,2,0
3,2,1,0,m,4,0
4,2,9,0,m,1,0
5,8,3,0,m,6,0
`;
