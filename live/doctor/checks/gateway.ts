import { AdminClient } from '../../commands/admin-client.ts';
import { type Check, ok, problem, warning } from '../finding.ts';

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
