import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { NbosError } from '../../core/errors.ts';
import { makeFolder, unwritable } from '../../traces/output-file.ts';

/**
 * Keeps a data directory for one gateway. It is an empty LevelDB: its lock is the operating
 * system's, so that it ends with the process, however that ends.
 * @throws NbosError data-locked, file-unwritable
 */
export async function lockData(data: string): Promise<() => Promise<void>> {
  const folder = join(data, 'lock');
  const pidFile = join(data, 'gateway.pid');
  makeFolder(data, 0o700);
  const level = new ClassicLevel(folder);
  try {
    await level.open();
  } catch (error) {
    const cause = (error as { cause?: NodeJS.ErrnoException }).cause;
    if (cause?.code !== 'LEVEL_LOCKED') throw unwritable(folder, cause ?? error);
    const pid = (await readFile(pidFile, 'utf8').catch(() => '')).trim();
    throw new NbosError(
      'data-locked',
      `${data} is in use by another gateway${pid === '' ? '' : ` (pid ${pid})`}`,
      'Stop that one, or give this one a --data of its own.',
    );
  }
  await writeFile(pidFile, `${process.pid}\n`);
  return () => level.close();
}
