import { constants } from 'node:fs';
import { access, stat, statfs } from 'node:fs/promises';
import { type Check, ok, problem, warning } from '../finding.ts';
import { isFolderHere } from '../subject.ts';

/** What statfs calls file systems that several hosts can share. */
const SHARED: Readonly<Record<number, string>> = {
  26985: 'NFS',
  4283649346: 'CIFS',
  4266872130: 'SMB 2',
  1799439955: 'BeeGFS or Lustre',
  198183888: 'Lustre',
  12805120: 'Ceph',
  1702057286: 'FUSE',
};

/** The folder that kernels work in. */
export const WORKSPACE: Check = {
  name: 'workspace',
  applies: isFolderHere,
  async look({ workspace, join, engine }) {
    const folder = await stat(workspace).catch(() => undefined);
    if (folder === undefined)
      return [problem(`${workspace} does not exist`, 'Create or mount it, or name another.')];
    if (!folder.isDirectory()) return [problem(`${workspace} is no folder`, 'Name a folder.')];
    const mayWrite = await access(workspace, constants.W_OK).then(
      () => true,
      () => false,
    );
    // In containers it is another user who works there: the image's check tells.
    if (!mayWrite && engine === undefined)
      return [problem(`${workspace} cannot be written by this user`, 'Change its owner or mode.')];
    const { type } = await statfs(workspace);
    const shared = SHARED[type];
    if (shared !== undefined) return [ok(`${workspace} is on ${shared}`)];
    if (join === '') return [ok(`${workspace} is on a disk of this machine`)];
    return [
      warning(
        `${workspace} is on a disk of this machine, which other hosts do not see`,
        'Mount one folder at the same path on all hosts (NFS, or a volume).',
      ),
    ];
  },
};
