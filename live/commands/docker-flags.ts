import { amount, count, type OptionTable, word } from '../../traces/command-line.ts';
import { DEFAULT_IMAGE } from '../agent/container/names.ts';

/** How hosts run kernels in containers; 0 and '' leave a matter to the engine or the agent. */
export interface DockerSettings {
  /** unix:// or tcp:// address; '' for DOCKER_HOST, else the usual socket */
  engine: string;
  image: string;
  network: string;
  /** uid:gid of kernels; '' for our own, 1000:1000 when we are root */
  user: string;
  cpus: number;
  memoryMb: number;
  pids: number;
  shmMb: number;
  /** how containers get the workspace: '' as a folder of this machine, nfs:HOST:/PATH, volume:NAME */
  mount: string;
}

export const STANDARD_DOCKER: DockerSettings = {
  engine: '',
  image: DEFAULT_IMAGE,
  network: 'none',
  user: '',
  cpus: 0,
  memoryMb: 0,
  pids: 1024,
  shmMb: 256,
  mount: '',
};

export const DOCKER_FLAGS: OptionTable = {
  docker: {
    type: 'string',
    describe:
      'kernels in containers, of this engine when one is named (unix:///PATH, tcp://HOST:PORT); ' +
      'none: as processes again',
  },
  image: word(`image of kernels (default ${DEFAULT_IMAGE}; nbos image build makes it)`),
  network: word('Docker network of kernels (default none: they reach nothing)'),
  'container-user': word('UID:GID of kernels (default: ours, 1000:1000 when we are root)'),
  cpus: amount('cpus', 0, 'CPUs of a kernel (default: no limit)'),
  'memory-mb': count('memory-mb', 0, 'memory of a kernel, MB (default: no limit)'),
  pids: count('pids', 0, `processes and threads of a kernel (default ${STANDARD_DOCKER.pids})`),
  'shm-mb': count('shm-mb', 0, `shared memory of a kernel, MB (default ${STANDARD_DOCKER.shmMb})`),
  'workspace-mount': word(
    'what kernels have as --workspace: nfs:HOST:/PATH or volume:NAME (default: that folder)',
  ),
};
