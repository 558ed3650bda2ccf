import { createHash } from 'node:crypto';
import { sep } from 'node:path';
import { NbosError } from '../../../core/errors.ts';
import { bindOf, type ContainerRequest } from './container-request.ts';
import type { ContainerHost } from './containers.ts';
import type { Owner } from './state-share.ts';

type Mounts = ContainerRequest['mounts'];

/** Who root's containers run as: the first user of most systems and images. */
const FIRST_USER: Owner = { uid: 1000, gid: 1000 };

/** How the workspace gets into a container. Throws `usage`. */
export function workspaceMountOf(
  host: Pick<ContainerHost, 'workspace' | 'workspaceMount' | 'system'>,
): Mounts {
  const { workspace, workspaceMount, system } = host;
  if (workspace === '') return [];
  if (workspaceMount === '') return [bindOf(workspace)];
  const volume = /^volume:([\w][\w.-]*)$/.exec(workspaceMount)?.[1];
  if (volume !== undefined) return [volumeOf(volume, workspace)];
  const nfs = /^nfs:([^:/\s,]+):(\/[^\s,]*)$/.exec(workspaceMount);
  if (nfs === null)
    throw new NbosError(
      'usage',
      `workspace ${workspaceMount}: expected a folder, nfs:HOST:/PATH or volume:NAME`,
      'Name one with --workspace; it must be the same on all hosts.',
    );
  const [, server, path] = nfs;
  const digest = createHash('sha256').update(workspaceMount).digest('hex').slice(0, 12);
  const options = { type: 'nfs', o: `addr=${server},rw`, device: `:${path}` };
  const name = `nbos-${system}-${digest}`;
  return [volumeOf(name, workspace, { Name: 'local', Options: options })];
}

/** An engine would give an empty volume to the owner of what the image has at its place: root. */
function volumeOf(name: string, target: string, driver?: object): Mounts[number] {
  const options = { NoCopy: true, Labels: {}, ...(driver && { DriverConfig: driver }) };
  return { Type: 'volume', Source: name, Target: target, VolumeOptions: options } as Mounts[number];
}

/** What hides folders of this machine that lie in the workspace: its keys are no kernel's business. */
export function coversOf({ workspace, workspaceMount, hidden = [] }: ContainerHost): Mounts {
  if (workspace === '' || workspaceMount !== '') return [];
  const inside = hidden.filter((folder) => folder.startsWith(`${workspace}${sep}`));
  return inside.map((Target) => ({
    ...{ Type: 'tmpfs', Source: '', Target },
    // The folders through which state goes lie below, and are reached through it.
    TmpfsOptions: { SizeBytes: 65_536, Mode: 0o711 },
  }));
}

/** The user that kernels run as. Throws `usage` for what is none, root, or cannot be from here. */
export function ownerOf(user: string): Owner {
  const own = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  if (user === '') return own.uid === 0 ? FIRST_USER : own;
  const parts = /^(\d{1,9}):(\d{1,9})$/.exec(user);
  const asked = { uid: Number(parts?.[1]), gid: Number(parts?.[2]) };
  if (parts === null || asked.uid === 0)
    throw new NbosError(
      'usage',
      `user of containers ${user}: expected UID:GID of a user that is not root`,
      'Leave --container-user out, or name one as in 1000:1000.',
    );
  if (own.uid !== 0 && asked.uid !== own.uid)
    throw new NbosError(
      'usage',
      `user of containers ${user}: only an agent of root can give files to another user`,
      `Leave --container-user out: kernels run as ${own.uid}:${own.gid} then.`,
    );
  return asked;
}
