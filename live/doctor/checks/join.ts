import { connect } from 'node:net';
import { Dealer } from 'zeromq';
import { type HostKeys, readHostKeys } from '../../wire/host-keys.ts';
import { type Check, ok, problem, type Told } from '../finding.ts';

const REACH_MS = 5_000;

/** The file with which this host joins. */
export const KEYS: Check = {
  name: 'keys',
  applies: ({ keys }) => keys !== '',
  async look({ keys: file }) {
    const { host, hosts } = await readHostKeys(file);
    const whose = host === '' ? 'any host' : `host ${host}`;
    return [ok(`${file}: keys of ${whose}, which know ${Object.keys(hosts).length} other hosts`)];
  },
};

/** That the gateway can be reached, and lets this host's key in. */
export const JOIN: Check = {
  name: 'join',
  after: 'keys',
  applies: ({ join }) => join !== '',
  async look({ join, keys }) {
    const url = /^tcp:\/\/[^/]+:\d+$/.test(join) ? new URL(join) : undefined;
    if (url === undefined)
      return [problem(`--join ${join}`, 'Write tcp://HOST:PORT, as nbos gateway prints it.')];
    const failed = await unreached(url.hostname.replace(/^\[|\]$/g, ''), Number(url.port));
    if (failed !== '')
      return [
        problem(
          `${join} cannot be reached: ${failed}`,
          'See that nbos gateway runs there, and that no firewall is between.',
        ),
      ];
    if (keys === '') return [ok(`${join} can be reached`)];
    return [await admittedTold(join, await readHostKeys(keys))];
  },
};

/** '' when something listens there, else why not. */
function unreached(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: REACH_MS });
    const end = (reason: string): void => {
      socket.destroy();
      resolve(reason);
    };
    socket.once('connect', () => end(''));
    socket.once('timeout', () => end(`no answer within ${REACH_MS / 1000} s`));
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
  });
}

/** The handshake of a link, without a word after it: an agent that is joined is not disturbed. */
async function admittedTold(endpoint: string, { pair, gateway }: HostKeys): Promise<Told> {
  const socket = new Dealer({
    ...{ linger: 0, curveServerKey: gateway },
    ...{ curvePublicKey: pair.publicKey, curveSecretKey: pair.secretKey },
  });
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<Told>((resolve) => {
      const refused = `${endpoint} does not let this host in`;
      socket.events.on('handshake', () => resolve(ok(`${endpoint} lets this host in`)));
      socket.events.on('handshake:error:auth', () =>
        resolve(problem(refused, 'Make keys for it there: nbos keys; one removed is shut out.')),
      );
      const wrong = 'The keys are of another gateway: copy them anew from nbos keys.';
      socket.events.on('handshake:error:protocol', () => resolve(problem(refused, wrong)));
      timer = setTimeout(() => resolve(problem(`${refused}: no answer`, wrong)), REACH_MS);
      socket.connect(endpoint);
    });
  } finally {
    clearTimeout(timer);
    socket.close();
  }
}
