import { pathSecret } from '../gateway/users.ts';

export interface Connectable {
  url: string;
  token: string;
  hosts: readonly { gpus: number }[];
  policy: string;
  replicas: number;
  data: string;
  /** where hosts of other machines join; '' or left out: nowhere */
  joins?: string;
}

/** The exact commands by which clients connect. */
export function connectText(system: Connectable): string {
  const { url, token, hosts, policy, replicas, data, joins = '' } = system;
  const gpus = Math.max(0, ...hosts.map((host) => host.gpus));
  const secret = `${url}/t/${pathSecret(token)}`;
  const there = `${counted(hosts.length, 'host')} with ${counted(gpus, 'GPU')} each`;
  const joining = `hosts join by nbos agent --join ${joins} --keys ID.keys`;
  return [
    `${joins === '' ? there : joining}; policy ${policy}, ` +
      `${counted(replicas, 'replica')} a kernel; data in ${data}`,
    '',
    'JupyterLab or Notebook on this machine:',
    `  JUPYTER_GATEWAY_AUTH_TOKEN=${token} jupyter lab --gateway-url=${url}`,
    'Clients that can send no token (nbclient through a gateway, older servers):',
    `  jupyter lab --gateway-url=${secret}`,
    'VS Code ("Existing Jupyter Server"), JupyterLab Desktop:',
    `  ${url}/?token=${token}`,
    'papermill, nbclient, jupyter console: once, then use the kernel "nbos":',
    '  npx nbos kernelspec install',
    '',
    'npx nbos status shows what runs. Ctrl-C ends it.',
  ].join('\n');
}

/** "1 host", "2 hosts". */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
