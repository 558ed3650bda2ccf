import { createHash } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { NbosError } from '../../core/errors.ts';
import { unwritable } from '../../traces/output-file.ts';
import { startAgent } from '../agent/agent.ts';
import type { Agent } from '../agent/agent-options.ts';
import type { GpuAccess } from '../agent/gpu/access.ts';
import { ProcessFactory } from '../agent/kernel/processes.ts';
import { findPython } from '../agent/kernel/python.ts';
import type { RuntimeFactory } from '../agent/kernel/runtime.ts';
import { replicaOpener } from '../agent/open-replica.ts';
import { AllowList, allow, keyPair, publicKeyOf } from '../wire/keys.ts';
import type { Nearby } from '../wire/nearby.ts';
import type { ClusterFile } from './cluster-file.ts';
import { containersOf } from './docker-options.ts';
import { gpusOf } from './gpu-options.ts';
import { kernelStoreOf } from './system-options.ts';
import { workspaceFolder } from './workspace-folder.ts';

export interface AgentPlace {
  data: string;
  cluster: ClusterFile;
  host: ClusterFile['hosts'][number];
  log: Logger;
  /** what else of the system is in this process */
  nearby?: Nearby;
  /** what makes kernels; processes on this machine when left out */
  runtimes?: RuntimeFactory;
}

/**
 * Starts the agent of one host of the system in a data directory.
 * @throws NbosError python-missing, file-not-found, key-invalid, data-locked, log-corrupt,
 *   file-unwritable, gpu-device-invalid, gpu-unusable
 */
export async function runAgent(place: AgentPlace): Promise<Agent> {
  const { data, cluster, host, log } = place;
  const keysFolder = join(data, 'keys');
  const keys = await keyPair(keysFolder, host.id);
  await allow(keysFolder, host.id, keys.publicKey);
  const endpoint = `tcp://127.0.0.1:${cluster.linkPort}`;
  const gateway = { endpoint, key: await publicKeyOf(keysFolder, 'gateway') };
  const { devices = [], gpus: count } = host;
  const gpus = await gpusOf({ devices, count }, cluster.docker, log);
  return startAgent({
    host: host.id,
    folder: join(data, 'hosts', host.id),
    runtimeDir: runtimeFolder(data),
    gateway,
    keys,
    nearby: place.nearby,
    allowed: new AllowList(keysFolder),
    ...gpus,
    workspace: cluster.workspace,
    runtimes: place.runtimes ?? (await runtimesOf(place, gateway.key, gpus.gpuAccess)),
    openReplica: replicaOpener(),
    store: await kernelStoreOf(data, cluster),
    log,
  });
}

function runtimesOf(
  place: AgentPlace,
  gateway: string,
  gpus: GpuAccess | undefined,
): Promise<RuntimeFactory> {
  const { cluster, data, host, log } = place;
  const { docker, workspace } = cluster;
  if (docker === undefined) return processesOf(cluster, log);
  const folder = join(data, 'hosts', host.id);
  return containersOf({ docker, workspace, host: host.id, gateway, gpus, folder, log });
}

/** Kernels as processes of this machine. @throws NbosError python-missing, file-not-found */
export async function processesOf(
  cluster: Pick<ClusterFile, 'workspace' | 'python'>,
  log: Logger,
): Promise<ProcessFactory> {
  const { workspace } = cluster;
  workspaceFolder(workspace);
  const python = await findPython({ python: cluster.python, outer: process.env, cwd: workspace });
  return new ProcessFactory({
    outer: process.env,
    workspace,
    userSite: python.userSite,
    python: python.path,
    quotaBytes: 0,
    log,
  });
}

/**
 * A short 0700 folder for sockets of a system's processes: paths of sockets are at most 107 bytes.
 * @throws NbosError file-unwritable, also when somebody else made it
 */
export function runtimeFolder(data: string, env = process.env): string {
  const uid = process.getuid?.() ?? 0;
  const base = join(env['XDG_RUNTIME_DIR'] || tmpdir(), `nbos-${uid}`);
  const name = createHash('sha256').update(data).digest('hex').slice(0, 8);
  const folder = join(base, name);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const each of [base, folder]) {
      const stat = lstatSync(each);
      if (!stat.isDirectory() || stat.uid !== uid)
        throw new NbosError(
          'file-unwritable',
          `${each} belongs to somebody else`,
          'Set XDG_RUNTIME_DIR to a folder of yours with a short path.',
        );
      chmodSync(each, 0o700);
    }
  } catch (error) {
    throw unwritable(folder, error);
  }
  return folder;
}
