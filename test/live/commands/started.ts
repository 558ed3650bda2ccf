import { type ChildProcess, spawn } from 'node:child_process';
import * as assert from 'uvu/assert';
import { type Ended, ended } from '../../cli/nbos.ts';
import { PROGRAM_WORDS } from './run-nbos.ts';

const READY_MS = 60_000;

export interface Started {
  child: ChildProcess;
  /** what its line `ready` says */
  url: string;
  end: Promise<Ended>;
}

/** Starts a command that serves, and waits for its line `ready`. */
export async function startNbos(
  words: readonly string[],
  env: NodeJS.ProcessEnv,
  cwd: string,
): Promise<Started> {
  const child = spawn(process.execPath, [...PROGRAM_WORDS, ...words], {
    env,
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const end = ended(child);
  const url = await new Promise<string>((resolve, reject) => {
    const late = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`nbos ${words[0]} was not ready in ${READY_MS} ms`));
    }, READY_MS);
    let seen = '';
    child.stdout!.on('data', (piece: Buffer) => {
      seen += piece;
      const ready = /^ready (\S+)$/m.exec(seen);
      if (ready === null) return;
      clearTimeout(late);
      resolve(ready[1]!);
    });
    void end.then(({ stderr }) => reject(new Error(stderr)));
  });
  return { child, url, end };
}

/** Ends it as Ctrl-C does; it must end well. */
export async function stopNbos({ child, end }: Started): Promise<void> {
  child.kill('SIGINT');
  const { status, stderr } = await end;
  assert.is(status, 0, stderr);
}

/** '' when kernels can be started and spoken to by Python. */
export async function whyNoKernel(): Promise<string> {
  const child = spawn('python3', ['-c', 'import ipykernel, jupyter_client'], { stdio: 'ignore' });
  const { status } = await ended(child).catch(() => ({ status: 1 }));
  return status === 0 ? '' : 'no python3 with ipykernel and jupyter_client';
}
