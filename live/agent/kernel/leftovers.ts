import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { startTime } from './process.ts';

/**
 * Ends the kernel processes that an agent left behind when it was killed, and removes their
 * folders. `root` holds one directory a kernel process. Their state is in the log; a cell that ran
 * in one has been decided by others or will be aborted. Returns the pids that were ended.
 */
export async function endLeftovers(root: string): Promise<number[]> {
  const names = await readdir(root).catch(() => []);
  const ended: number[] = [];
  // What begins with a dot is no kernel's.
  for (const name of names.filter((each) => !each.startsWith('.'))) {
    const directory = join(root, name);
    const pid = await livingPid(directory);
    if (pid !== undefined && kill(pid)) ended.push(pid);
    await rm(directory, { recursive: true, force: true });
  }
  return ended;
}

async function livingPid(directory: string): Promise<number | undefined> {
  const text = await readFile(join(directory, 'pid'), 'utf8').catch(() => '');
  if (text === '') return undefined;
  try {
    const { pid, startedAt } = JSON.parse(text) as { pid: number; startedAt: string };
    return (await startTime(pid)) === startedAt ? pid : undefined;
  } catch {
    return undefined;
  }
}

function kill(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid < 2) return false;
  try {
    process.kill(-pid, 'SIGKILL');
    return true;
  } catch {
    return false;
  }
}
