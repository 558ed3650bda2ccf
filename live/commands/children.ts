import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { NbosError } from '../../core/errors.ts';
import { interruption } from '../../traces/command-line.ts';

/** Set for children: they end when the process that started them is gone. */
const CHILD = 'NBOS_CHILD';
/** How long a part whose parent is gone may take to end. */
const ORPHAN_END_MS = 5_000;

/** How long a child may take to end by itself. */
const END_MS = 20_000;

/** A process of the system that `nbos up --split` starts. */
export interface Child {
  readonly name: string;
  readonly pid: number;
  /** resolves with how it ended */
  readonly ended: Promise<string>;
  /** Ends it: gracefully, or at once when that takes too long. */
  stop(): Promise<void>;
}

/**
 * Starts a command of this program as a child and waits for its line `ready WHAT` on stdout.
 * @returns the child and WHAT
 * @throws NbosError child-failed, with what it said, when it ends before
 */
export async function startChild(
  name: string,
  words: readonly string[],
  limitMs: number,
): Promise<{ child: Child; ready: string }> {
  const program = [...process.execArgv, process.argv[1]!];
  const process_ = spawn(process.execPath, [...program, ...words], {
    // Its stdin ends with this process, however that ends.
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, [CHILD]: '1' },
  });
  process_.stdin.on('error', () => undefined);
  let said = '';
  process_.stderr.on('data', (piece: Buffer) => {
    said = (said + piece.toString()).slice(-4_000);
    process.stderr.write(piece);
  });
  const ended = endOf(process_);
  const ready = new Promise<string>((resolve) => {
    createInterface({ input: process_.stdout }).on('line', (line) => {
      if (line.startsWith('ready ')) resolve(line.slice('ready '.length));
    });
  });
  const late = new Promise<undefined>((resolve) => {
    const timer = setTimeout(() => resolve(undefined), limitMs);
    timer.unref();
    // One that tells how far it is (a pull of an image takes minutes) is waited for.
    process_.stderr.on('data', () => void timer.refresh());
  });
  const first = await Promise.race([ready, ended.then(() => undefined), late]);
  const child = { name, pid: process_.pid ?? 0, ended, stop: () => stopped(process_, ended) };
  if (first !== undefined) return { child, ready: first };
  await child.stop();
  const reason = said.trim().split('\n').at(-1) ?? '';
  throw new NbosError('child-failed', `${name} did not start${reason && `: ${reason}`}`);
}

/** A part of a system ends as by Ctrl-C once the process that started it is gone. */
export function endWithParent(): void {
  const isChild = process.env[CHILD] !== undefined;
  delete process.env[CHILD];
  if (!isChild) return;
  const { stdin, stdout, stderr } = process;
  // Nobody reads what it says any more.
  for (const stream of [stdin, stdout, stderr]) stream.on('error', () => undefined);
  stdin.once('close', () => {
    interruption.abort();
    setTimeout(() => process.exit(1), ORPHAN_END_MS).unref();
  });
  stdin.resume();
  stdin.unref();
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal ?? `exit ${code}`));
  });
}

async function stopped(child: ChildProcess, ended: Promise<string>): Promise<void> {
  child.kill('SIGTERM');
  const kill = setTimeout(() => child.kill('SIGKILL'), END_MS);
  await ended;
  clearTimeout(kill);
}
