import type { ContainerCreateOptions, HostConfig } from 'dockerode';
import type { GpuCreation } from '../gpu/access.ts';
import { type ContainerKind, LABELS } from './names.ts';
import { seccompProfile } from './seccomp.ts';

/** What a container may use; 0 for no limit. */
export interface ContainerLimits {
  cpus: number;
  memoryMb: number;
  pids: number;
  shmMb: number;
}

/** What is the same for all containers of a host. */
export interface ContainerSettings {
  image: string;
  system: string;
  host: string;
  /** uid:gid */
  user: string;
  network: string;
  limits: ContainerLimits;
  /** whether the engine has seccomp */
  seccomp: boolean;
  gpus: GpuCreation;
}

export interface ContainerRequest {
  name: string;
  kind: ContainerKind;
  argv: readonly string[];
  env: Readonly<Record<string, string>>;
  cwd: string;
  /** its sockets: the same path inside */
  directory: string;
  mounts: NonNullable<HostConfig['Mounts']>;
  niced: boolean;
}

/** Shares of the processor: of a container that runs cells, and of one that stands by. */
export const SHARES = { normal: 1024, niced: 128 };

/** Where a user without a home has one: memory, gone with the container. */
export const HOME = '/tmp';

const MB = 1024 * 1024;

/** A bind of a host's folder or file to the same path inside. */
export function bindOf(path: string, readOnly = false): ContainerRequest['mounts'][number] {
  return { Type: 'bind', Source: path, Target: path, ReadOnly: readOnly };
}

/**
 * A container that can do no more than its kernel needs: no root, no capability, no way to get one,
 * nothing writable but its own mounts and memory, and nothing of the engine's.
 */
export function creationOf(
  settings: ContainerSettings,
  request: ContainerRequest,
): ContainerCreateOptions {
  const { image, system, host, user, gpus } = settings;
  const { name, kind, argv, env, cwd, directory } = request;
  return {
    name,
    Image: image,
    User: user,
    WorkingDir: cwd,
    // The image's own entry point would start something else first.
    Entrypoint: [argv[0]!],
    Cmd: argv.slice(1),
    Env: Object.entries({ ...env, ...gpus.env }).map(([key, value]) => `${key}=${value}`),
    Healthcheck: { Test: ['NONE'] },
    StopSignal: 'SIGTERM',
    Labels: {
      [LABELS.system]: system,
      [LABELS.host]: host,
      [LABELS.kind]: kind,
      [LABELS.directory]: directory,
    },
    HostConfig: hostConfigOf(settings, request),
  };
}

function hostConfigOf(settings: ContainerSettings, request: ContainerRequest): HostConfig {
  const { network, limits, seccomp, gpus } = settings;
  const { directory, mounts, niced } = request;
  const memory = limits.memoryMb * MB;
  const size = limits.memoryMb > 0 ? `,size=${limits.memoryMb}m` : '';
  return {
    Init: true,
    NetworkMode: network,
    Mounts: [bindOf(directory), ...mounts],
    // What is compiled at run time is loaded from there.
    Tmpfs: { [HOME]: `rw,exec,nosuid,nodev,mode=1777${size}` },
    ReadonlyRootfs: true,
    CapDrop: ['ALL'],
    SecurityOpt: ['no-new-privileges', ...(seccomp ? [`seccomp=${seccompProfile()}`] : [])],
    Privileged: false,
    CpuShares: niced ? SHARES.niced : SHARES.normal,
    NanoCpus: Math.round(limits.cpus * 1e9),
    Memory: memory,
    // The same as its memory: no swap on top of it.
    MemorySwap: memory,
    PidsLimit: limits.pids > 0 ? limits.pids : null,
    ...(limits.shmMb > 0 ? { ShmSize: limits.shmMb * MB } : {}),
    Ulimits: [{ Name: 'core', Soft: 0, Hard: 0 }],
    LogConfig: { Type: 'json-file', Config: { 'max-size': '1m', 'max-file': '1' } },
    RestartPolicy: { Name: 'no' },
    Devices: gpus.devices.map((path) => ({
      PathOnHost: path,
      PathInContainer: path,
      CgroupPermissions: 'rw',
    })),
    DeviceRequests: gpus.deviceRequests as NonNullable<HostConfig['DeviceRequests']>,
  } as HostConfig;
}
