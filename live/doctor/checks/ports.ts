import { createServer } from 'node:net';
import { type Check, ok, problem, type Told } from '../finding.ts';

/** That the ports of --port are free here. */
export const PORTS: Check = {
  name: 'ports',
  applies: ({ ports }) => ports.length > 0,
  async look({ ports }) {
    const told: Told[] = [];
    for (const port of ports) told.push(await freeTold(port));
    return told;
  },
};

function freeTold(port: number): Promise<Told> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', ({ code, message }: NodeJS.ErrnoException) => {
      if (code === 'EADDRINUSE')
        resolve(
          problem(
            `port ${port} is taken by another program`,
            `See which: ss -ltnp 'sport = :${port}'; end it or choose another port.`,
          ),
        );
      else if (code === 'EACCES')
        resolve(problem(`port ${port} may not be used by this user`, 'Choose one above 1023.'));
      else resolve(problem(`port ${port}: ${message}`, ''));
    });
    server.listen(port, () => server.close(() => resolve(ok(`port ${port} is free`))));
  });
}
