import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import type { Logger } from 'pino';
import { z } from 'zod';
import { NbosError } from '../../core/errors.ts';
import { type Arguments, numberOf, textOf } from '../../traces/command-line.ts';
import { KERNEL_ARGV } from '../agent/container/names.ts';
import { takePrecedence } from '../agent/container/precedence.ts';
import { ownerOf } from '../agent/container/workspace-mount.ts';
import type { GpuAccess } from '../agent/gpu/access.ts';
import type { InstalledSpecs } from '../agent/kernel/kernelspecs.ts';
import type { RuntimeFactory } from '../agent/kernel/runtime.ts';
import { DOCKER_FLAGS, type DockerSettings, STANDARD_DOCKER } from './docker-flags.ts';
import { workspaceFolder } from './workspace-folder.ts';

export const DOCKER_SHAPE = z.object({
  engine: z.string(),
  image: z.string().min(1),
  network: z.string().min(1),
  user: z.string(),
  cpus: z.number().min(0),
  memoryMb: z.int().min(0),
  pids: z.int().min(0),
  shmMb: z.int().min(0),
  mount: z.string(),
});

const OPTIONS = Object.keys(DOCKER_FLAGS).filter((name) => name !== 'docker');
const ENGINE = /^(unix:\/\/\/.+|tcp:\/\/[^/]+:\d+\/?)$/;
const USER = /^\d+:\d+$/;
const MOUNT = /^(nfs:[^:/]+:\/.*|volume:[A-Za-z0-9][\w.-]*)$/;

/**
 * What a command line says of containers, over what was said before; undefined: kernels are
 * processes.
 * @throws NbosError usage
 */
export function describedDocker(
  given: Arguments,
  before: DockerSettings | undefined,
): DockerSettings | undefined {
  const engine = textOf(given, 'docker');
  if (engine === 'none' || (engine === undefined && before === undefined)) {
    const idle = OPTIONS.find((name) => given[name] !== undefined);
    if (idle === undefined) return undefined;
    throw new NbosError(
      'usage',
      `--${idle} is about containers, and kernels are processes here`,
      'Add --docker.',
    );
  }
  const known = before ?? STANDARD_DOCKER;
  return {
    engine: fitting('docker', engine ?? known.engine, ENGINE, 'unix:///PATH or tcp://HOST:PORT'),
    image: textOf(given, 'image') ?? known.image,
    network: textOf(given, 'network') ?? known.network,
    user: fitting('container-user', textOf(given, 'container-user') ?? known.user, USER, 'UID:GID'),
    cpus: numberOf(given, 'cpus') ?? known.cpus,
    memoryMb: numberOf(given, 'memory-mb') ?? known.memoryMb,
    pids: numberOf(given, 'pids') ?? known.pids,
    shmMb: numberOf(given, 'shm-mb') ?? known.shmMb,
    mount: fitting(
      'workspace-mount',
      textOf(given, 'workspace-mount') ?? known.mount,
      MOUNT,
      'nfs:HOST:/PATH or volume:NAME',
    ),
  };
}

function fitting(option: string, text: string, shape: RegExp, expected: string): string {
  if (text === '' || shape.test(text)) return text;
  throw new NbosError('usage', `--${option}: expected ${expected}, found "${text}"`);
}

/** The one kernelspec where kernels' Python is not this machine's: the image's, or other hosts'. */
export function plainSpecs(data: string): InstalledSpecs {
  const spec = {
    argv: [...KERNEL_ARGV],
    env: {},
    display_name: 'Python 3 (ipykernel)',
    language: 'python',
    interrupt_mode: 'message',
    metadata: { debugger: true },
  };
  // It has no logos: no folder of this machine is its own.
  const python3 = { name: 'python3', spec, folder: join(data, 'gateway', 'kernelspecs') };
  return { default: 'python3', specs: { python3 }, problems: [] };
}

/**
 * Tells once that kernels could not write beside their notebooks.
 * @throws NbosError usage, file-not-found
 */
export function checkWorkspace(docker: DockerSettings, workspace: string, log: Logger): void {
  if (docker.mount !== '') return;
  const { uid, gid } = ownerOf(docker.user);
  // The engine would make it, as root's.
  const stat = workspaceFolder(workspace);
  const may = stat.uid === uid ? 0o200 : stat.gid === gid ? 0o020 : 0o002;
  if ((stat.mode & may) !== 0) return;
  // An error, because only those are shown where the command was started.
  log.error(
    `kernels run as ${uid}:${gid} and cannot write in ${workspace}: chown it, or name a folder of ` +
      'theirs with --workspace, or its owner with --container-user',
  );
}

export interface ContainersOf {
  docker: DockerSettings;
  workspace: string;
  /** id of the host */
  host: string;
  /** public key of the gateway: tells one system's containers from another's */
  gateway: string;
  gpus: GpuAccess | undefined;
  /** the host's folder of logs and blobs */
  folder: string;
  log: Logger;
}

/** Has a host's kernels run in containers. @throws NbosError as containerFactory */
export async function containersOf(place: ContainersOf): Promise<RuntimeFactory> {
  const { docker, workspace, host, gateway, gpus, folder, log } = place;
  const { engine, image, network, user, mount, cpus, memoryMb, pids, shmMb } = docker;
  // Only who has containers pays for what speaks to an engine.
  const { containerFactory } = await import('../agent/container/containers.ts');
  takePrecedence();
  return containerFactory({
    ...{ engine, image, workspace, host, user, network, gpus, log },
    data: folder,
    hidden: [dirname(dirname(folder))],
    system: createHash('sha256').update(gateway).digest('hex').slice(0, 12),
    limits: { cpus, memoryMb, pids, shmMb },
    quotaBytes: 0,
    workspaceMount: mount,
    note: (text) => void process.stderr.write(`${text}\n`),
  });
}
