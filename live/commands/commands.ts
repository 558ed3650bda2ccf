import {
  type Arguments,
  addCommand,
  addGroup,
  amount,
  count,
  duration,
  flag,
  type OptionTable,
  type Program,
  tcpPort,
  word,
} from '../../traces/command-line.ts';
import { TRACE_FLAGS, WINDOW_FLAGS } from '../../traces/trace-flags.ts';
import type { WriteRun } from '../replay/conclude.ts';
import { DOCKER_FLAGS } from './docker-flags.ts';
import { DOCTOR_FLAGS } from './doctor-flags.ts';
import { COMMAND_FLAG, MIN_HOSTS_FLAG } from './elastic-flags.ts';
import { JOIN_FLAGS } from './join-flags.ts';
import type { LoadPolicy } from './system-options.ts';

/** What the live commands take from the folders above them. */
export interface LiveParts {
  /** makes reports of a recorded journal */
  writeRun: WriteRun;
  loadPolicy: LoadPolicy;
}

type Inspecting = 'showStatus' | 'showHosts' | 'showKernels' | 'showLogs' | 'saveOutput';
type Changing =
  | 'migrateReplica'
  | 'recoverKernel'
  | 'causeFault'
  | 'addToken'
  | 'listTokens'
  | 'removeToken'
  | 'openShell';

/** The actions load much; only the one that is wanted pays for it. */
function inspect(action: Inspecting): (given: Arguments) => Promise<void> {
  return async (given) => (await import('./inspect-actions.ts'))[action](given);
}

function change(action: Changing): (given: Arguments) => Promise<void> {
  return async (given) => (await import('./change-actions.ts'))[action](given);
}

const KERNEL: OptionTable = {
  kernel: {
    type: 'string',
    describe: 'id of the kernel or its beginning, or the path of its notebook',
    demandOption: true,
  },
};

const DATA = word('data directory (default ~/.local/share/nbos)');

/** What a gateway can be told, alone or in `nbos up`. */
const GATEWAY_FLAGS: OptionTable = {
  port: tcpPort(0, 'TCP port of the Jupyter API (default: that of before, else a free one)'),
  host: word('address to listen on (default 127.0.0.1)'),
  data: DATA,
  policy: word('name of a policy (default notebookos), or the path of a .ts or .js file'),
  replicas: count('replicas', 1, 'replicas of a kernel: 1, 3 or 5 (default 3, on fewer hosts 1)'),
  ...MIN_HOSTS_FLAG,
  config: word('JSON file of options'),
  set: { type: 'array', string: true, requiresArg: true, describe: 'options as key=value …' },
  'enable-faults': flag('let an administrator cause faults (nbos fault)'),
  'tls-cert': word('PEM file of a certificate; needed beyond loopback'),
  'tls-key': word('PEM file of its key'),
  'behind-proxy': flag('allow an address beyond loopback without TLS: a proxy has it'),
};

const HOST_FLAGS: OptionTable = {
  'gpus-per-host': count('gpus-per-host', 0, 'pretend GPUs of a host (default 2)'),
  'gpu-device': {
    type: 'array',
    string: true,
    requiresArg: true,
    describe:
      "devices for hosts' GPUs: /dev/PATH (pretend ones), uuids of NVIDIA's, or nvidia: all",
  },
  python: word('Python that kernels run in (default: the one with ipykernel that is found first)'),
  'kernel-spec': word('kernelspec to use when a client names none'),
  workspace: word('folder that all kernels work in (default: the current one)'),
  store: word('where state outlives its hosts: file:DIR, s3://, redis://, webhdfs:// or none'),
};

/**
 * `nbos up | gateway | agent | keys | doctor | status | hosts | kernels | migrate | recover |
 * fault | token | kernelspec | image | logs | output | shell | replay`.
 */
export function addLiveCommands(program: Program, { writeRun, loadPolicy }: LiveParts): void {
  addServing(program, loadPolicy);
  addInspecting(program);
  addChanging(program);
  addKernelspecGroup(program);
  addImageGroup(program);
  addCommand(
    program,
    'doctor',
    'look whether this machine can be a host, or at what ended a kernel',
    { data: DATA, ...DOCTOR_FLAGS, ...DOCKER_FLAGS },
    async (given) => (await import('./doctor-actions.ts')).examineHost(given),
  );
  addReplay(program, writeRun);
}

function addServing(program: Program, load: LoadPolicy): void {
  addCommand(
    program,
    'up',
    'a gateway and hosts on this machine, kernels as plain processes or in containers',
    {
      hosts: count('hosts', 1, 'number of hosts (default 4, or as before)'),
      ...GATEWAY_FLAGS,
      ...HOST_FLAGS,
      ...DOCKER_FLAGS,
      split: flag('gateway and each host as a process of its own'),
    },
    async (given) => (await import('./up-actions.ts')).serveAll(given, load),
  );
  addCommand(
    program,
    'gateway',
    'a gateway alone; on a data directory in use before it takes up where that one left',
    {
      ...GATEWAY_FLAGS,
      ...HOST_FLAGS,
      ...DOCKER_FLAGS,
      hosts: count('hosts', 1, 'number of hosts; with --listen the most that may join (16)'),
      ...COMMAND_FLAG,
      listen: word('ADDRESS:PORT on which hosts of other machines join, with keys of nbos keys'),
      keys: word('gateway.keys of nbos keys, where those were made in another data directory'),
    },
    async (given) => (await import('./serve-actions.ts')).serveGateway(given, load),
  );
  addCommand(
    program,
    'agent',
    'one host alone, for the gateway of the same data directory or, with --join, elsewhere',
    {
      host: word('id of the host, such as h1 (with --join: that of its keys)'),
      data: DATA,
      ...JOIN_FLAGS,
      'gpus-per-host': HOST_FLAGS['gpus-per-host']!,
      'gpu-device': HOST_FLAGS['gpu-device']!,
      python: HOST_FLAGS['python']!,
      workspace: HOST_FLAGS['workspace']!,
      store: HOST_FLAGS['store']!,
      ...DOCKER_FLAGS,
    },
    async (given) => (await import('./serve-actions.ts')).serveAgent(given),
  );
  addCommand(
    program,
    'keys',
    "on the gateway's machine: the keys with which hosts of other machines join",
    {
      data: DATA,
      hosts: word('ids of hosts, joined by commas (without: the shared keys agents.keys only)'),
      out: word('folder for the files ID.keys (default DATA/keys/hosts)'),
      renew: flag('new keys for these hosts; their old ones are shut out'),
    },
    async (given) => (await import('./keys-actions.ts')).makeKeys(given),
  );
}

function addInspecting(program: Program): void {
  addCommand(
    program,
    'status',
    'hosts, kernels, replicas, executors, GPUs, log positions, what is not replicated',
    { watch: flag('again each second, until Ctrl-C') },
    inspect('showStatus'),
  );
  addCommand(
    program,
    'hosts [change] [host]',
    'hosts and their GPUs; drain HOST takes one out of service, enable HOST back into it',
    {},
    inspect('showHosts'),
    {
      change: { type: 'string', choices: ['drain', 'enable'], describe: 'what to do with a host' },
      host: { type: 'string', describe: 'id of the host' },
    },
  );
  addCommand(
    program,
    'kernels',
    'kernels, where they are and what they do',
    {},
    inspect('showKernels'),
  );
  addCommand(
    program,
    'logs <kernel>',
    'output of the cell that runs, or ran last',
    {
      cells: count('cells', 1, 'of so many cells', { default: '1' }),
      follow: flag('go on until the cell ends'),
    },
    inspect('showLogs'),
    KERNEL,
  );
  addCommand(
    program,
    'output <kernel>',
    'write the outputs that a kernel still knows into a notebook file',
    { into: word('the .ipynb file; cells are found by id or source', { demandOption: true }) },
    inspect('saveOutput'),
    KERNEL,
  );
}

function addChanging(program: Program): void {
  addCommand(
    program,
    'migrate <kernel>',
    'move a replica to another host',
    { replica: word('which one (default: as the policy chooses)'), to: word('id of the host') },
    change('migrateReplica'),
    KERNEL,
  );
  addCommand(
    program,
    'recover <kernel>',
    'go on from one replica, or the store, when most are lost for good; what only they knew is lost',
    {
      from: word('id of the replica, or `store`: with what was saved of it', {
        demandOption: true,
      }),
    },
    change('recoverKernel'),
    KERNEL,
  );
  addFaultGroup(program);
  addGroup(program, 'token', 'tokens by which users are known', (group) => {
    const name: OptionTable = {
      name: { type: 'string', describe: 'name of the user', demandOption: true },
    };
    const admin = { admin: flag('may see and change what belongs to others') };
    addCommand(group, 'add <name>', 'make a token and print it', admin, change('addToken'), name);
    addCommand(group, 'list', 'whose tokens there are', {}, change('listTokens'));
    return addCommand(group, 'remove <name>', 'take a token back', {}, change('removeToken'), name);
  });
  addCommand(
    program,
    'shell <kernel>',
    'a shell beside the executor: its folder, its environment',
    {},
    change('openShell'),
    KERNEL,
  );
}

function addFaultGroup(program: Program): void {
  const lasting = duration('for', 'how long, such as 5s', { default: '10s' });
  const host: OptionTable = {
    host: { type: 'string', describe: 'id of the host', demandOption: true },
  };
  addGroup(program, 'fault', 'cause a fault (needs --enable-faults)', (group) => {
    const fault = (
      name: string,
      summary: string,
      options: OptionTable,
      positionals: OptionTable,
    ): Program => addCommand(group, name, summary, options, change('causeFault'), positionals);
    fault('fail-next <kernel>', 'its process ends as its next cell begins', {}, KERNEL);
    fault(
      'yield-next <kernel>',
      'its replicas refuse the next cell',
      { times: count('times', 1, 'how many times', { default: '1' }) },
      KERNEL,
    );
    fault(
      'kill-replica <kernel>',
      "kill a replica's process",
      { replica: word('which one (default: the executor)') },
      KERNEL,
    );
    fault('disconnect-host <host>', 'cut a host off', { for: lasting }, host);
    fault(
      'slow-host <host>',
      'delay all that a host says',
      { delay: duration('delay', 'by how much', { default: '200ms' }), for: lasting },
      host,
    );
    fault('disk-full <host>', "a host's disk takes nothing more", { for: lasting }, host);
    return fault(
      'move-every-cell <state>',
      'a new executor before each cell',
      {},
      { state: { type: 'string', choices: ['on', 'off'], describe: 'on or off' } },
    );
  });
}

function addKernelspecGroup(program: Program): void {
  const run =
    (action: 'installKernelspec' | 'uninstallKernelspec') =>
    async (given: Arguments): Promise<void> =>
      (await import('./kernelspec-actions.ts'))[action](given);
  const name = word('name of the kernelspec', { default: 'nbos' });
  addGroup(program, 'kernelspec', 'NotebookOS as a kernel for plain ZMQ clients', (group) => {
    addCommand(
      group,
      'install',
      'add the kernelspec (nbclient, papermill, jupyter console)',
      {
        name,
        spec: word("kernelspec of the gateway that it starts (default: the gateway's own)"),
        prefix: word('install below PREFIX/share/jupyter (default: of this user)'),
      },
      run('installKernelspec'),
    );
    addCommand(
      group,
      'uninstall',
      'remove it again',
      { name, prefix: word('where it was installed') },
      run('uninstallKernelspec'),
    );
    return addCommand(
      group,
      // What clients add for ipykernel (nbclient: --HistoryManager…) comes after a --.
      'run <file> [ignored..]',
      'the program that the kernelspec starts',
      { spec: word('kernelspec of the gateway') },
      async (given) => (await import('./kernelspec-actions.ts')).runRelay(given),
      { file: { type: 'string', describe: 'connection file', demandOption: true } },
    );
  });
}

function addImageGroup(program: Program): void {
  addGroup(program, 'image', 'the image that kernels in containers run in', (group) =>
    addCommand(
      group,
      'build',
      'build it, unless the engine has it already',
      {
        engine: word('unix:///PATH or tcp://HOST:PORT (default: $DOCKER_HOST, else the usual one)'),
        tag: word('name of the image (default notebookos/kernel:1)'),
        base: word('image of Debian to begin from (default debian:bookworm-slim)'),
        bootstrap: flag('make the base by debootstrap, where no registry can be reached (root)'),
      },
      async (given) => (await import('./image-actions.ts')).buildKernelImage(given),
    ),
  );
}

function addReplay(program: Program, writeRun: WriteRun): void {
  addCommand(
    program,
    'replay',
    'drive a running system with a trace, as its users would',
    {
      trace: word('file or folder of the trace', { demandOption: true }),
      gateway: word('URL of the gateway (default: as for every command)'),
      speed: amount('speed', 0.001, 'how many times faster than the trace', { default: '60' }),
      sessions: count('sessions', 1, 'play only the first so many sessions'),
      limit: duration('limit', 'stop after so much real time'),
      out: word('folder that becomes the run folder', { demandOption: true }),
      replace: flag('take the place of a finished run in that folder'),
      ...WINDOW_FLAGS,
      ...TRACE_FLAGS,
    },
    async (given) => (await import('../replay/replay-actions.ts')).replayTrace(given, writeRun),
  );
}
