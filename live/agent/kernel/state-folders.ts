import { randomUUID } from 'node:crypto';
import { mkdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { StateFolders } from './place.ts';

/** A process of this user reads the host's blobs themselves, and spools beside its sockets. */
export async function ownFolders(directory: string, blobs: string): Promise<StateFolders> {
  const home = await spoolHome(directory, blobs);
  const spool = join(home, 'spool');
  await mkdir(spool, { recursive: true, mode: 0o700 });
  return {
    ...{ home, spool, shown: blobs },
    show: async () => {},
    refresh: async () => {},
    remove: () => rm(home, { recursive: true, force: true }),
  };
}

/** Renaming works within one file system only: the spool lies where the blobs do. */
async function spoolHome(directory: string, blobs: string): Promise<string> {
  const [here, there] = await Promise.all([stat(directory), stat(blobs)]);
  if (here.dev === there.dev) return directory;
  return join(dirname(blobs), '..', 'spool', randomUUID());
}
