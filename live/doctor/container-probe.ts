import { randomBytes } from 'node:crypto';
import { access, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type Docker from 'dockerode';
import { lastLines, textOf } from '../agent/container/container-exit.ts';
import { creationOf } from '../agent/container/container-request.ts';
import type { Engine } from '../agent/container/engine.ts';
import { own } from '../agent/container/state-share.ts';
import { ownerOf, workspaceMountOf } from '../agent/container/workspace-mount.ts';
import type { DockerSettings } from '../commands/docker-flags.ts';
import { PROBE, SOCKET } from './python-probe.ts';

const RUN_MS = 40_000;

/** How a throw-away container ended and what it printed. */
export interface ProbeRun {
  code: number;
  outOfMemory: boolean;
  /** its last line is what the probe found */
  output: string;
  words: string;
  /** whether the socket that it made is seen on this machine */
  socketSeen: boolean;
}

export interface ProbeOf {
  engine: Engine;
  docker: DockerSettings;
  workspace: string;
  /** whether the engine has seccomp */
  seccomp: boolean;
}

/**
 * Runs the probe in a container that is made as a kernel's is, and removes it, whatever happens.
 * @throws NbosError engine-absent, engine-denied, engine-failed, image-missing, usage
 */
export async function runProbe(of: ProbeOf): Promise<ProbeRun> {
  const { engine, docker } = of;
  const owner = ownerOf(docker.user);
  const directory = await mkdtemp(join(tmpdir(), 'nbos-doctor-'));
  const name = `nbos-doctor-${randomBytes(6).toString('hex')}`;
  try {
    await own(directory, owner);
    const creation = probeCreation(of, `${owner.uid}:${owner.gid}`, { name, directory });
    const create = (at: Docker): Promise<unknown> => at.createContainer(creation);
    await engine.ask('a container to look into', create, { image: docker.image });
    const ended = await ranIn(engine, name);
    const socketSeen = await access(join(directory, SOCKET)).then(
      () => true,
      () => false,
    );
    return { ...ended, socketSeen };
  } finally {
    // By its name: an answer that came too late may have made it all the same.
    const remove = (at: Docker): Promise<unknown> =>
      at.getContainer(name).remove({ force: true, v: true });
    await engine.ask('removing it', remove).catch(() => undefined);
    await rm(directory, { recursive: true, force: true });
  }
}

async function ranIn(engine: Engine, name: string): Promise<Omit<ProbeRun, 'socketSeen'>> {
  const container = engine.docker.getContainer(name);
  let refused = '';
  await engine
    .ask('its start', () => container.start())
    .catch((error: Error) => {
      // A program that cannot be run is told by the code and this message.
      refused = error.message;
    });
  if (refused === '') await engine.ask('its end', () => engine.exitCode(name), { ms: RUN_MS });
  const { State: state } = await engine.ask('its state', () => container.inspect());
  const log = await engine.ask('its log', () => container.logs({ stdout: true }));
  return {
    code: refused !== '' && state.ExitCode === 0 ? 125 : state.ExitCode,
    outOfMemory: state.OOMKilled,
    output: textOf(log),
    words: (await engine.ask('its log', () => lastLines(container))) || state.Error || refused,
  };
}

function probeCreation(
  { docker, workspace, seccomp }: ProbeOf,
  user: string,
  { name, directory }: { name: string; directory: string },
): Docker.ContainerCreateOptions {
  const { image, network, cpus, memoryMb, pids, shmMb, mount } = docker;
  const system = 'doctor';
  return creationOf(
    {
      ...{ image, system, host: system, user, network, seccomp },
      limits: { cpus, memoryMb, pids, shmMb },
      gpus: { devices: [], deviceRequests: [], env: {} },
    },
    {
      ...{ name, kind: 'probe', directory, env: {}, cwd: workspace, niced: false },
      argv: ['python3', '-c', PROBE, workspace, directory],
      mounts: workspaceMountOf({ workspace, workspaceMount: mount, system }),
    },
  );
}
