import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import type { Config, PartialConfig } from '../../core/config/options.ts';
import { NbosError } from '../../core/errors.ts';
import type { Policy } from '../../core/policies/policy.ts';
import { type Arguments, isSet, numberOf, textOf, wordsOf } from '../../traces/command-line.ts';
import { parseSettings, readConfigFile } from '../../traces/config-file.ts';
import { CheckedStore } from '../stores/checked-store.ts';
import { KernelStore } from '../stores/kernel-store.ts';
import { absoluteStore, openStore } from '../stores/open-store.ts';
import { sealOf } from '../stores/seal.ts';
import { type ClusterFile, readCluster } from './cluster-file.ts';

/**
 * Loads a policy by name or path and layers options over its defaults; checks the whole. Given to
 * the commands from outside, because policy files are read by what simulations share.
 */
export type LoadPolicy = (
  nameOrPath: string,
  layers: readonly PartialConfig[],
) => Promise<{ policy: Policy; config: Config }>;

const DEFAULT_HOSTS = 4;
const REPLICAS = 3;
const NO_STORE = 'none';

/**
 * The system that a command line describes, over what its data directory says already: what is
 * given now wins.
 * @throws NbosError usage, config-unknown-key, config-bad-value, file-corrupt
 */
export async function describedCluster(given: Arguments, data: string): Promise<ClusterFile> {
  const before = readCluster(data);
  const hosts = describedHosts(given, before);
  const policy = policyPath(textOf(given, 'policy') ?? before?.policy ?? 'notebookos');
  const python = textOf(given, 'python') ?? before?.python ?? '';
  const workspace = textOf(given, 'workspace') ?? before?.workspace ?? process.cwd();
  return {
    v: 1,
    http: {
      host: textOf(given, 'host') ?? before?.http.host ?? '127.0.0.1',
      port: numberOf(given, 'port') ?? before?.http.port ?? 0,
    },
    linkPort: before?.linkPort ?? (await freePort()),
    hosts,
    policy,
    config: { ...before?.config, ...describedConfig(given) },
    python,
    kernelSpec: textOf(given, 'kernel-spec') ?? before?.kernelSpec ?? '',
    workspace: resolve(workspace),
    store: describedStore(textOf(given, 'store')) ?? before?.store ?? '',
    enableFaults: isSet(given, 'enable-faults') || (before?.enableFaults ?? false),
  };
}

/** Checked as far as that goes without asking it. @throws NbosError config-bad-value */
function describedStore(given: string | undefined): string | undefined {
  if (given === undefined || given === NO_STORE) return given;
  const url = absoluteStore(given);
  openStore(url);
  return url;
}

/**
 * The store that hosts of a system bring state to; undefined for none. Nothing is connected yet.
 * @throws NbosError config-bad-value, key-invalid
 */
export async function kernelStoreOf(
  data: string,
  { store }: ClusterFile,
): Promise<KernelStore | undefined> {
  if (store === NO_STORE) return undefined;
  const url = store === '' ? `file:${join(data, 'store')}` : store;
  return new KernelStore(new CheckedStore(openStore(url)), await sealOf(join(data, 'keys')));
}

function describedHosts(given: Arguments, before: ClusterFile | undefined): ClusterFile['hosts'] {
  const count = numberOf(given, 'hosts') ?? before?.hosts.length ?? DEFAULT_HOSTS;
  const gpus = numberOf(given, 'gpus-per-host');
  return Array.from({ length: count }, (_, index) => {
    const known = before?.hosts[index];
    return { id: known?.id ?? `h${index + 1}`, gpus: gpus ?? known?.gpus ?? 2 };
  });
}

/** A path must mean the same file when the gateway is started again from elsewhere. */
function policyPath(policy: string): string {
  return /[/\\]|\.[cm]?[jt]s$/.test(policy) ? resolve(policy) : policy;
}

function describedConfig(given: Arguments): PartialConfig {
  const file = textOf(given, 'config');
  const replicas = numberOf(given, 'replicas');
  return {
    ...(file === undefined ? {} : readConfigFile(file)),
    ...parseSettings(wordsOf(given, 'set')),
    ...(replicas === undefined ? {} : { replicas }),
  };
}

/**
 * The scheduler's options for a system: its hosts are all there from the start and stay.
 * @throws NbosError as `load`
 */
export async function liveConfig(
  cluster: ClusterFile,
  load: LoadPolicy,
): Promise<{ policy: Policy; config: Config }> {
  const { policy: name, hosts, config: given } = cluster;
  const gpusPerHost = Math.max(...hosts.map(({ gpus }) => gpus));
  const { policy } = await load(name, []);
  const most = policy.container === 'session' ? hosts.length : 1;
  const standard = policy.replicated && most >= REPLICAS ? REPLICAS : 1;
  const here: PartialConfig = { fixed: true, hosts: hosts.length, gpusPerHost };
  const loaded = await load(name, [{ replicas: standard }, given, here]);
  const { replicas } = loaded.config;
  if (replicas <= hosts.length) return loaded;
  throw new NbosError(
    'config-bad-value',
    `${replicas} replicas of a kernel need as many hosts, and there are ${hosts.length}`,
    'Raise --hosts or lower --replicas.',
  );
}

/** PEM of --tls-cert and --tls-key; undefined without them. @throws NbosError usage, file-not-found */
export function describedTls(given: Arguments): { cert: string; key: string } | undefined {
  const cert = textOf(given, 'tls-cert');
  const key = textOf(given, 'tls-key');
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined)
    throw new NbosError('usage', '--tls-cert and --tls-key: one is of no use without the other');
  return { cert: pem('--tls-cert', cert), key: pem('--tls-key', key) };
}

function pem(option: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    throw new NbosError('file-not-found', `${option}: ${path} cannot be read`, 'Name a PEM file.');
  }
}

/** A TCP port of the loopback that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  return typeof address === 'object' && address !== null ? address.port : 0;
}
