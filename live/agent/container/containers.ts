import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type Docker from 'dockerode';
import { NbosError } from '../../../core/errors.ts';
import type { GpuAccess } from '../gpu/access.ts';
import type { Log } from '../kernel/bare-kernel.ts';
import { userBase } from '../kernel/environment.ts';
import { writeIgnored } from '../kernel/packages.ts';
import type { KernelPlace, Launch, LaunchOptions, ProcessOptions } from '../kernel/place.ts';
import { KernelFactory } from '../kernel/processes.ts';
import { launchInside } from './container-launch.ts';
import { ContainerProcess } from './container-process.ts';
import {
  type ContainerLimits,
  type ContainerRequest,
  type ContainerSettings,
  creationOf,
} from './container-request.ts';
import { type Engine, engineAt, statusOf } from './engine.ts';
import { imageOf } from './image.ts';
import { LABELS } from './names.ts';
import { removed, removeLater } from './removal.ts';
import { type Owner, own, StateShare } from './state-share.ts';
import { coversOf, ownerOf, workspaceMountOf } from './workspace-mount.ts';

/** Where programs lie in images that do not say. */
const USUAL_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Removals that an engine is asked for at the same time. */
const REMOVED_AT_ONCE = 4;
/** An engine that did not answer in time may make a container for so long after that, ms. */
const LATE_MS = 60_000;

export interface ContainerHost {
  /** unix:///PATH or tcp://HOST:PORT; '' for DOCKER_HOST, else the usual socket */
  engine: string;
  image: string;
  /** the directory that all replicas share, '' for none; the same path inside */
  workspace: string;
  /** '' when `workspace` is a folder of this machine; else nfs:HOST:/PATH or volume:NAME */
  workspaceMount: string;
  /** id of this host, a label of its containers */
  host: string;
  /** id of this system, a label of its containers */
  system: string;
  /** uid:gid of kernels; '' for ours, or 1000:1000 when we are root */
  user: string;
  /** none, or a network of the engine */
  network: string;
  limits: ContainerLimits;
  /** most bytes of state of a kernel, 0 for no limit */
  quotaBytes: number;
  gpus: GpuAccess | undefined;
  /**
   * The host's data folder: state goes through it, for it lies where the blobs do. Without one it
   * goes through the folder of the sockets.
   */
  data?: string;
  /** folders that kernels must not see, also where they lie in the workspace */
  hidden?: readonly string[];
  log: Log;
  /** is told what takes long before the host is there */
  note?: (text: string) => void;
}

/**
 * Kernels in containers of one engine. Its image is there then, and folders of the workspace that
 * kernels write to. Rejects `engine-absent`, `engine-denied`, `engine-failed`, `image-missing`,
 * `usage`.
 */
export async function containerFactory(host: ContainerHost): Promise<KernelFactory> {
  const engine = engineAt(host.engine, process.env);
  const info = await engine.ask('its description', (docker) => docker.info());
  const image = await imageOf(engine, host.image, host.log, host.note);
  const owner = ownerOf(host.user);
  const security: readonly string[] = info.SecurityOptions ?? [];
  checkUsers(engine, security);
  const settings: ContainerSettings = {
    ...host,
    user: `${owner.uid}:${owner.gid}`,
    seccomp: security.some((option) => option.includes('seccomp')),
    gpus: host.gpus?.creation(info.ServerVersion) ?? { devices: [], deviceRequests: [], env: {} },
  };
  if (host.workspace !== '' && host.workspaceMount === '') await preparePackages(host, owner);
  const searched =
    image.Config.Env?.find((each) => each.startsWith('PATH='))?.slice(5) || USUAL_PATH;
  const place = new ContainerPlace({ engine, host, settings, owner, searched });
  const { quotaBytes, log } = host;
  return new KernelFactory({ place, quotaBytes, log });
}

/** An engine that gives users other numbers outside keeps kernels from the files that are theirs. */
function checkUsers({ place }: Engine, security: readonly string[]): void {
  if (!security.some((option) => /name=(rootless|userns)/.test(option))) return;
  throw new NbosError(
    'engine-failed',
    `container engine ${place}: it is rootless or remaps users: kernels could not use their sockets`,
    "Use an engine that runs as root without userns-remap; kernels in it don't run as root.",
  );
}

/** Users of containers may not be allowed to make folders in the workspace. */
async function preparePackages({ workspace, log }: ContainerHost, owner: Owner): Promise<void> {
  const base = userBase(workspace);
  try {
    await mkdir(base, { recursive: true });
    await writeIgnored(dirname(base));
    await own(base, owner);
  } catch (error) {
    log.warn({ err: error, workspace }, 'packages that kernels install stay on their host');
  }
}

interface PlaceParts {
  engine: Engine;
  host: ContainerHost;
  settings: ContainerSettings;
  owner: Owner;
  /** PATH of the image */
  searched: string;
}

class ContainerPlace implements KernelPlace {
  readonly pausesPooled = true;
  readonly advice =
    'Use an image whose python3 has ipykernel (`nbos image build` makes one); nbos doctor looks.';
  readonly #parts: PlaceParts;

  constructor(parts: PlaceParts) {
    this.#parts = parts;
  }

  launch(options: LaunchOptions): Promise<Launch> {
    const { workspace, workspaceMount } = this.#parts.host;
    const isHere = workspaceMount === '';
    return launchInside({ workspace, isHere, searched: this.#parts.searched }, options);
  }

  async canPrioritize(): Promise<boolean> {
    return true;
  }

  async start(options: ProcessOptions): Promise<ContainerProcess> {
    const { owner, engine, host } = this.#parts;
    const { directory, niced, onExit } = options;
    await own(join(directory, 'connection.json'), owner);
    await own(directory, owner);
    const id = randomBytes(6).toString('hex');
    const share = await StateShare.make(join(this.#shares(dirname(directory)), id), owner);
    try {
      const started = await this.#startContainer(this.#request(options, id, share));
      const { limits, log } = host;
      const { memoryMb } = limits;
      return new ContainerProcess({
        ...{ ...started, engine, niced, memoryMb, share, onExit, log },
      });
    } catch (error) {
      await share.remove();
      throw error;
    }
  }

  async endLeftovers(root: string): Promise<readonly number[]> {
    const { engine, host } = this.#parts;
    const label = [`${LABELS.system}=${host.system}`, `${LABELS.host}=${host.host}`];
    const left = await engine.ask('list of containers', (docker) =>
      docker.listContainers({ all: true, filters: { label } }),
    );
    const pids: number[] = [];
    for (let at = 0; at < left.length; at += REMOVED_AT_ONCE) {
      const some = left.slice(at, at + REMOVED_AT_ONCE);
      pids.push(...(await Promise.all(some.map(({ Id }) => this.#endLeftover(Id)))));
    }
    // What begins with a dot is no kernel's.
    for (const folder of new Set([root, this.#shares(root)]))
      for (const name of await readdir(folder).catch(() => []))
        if (!name.startsWith('.')) await rm(join(folder, name), { recursive: true, force: true });
    return pids;
  }

  async #endLeftover(id: string): Promise<number> {
    const { engine } = this.#parts;
    const container = engine.docker.getContainer(id);
    const what = 'removal of a container that was left over';
    const found = await engine.ask(what, () => container.inspect()).catch(() => undefined);
    await engine.ask(what, () => removed(container));
    return found?.State.Pid ?? 0;
  }

  /** Holds one folder a container. */
  #shares(root: string): string {
    const { data } = this.#parts.host;
    return data === undefined ? join(root, '.state') : join(data, 'processes');
  }

  #request(options: ProcessOptions, id: string, share: StateShare): ContainerRequest {
    const { system, host } = this.#parts.settings;
    const { argv, env, cwd, directory, niced, pooled } = options;
    return {
      ...{ argv, env, cwd, directory, niced },
      name: `nbos-${system}-${host.replace(/[^\w.-]/g, '_')}-${id}`,
      kind: pooled ? 'pooled' : 'kernel',
      mounts: [
        ...workspaceMountOf(this.#parts.host),
        ...coversOf(this.#parts.host),
        ...share.mounts(),
      ],
    };
  }

  async #startContainer(request: ContainerRequest): Promise<{ id: string; pid: number }> {
    const { engine, settings, host } = this.#parts;
    const { image } = settings;
    const creation = creationOf(settings, request);
    const what = `start of a kernel from ${image}`;
    const create = (docker: Docker): Promise<Docker.Container> => docker.createContainer(creation);
    const container = await engine.ask(what, create, { image }).catch((error: unknown) => {
      if (statusOf(error) === 0) removeLater(engine, host.log, request.name, LATE_MS);
      throw error;
    });
    try {
      await engine.ask(what, () => container.start());
      const { Pid } = (await engine.ask(what, () => container.inspect())).State;
      await host.gpus?.started({ id: container.id, pid: Pid });
      return { id: container.id, pid: Pid };
    } catch (error) {
      removeLater(engine, host.log, container.id);
      throw error;
    }
  }
}
