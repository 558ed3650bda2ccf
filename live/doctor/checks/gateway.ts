import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { unwritable } from '../../../traces/output-file.ts';
import type { HostSight } from '../../admin-types.ts';
import { AdminClient } from '../../commands/admin-client.ts';
import { type Check, ok, problem, type Told, warning } from '../finding.ts';
import { isFolderHere } from '../subject.ts';

/** The gateway and the hosts that it knows. */
export const GATEWAY: Check = {
  name: 'gateway',
  applies: ({ gateway }) => gateway !== undefined,
  async look({ gateway }) {
    const { hosts, gateway: about } = await new AdminClient(gateway!).status();
    const found = `${about.url}, version ${about.version}, policy ${about.policy}`;
    const up = hosts.filter((host) => host.up);
    const down = hosts.filter((host) => !host.up).map(({ id }) => id);
    if (up.length === 0)
      return [problem(`${found}: no host is up`, 'Start agents: nbos agent --join … on each.')];
    if (down.length === 0) return [ok(`${found}: ${hosts.length} hosts are up`)];
    return [
      warning(
        `${found}: ${up.length} of ${hosts.length} hosts are up; not ${down.join(', ')}`,
        'Run nbos doctor on those, and see that their agents run.',
      ),
    ];
  },
};

/** That all hosts of the gateway see what is put into the workspace here. */
export const SAME_WORKSPACE: Check = {
  name: 'same files',
  after: 'gateway',
  applies: (subject) => subject.gateway !== undefined && isFolderHere(subject),
  async look({ gateway, workspace }) {
    const mark = `.nbos-doctor-${randomBytes(6).toString('hex')}`;
    const file = join(workspace, mark);
    try {
      await writeFile(file, '', { flag: 'wx' });
    } catch (error) {
      throw unwritable(file, error);
    }
    try {
      const sights = await new AdminClient(gateway!).workspaceSights(mark);
      return sightsTold(workspace, sights);
    } finally {
      await rm(file, { force: true });
    }
  },
};

/** What the hosts see of a workspace. */
export function sightsTold(workspace: string, sights: readonly HostSight[]): Told[] {
  const [yes, no, unknown] = (['yes', 'no', 'unknown'] as const).map((wanted) =>
    sights.filter(({ sees }) => sees === wanted).map(({ host }) => host),
  );
  const told: Told[] = [];
  if (yes!.length > 0) told.push(ok(`${yes!.join(', ')} see the files of ${workspace}`));
  if (no!.length > 0)
    told.push(
      problem(
        `${no!.join(', ')} do not see the files of ${workspace}`,
        'Mount one folder at the same path on all hosts (NFS, or a volume).',
      ),
    );
  if (unknown!.length > 0)
    told.push(
      warning(
        `${unknown!.join(', ')} cannot tell: no such folder there, as with a volume of the engine`,
        'Run nbos doctor there, with the options of the agent.',
      ),
    );
  return told;
}
