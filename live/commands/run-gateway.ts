import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Logger } from 'pino';
import { NbosError } from '../../core/errors.ts';
import { type Arguments, textOf } from '../../traces/command-line.ts';
import { findKernelSpecs, type InstalledSpecs } from '../agent/kernel/kernelspecs.ts';
import { findPython, pythonsBeside } from '../agent/kernel/python.ts';
import { type GatewayOptions, startGateway } from '../gateway/gateway.ts';
import { installGatewayKeys } from '../wire/gateway-keys.ts';
import type { Nearby } from '../wire/nearby.ts';
import { type ClusterFile, dataFolder, writeCluster } from './cluster-file.ts';
import { connectText } from './connect-text.ts';
import { lockData } from './data-lock.ts';
import { checkWorkspace, plainSpecs } from './docker-options.ts';
import { openLog } from './log.ts';
import { announceRunning } from './running.ts';
import {
  describedCluster,
  describedTls,
  type LoadPolicy,
  liveConfig,
  NO_STORE,
} from './system-options.ts';

export interface RunningGateway {
  readonly url: string;
  readonly token: string;
  readonly data: string;
  readonly cluster: ClusterFile;
  /** how to connect, for people */
  readonly text: string;
  readonly log: Logger;
  /** Stops serving; with `drain` cells that run may end before. */
  close(drain: boolean): Promise<void>;
}

/**
 * Starts the gateway that a command line describes, and writes down how its system is found.
 * @throws NbosError data-locked, python-missing, port-taken, and what options can be wrong in
 */
export async function runGateway(
  given: Arguments,
  load: LoadPolicy,
  nearby?: Nearby,
): Promise<RunningGateway> {
  const data = dataFolder(textOf(given, 'data'));
  const described = await describedCluster(given, data);
  const { policy, config } = await liveConfig(described, load);
  const http = httpOf(described, given);
  const { find, python } = await specsOf(described, data);
  const unlock = await lockData(data);
  const keys = textOf(given, 'keys');
  let cluster = described;
  try {
    if (keys !== undefined) await installGatewayKeys(join(data, 'keys'), resolve(keys));
    const log = openLog(data, 'gateway', true);
    const { joins, docker, workspace } = described;
    // Hosts that join look for themselves.
    if (docker !== undefined && joins === undefined) checkWorkspace(docker, workspace, log);
    let isWritten = false;
    const specs = await kernelspecs(described, find, log);
    const gateway = await startGateway({
      data,
      http,
      linkPort: described.linkPort,
      ...(joins === undefined ? {} : { linkHost: joins.host, mostHosts: joins.most }),
      // Those that joined are waited for after a restart.
      onJoined: (id) => {
        const host = { id, gpus: joins?.gpusPerHost ?? 0 };
        cluster = { ...cluster, hosts: [...cluster.hosts, host] };
        if (isWritten) rewrite(data, cluster, log);
      },
      elastic: described.elastic,
      hosts: described.hosts.map(({ id }) => id),
      policy,
      hasStore: described.store !== NO_STORE,
      policyName: described.policy,
      config,
      workspace: described.workspace,
      specs: () => Promise.resolve(specs),
      enableFaults: described.enableFaults,
      token: givenToken(process.env),
      version: version(),
      nearby,
      log,
    });
    const { url, port, token } = gateway;
    cluster = { ...cluster, python, http: { ...described.http, port } };
    writeCluster(data, cluster);
    isWritten = true;
    const startedAt = Date.now();
    const withdraw = announceRunning({ v: 1, url, token, pid: process.pid, data, startedAt });
    const { hosts, policy: policyName } = cluster;
    const { replicas } = config;
    const joinsAt = joins === undefined ? '' : `tcp://${joins.host}:${gateway.linkPort}`;
    return {
      ...{ url, token, data, cluster, log },
      text: connectText({ url, token, hosts, policy: policyName, replicas, data, joins: joinsAt }),
      close: async (drain) => {
        withdraw();
        await gateway.close(drain);
        await unlock();
      },
    };
  } catch (error) {
    await unlock();
    throw error;
  }
}

/** Where clients are served. @throws NbosError usage, file-not-found */
function httpOf({ http }: ClusterFile, given: Arguments): GatewayOptions['http'] {
  const tls = describedTls(given);
  return {
    ...http,
    ...(tls === undefined ? {} : { tls }),
    behindProxy: given['behind-proxy'] === true,
  };
}

/** NBOS_TOKEN, or what is in the file NBOS_TOKEN_FILE; '' has one made. */
function givenToken(env: NodeJS.ProcessEnv): string {
  const file = env['NBOS_TOKEN_FILE'];
  if (env['NBOS_TOKEN'] || !file) return env['NBOS_TOKEN'] ?? '';
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new NbosError(
      'file-not-found',
      `NBOS_TOKEN_FILE: ${file} cannot be read: ${(error as Error).message}`,
      'Name a file that holds the token of the first administrator.',
    );
  }
}

/** A host that is not remembered is only waited for a moment less when the gateway starts again. */
function rewrite(data: string, cluster: ClusterFile, log: Logger): void {
  try {
    writeCluster(data, cluster);
  } catch (error) {
    log.warn({ err: error }, 'a host that joined could not be written down');
  }
}

/** Where kernels' specs come from, and the Python of this machine; '' when the image has it. */
async function specsOf(
  { docker, joins, python: wanted, workspace }: ClusterFile,
  data: string,
): Promise<{ find: () => Promise<InstalledSpecs>; python: string }> {
  // What Python there is on other machines is for their agents to find.
  if (docker !== undefined || (joins !== undefined && wanted === ''))
    return { find: () => Promise.resolve(plainSpecs(data)), python: wanted };
  const python = await findPython({ python: wanted, outer: process.env, cwd: workspace });
  const find = async (): Promise<InstalledSpecs> =>
    findKernelSpecs(python, process.env, await pythonsBeside(workspace, process.env));
  return { find, python: python.path };
}

/** Kernelspecs of this machine; --kernel-spec says which one clients get that name none. */
async function kernelspecs(
  { kernelSpec }: ClusterFile,
  find: () => Promise<InstalledSpecs>,
  log: Logger,
): Promise<InstalledSpecs> {
  const found = await find();
  for (const problem of found.problems) log.warn(problem);
  if (kernelSpec === '') return found;
  if (Object.hasOwn(found.specs, kernelSpec)) return { ...found, default: kernelSpec };
  throw new NbosError(
    'usage',
    `--kernel-spec: there is no kernelspec "${kernelSpec}"`,
    `There is ${Object.keys(found.specs).join(', ')}.`,
  );
}

/** Of package.json, which lies above the source and above the build. */
function version(): string {
  for (const place of ['../../package.json', '../../../package.json']) {
    try {
      const text = readFileSync(new URL(place, import.meta.url), 'utf8');
      return (JSON.parse(text) as { version: string }).version;
    } catch {
      // The other one, then.
    }
  }
  return '0.0.0';
}
