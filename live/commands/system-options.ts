import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Config, PartialConfig } from '../../core/config/options.ts';
import { NbosError } from '../../core/errors.ts';
import type { Policy } from '../../core/policies/policy.ts';
import { type Arguments, isSet, numberOf, textOf, wordsOf } from '../../traces/command-line.ts';
import { parseSettings, readConfigFile } from '../../traces/config-file.ts';
import { CheckedStore } from '../stores/checked-store.ts';
import { KernelStore } from '../stores/kernel-store.ts';
import { absoluteStore, openStore } from '../stores/open-store.ts';
import { type Seal, sealOf } from '../stores/seal.ts';
import { freePort } from '../wire/free-port.ts';
import { type ClusterFile, readCluster } from './cluster-file.ts';
import { describedDocker } from './docker-options.ts';
import { describedElastic } from './elastic-options.ts';
import { sharedDevices } from './gpu-options.ts';

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
/** Of hosts that join: beyond this --hosts is needed. */
const MOST_HOSTS = 16;
/** --store that has hosts keep state to themselves. */
export const NO_STORE = 'none';

/**
 * The system that a command line describes, over what its data directory says already: what is
 * given now wins.
 * @throws NbosError usage, config-unknown-key, config-bad-value, file-corrupt, gpu-device-invalid
 */
export async function describedCluster(given: Arguments, data: string): Promise<ClusterFile> {
  const before = readCluster(data);
  const link = await describedLink(given, before);
  const { joins } = link;
  const hosts = joins === undefined ? await describedHosts(given, before) : (before?.hosts ?? []);
  const policy = policyPath(textOf(given, 'policy') ?? before?.policy ?? 'notebookos');
  const python = textOf(given, 'python') ?? before?.python ?? '';
  const docker = describedDocker(given, before?.docker);
  const most = Math.max(joins?.most ?? 1, hosts.length);
  const elastic = describedElastic(given, before?.elastic, most);
  const workspace = textOf(given, 'workspace') ?? before?.workspace ?? process.cwd();
  return {
    v: 1,
    http: {
      host: textOf(given, 'host') ?? before?.http.host ?? '127.0.0.1',
      port: numberOf(given, 'port') ?? before?.http.port ?? 0,
    },
    ...link,
    hosts,
    policy,
    config: { ...before?.config, ...describedConfig(given) },
    python,
    kernelSpec: textOf(given, 'kernel-spec') ?? before?.kernelSpec ?? '',
    workspace: resolve(workspace),
    store: describedStore(textOf(given, 'store')) ?? before?.store ?? '',
    enableFaults: isSet(given, 'enable-faults') || (before?.enableFaults ?? false),
    ...(docker === undefined ? {} : { docker }),
    ...(elastic === undefined ? {} : { elastic }),
  };
}

/** Where agents are heard: --listen opens the system to other machines. */
async function describedLink(
  given: Arguments,
  before: ClusterFile | undefined,
): Promise<Pick<ClusterFile, 'joins' | 'linkPort'>> {
  const listen = textOf(given, 'listen');
  const at = listen === undefined ? undefined : addressOf('listen', listen);
  const host = at?.host ?? before?.joins?.host;
  const linkPort = at?.port ?? before?.linkPort ?? (await freePort());
  if (host === undefined) return { linkPort };
  const most = numberOf(given, 'hosts') ?? before?.joins?.most ?? MOST_HOSTS;
  const gpusPerHost = numberOf(given, 'gpus-per-host') ?? before?.joins?.gpusPerHost ?? 0;
  return { linkPort, joins: { host, most, gpusPerHost } };
}

/** "HOST:PORT". @throws NbosError usage, which names the option */
export function addressOf(option: string, text: string): { host: string; port: number } {
  const [, host = '', digits = ''] = /^([\w.-]+):(\d+)$/.exec(text) ?? [];
  const port = Number(digits);
  if (host !== '' && port >= 1 && port <= 65_535) return { host, port };
  throw new NbosError('usage', `--${option}: expected ADDRESS:PORT, found "${text}"`);
}

/** Checked as far as that goes without asking it. @throws NbosError config-bad-value */
export function describedStore(given: string | undefined): string | undefined {
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
  const url = store === '' ? `file:${join(data, 'store')}` : store;
  return kernelStoreAt(url, await sealOf(join(data, 'keys')));
}

/** The same for a host that joined, which has the seal with its keys. */
export function kernelStoreAt(url: string, seal: Seal): KernelStore | undefined {
  return url === NO_STORE ? undefined : new KernelStore(new CheckedStore(openStore(url)), seal);
}

async function describedHosts(
  given: Arguments,
  before: ClusterFile | undefined,
): Promise<ClusterFile['hosts']> {
  const count = numberOf(given, 'hosts') ?? before?.hosts.length ?? DEFAULT_HOSTS;
  const gpus = numberOf(given, 'gpus-per-host');
  const shared = await sharedDevices(given, count);
  return Array.from({ length: count }, (_, index) => {
    const known = before?.hosts[index];
    const id = known?.id ?? `h${index + 1}`;
    const devices = shared?.[index] ?? (gpus === undefined ? known?.devices : undefined);
    if (devices === undefined) return { id, gpus: gpus ?? known?.gpus ?? 2 };
    return { id, gpus: devices.length, devices };
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
 * The scheduler's options for a system: its hosts are all there from the start and stay, or come
 * and go without any that are kept ready beyond the load.
 * @throws NbosError as `load`
 */
export async function liveConfig(
  cluster: ClusterFile,
  load: LoadPolicy,
): Promise<{ policy: Policy; config: Config }> {
  const { policy: name, hosts, config: given, joins, elastic } = cluster;
  const count = Math.max(joins?.most ?? 1, hosts.length);
  const gpusPerHost = joins?.gpusPerHost ?? Math.max(...hosts.map(({ gpus }) => gpus));
  const { policy } = await load(name, []);
  const most = policy.container === 'session' ? count : 1;
  const standard = policy.replicated && most >= REPLICAS ? REPLICAS : 1;
  const bounds =
    elastic === undefined ? { fixed: true } : { fixed: false, minHosts: elastic.minHosts };
  const here: PartialConfig = { ...bounds, hosts: count, gpusPerHost };
  const buffer = elastic === undefined ? {} : { bufferHosts: 0 };
  const loaded = await load(name, [{ replicas: standard, ...buffer }, given, here]);
  const { replicas } = loaded.config;
  if (replicas % 2 === 0)
    throw new NbosError(
      'config-bad-value',
      `${replicas} replicas of a kernel survive no more losses than ${replicas - 1}`,
      'Give --replicas 1, 3 or 5.',
    );
  if (replicas <= count) return loaded;
  throw new NbosError(
    'config-bad-value',
    `${replicas} replicas of a kernel need as many hosts, and there are ${count}`,
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
