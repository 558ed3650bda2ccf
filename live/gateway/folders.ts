import { stat } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';

/** Where a kernel starts, and what its user is told when that is not the notebook's folder. */
export interface KernelFolder {
  cwd: string;
  /** '' when it is the notebook's folder, or the client named none */
  notice: string;
}

/**
 * The notebook's folder: KERNEL_WORKING_DIR where the client sends it (a Jupyter server in gateway
 * mode does), else the folder of the session's path below the workspace. One that is not on this
 * machine is looked for in the workspace, as the part of its path behind the workspace's own name;
 * when it is not there either, the kernel starts in the workspace and its user is told.
 */
export async function kernelFolder(
  wished: string,
  path: string,
  workspace: string,
): Promise<KernelFolder> {
  const folder = wished === '' ? folderOfPath(path, workspace) : resolve(workspace, wished);
  for (const place of [folder, ...behindName(folder, workspace)])
    if (await isFolder(place)) return { cwd: place, notice: '' };
  return {
    cwd: workspace,
    notice:
      `NotebookOS: the notebook's folder ${folder} is not on the kernels' machine. ` +
      `This kernel works in ${workspace}: files beside the notebook are not found by their ` +
      'names alone. Start `nbos up` in the folder of your notebooks, or name it with ' +
      '--workspace.\n',
  };
}

/** A path that would lead out of the workspace says nothing of a folder. */
function folderOfPath(path: string, workspace: string): string {
  const folder = join(workspace, dirname(path));
  return folder.startsWith(workspace + sep) ? folder : workspace;
}

/** /home/ann/work/a for the workspace /data/work is /data/work/a; the last such name counts. */
function behindName(folder: string, workspace: string): string[] {
  const names = folder.split(sep);
  const at = names.lastIndexOf(basename(workspace));
  return at < 1 ? [] : [join(workspace, ...names.slice(at + 1))];
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() === true;
}
