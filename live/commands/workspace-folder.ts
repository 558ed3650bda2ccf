import { type Stats, statSync } from 'node:fs';
import { NbosError } from '../../core/errors.ts';

/** The folder of --workspace on this machine. @throws NbosError file-not-found */
export function workspaceFolder(workspace: string): Stats {
  const stat = statSync(workspace, { throwIfNoEntry: false });
  if (stat?.isDirectory()) return stat;
  throw new NbosError(
    'file-not-found',
    `--workspace ${workspace}: there is no such folder`,
    'Make it, or name the folder that kernels shall work in.',
  );
}
