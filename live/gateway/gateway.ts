import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { Registry } from 'prom-client';
import type { Config } from '../../core/config/options.ts';
import { NbosError } from '../../core/errors.ts';
import type { Policy } from '../../core/policies/policy.ts';
import { AgentLinks } from '../wire/agent-links.ts';
import { refusalOf } from '../wire/key-proof.ts';
import { AllowList, keyPair } from '../wire/keys.ts';
import type { AgentHello } from '../wire/messages.ts';
import type { Nearby } from '../wire/nearby.ts';
import { Admin } from './admin.ts';
import type { AdminService } from './admin-service.ts';
import { Brain } from './brain.ts';
import type { HttpLimits } from './http/limits.ts';
import { type HttpServer, serveHttp } from './http/serve.ts';
import { Journal } from './journal.ts';
import type { KernelSpecs } from './kernel-service.ts';
import { GATEWAY_LIMITS, type GatewayLimits } from './limits.ts';
import type { Agents } from './links.ts';
import { gatewayMetrics } from './metrics.ts';
import { rememberDrains } from './provision/drains.ts';
import { HostCommand } from './provision/host-command.ts';
import { HostPool } from './provision/host-pool.ts';
import type { KnownHosts, Provisioner } from './provision/provisioner.ts';
import { rememberRemoved } from './removed-kernels.ts';
import { RunRecord } from './run-record.ts';
import { openUsers } from './users.ts';

export interface GatewayOptions {
  /** data directory of the system */
  data: string;
  http: {
    host: string;
    /** 0 for any free one */
    port: number;
    /** PEM */
    tls?: { cert: string; key: string };
    behindProxy?: boolean;
  };
  /** port on which agents are heard; 0 for any free one */
  linkPort: number;
  /** address on which they are; the loopback when left out */
  linkHost?: string;
  /** ids of the hosts that belong to the system, in order */
  hosts: readonly string[];
  /** so many may be there when others join; those of `hosts` only when left out */
  mostHosts?: number;
  /** A host that was not among them has joined. */
  onJoined?: (host: string) => void;
  /** hosts come and go, at least `config.minHosts` and as many as there are; else all are used */
  elastic?: ElasticOptions | undefined;
  policy: Policy;
  /** hosts bring the state of kernels to a store */
  hasStore: boolean;
  /** as given: name, or path of its file */
  policyName: string;
  /** agents that are in this process; undefined for none */
  nearby?: Nearby | undefined;
  config: Config;
  /** where kernels start, and what /api/contents shows */
  workspace: string;
  specs: () => Promise<KernelSpecs>;
  enableFaults: boolean;
  /** of the first admin; '' has one made */
  token: string;
  version: string;
  log: Logger;
  limits?: Partial<GatewayLimits>;
  httpLimits?: Partial<HttpLimits>;
}

export interface ElasticOptions {
  /** absolute path of a program that starts and ends hosts; '': they are connected all the time */
  command: string;
}

export interface Gateway {
  readonly url: string;
  readonly port: number;
  readonly linkPort: number;
  /** token of the first admin */
  readonly token: string;
  readonly admin: AdminService;
  /** Resolves once the hosts have reported, or were waited for in vain. */
  readonly recovered: Promise<void>;
  /** Stops serving. Agents and cells go on, for the gateway that comes next. */
  close(graceful: boolean): Promise<void>;
}

const ROUND_MS = 1000;
const SIMULATED_ROUND_MS = 30_000;

/**
 * The scheduler's options in a live system: hosts are all there unless they come and go, what was
 * started never starts again, and rounds are short enough for hosts that come back.
 */
export function liveConfig(config: Config, hosts: number, isElastic = false): Config {
  const { scaleIntervalMs } = config;
  return {
    ...config,
    hosts,
    fixed: !isElastic,
    deviceIds: true,
    retryAborted: false,
    reclamation: 'none',
    scaling: config.scaling === 'none' ? 'on-demand' : config.scaling,
    scaleIntervalMs: scaleIntervalMs === SIMULATED_ROUND_MS ? ROUND_MS : scaleIntervalMs,
  };
}

/**
 * Starts the gateway: agents may connect, clients are served.
 * @throws NbosError port-taken, bind-insecure, key-invalid, policy-invalid
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { data, log, policyName, version } = options;
  refuseUnfit(options);
  const most = Math.max(options.hosts.length, options.mostHosts ?? 1);
  const config = liveConfig(options.config, most, options.elastic !== undefined);
  const limits = { ...GATEWAY_LIMITS, ...options.limits };
  const keysFolder = join(data, 'keys');
  const { users, adminToken } = await openUsers(keysFolder, options.token);
  const relay = new Relay();
  const brain = brainOf(options, config, limits, relay);
  const recording = recordingOf(brain, options, () => relay.links?.counts.refused ?? 0);
  brain.start();
  const keys = await keyPair(keysFolder, 'gateway');
  const allowed = new AllowList(keysFolder);
  const known = new Set(options.hosts);
  const links = await AgentLinks.listen({
    endpoint: `tcp://${options.linkHost ?? '127.0.0.1'}:${options.linkPort}`,
    ...{ keys, allowed, log, nearby: options.nearby },
    refusal: (hello) =>
      refusalOf(hello, keys, allowed, 'agent') ||
      brain.hosts.rivalOf(hello) ||
      foreignWorkspace(hello, options.workspace),
    onHello: (host, hello) => {
      if (!known.has(host)) options.onJoined?.(host);
      known.add(host);
      brain.hello(hello);
    },
    onNotice: (host, notice, frames) => brain.notice(host, notice, frames),
    onLost: (host) => brain.gone(host),
  });
  relay.links = links;
  let http: HttpServer | undefined;
  const admin = new Admin({
    ...{ brain, links, policyName, version, drainMs: limits.drainMs },
    url: () => http?.url ?? '',
    journal: () => recording.journal.lines(),
  });
  const closeRest = async (): Promise<void> => {
    brain.close();
    links.close();
    await recording.close();
  };
  try {
    http = await serveHttp({
      ...{ service: brain.kernels, admin, users, ...options.http, log, version },
      metrics: recording.registry,
      contentsRoot: options.workspace,
      enableFaults: options.enableFaults,
      limits: { createMs: limits.startMs + 5_000, ...options.httpLimits },
    });
  } catch (error) {
    await closeRest();
    throw error;
  }
  const server = http;
  return {
    url: server.url,
    port: server.port,
    linkPort: Number(links.endpoint.slice(links.endpoint.lastIndexOf(':') + 1)),
    token: adminToken,
    admin,
    recovered: brain.recovery.done,
    close: async (graceful) => {
      if (graceful) await admin.drain();
      await server.close(graceful);
      await recording.writeRun();
      await closeRest();
    },
  };
}

function brainOf(
  options: GatewayOptions,
  config: Config,
  limits: GatewayLimits,
  links: Agents,
): Brain {
  const { policy, hosts, specs, workspace, elastic, log } = options;
  return new Brain({
    ...{ policy, config, links, log, limits, hosts, specs, workspace },
    provisioner: elastic && provisionerOf(elastic, log),
    defaultGpus: config.gpusPerHost > 0 ? 1 : 0,
    // Set back, the clock of the day would hold all of core's timers for as long.
    clock: () => Math.floor(performance.timeOrigin + performance.now()),
  });
}

const COMMAND_MS = 120_000;

function provisionerOf({ command: path }: ElasticOptions, log: Logger) {
  return (hosts: KnownHosts): Provisioner =>
    path === ''
      ? new HostPool(hosts)
      : new HostCommand({ path, hosts, log, outer: process.env, runMs: COMMAND_MS });
}

/** Files and packages must be found under the same path wherever a kernel goes. */
function foreignWorkspace({ workspace }: AgentHello, ours: string): string {
  if (workspace === undefined || workspace === ours) return '';
  return `its --workspace is ${workspace}, and that of the gateway is ${ours}: both must be the same`;
}

function refuseUnfit({ policy, policyName, hasStore }: GatewayOptions): void {
  if (policy.suspends === true)
    throw new NbosError(
      'policy-invalid',
      `${policyName} suspends cells: it runs in simulations only`,
      'Choose notebookos, reservation, batch-fcfs or lcp.',
    );
  if (policy.container === 'session' || hasStore) return;
  throw new NbosError(
    'policy-invalid',
    `${policyName} keeps no kernel between cells: their state is in the store, and there is none`,
    'Leave --store none out, or name another store with --store.',
  );
}

interface Recording {
  readonly journal: Journal;
  readonly registry: Registry;
  /** Writes the folder of the run; a failure is logged. */
  writeRun(): Promise<void>;
  close(): Promise<void>;
}

/** Journal, reports and metrics, which watch the brain from before its first event. */
function recordingOf(brain: Brain, options: GatewayOptions, refused: () => number): Recording {
  const { data, policyName: policy, version, log } = options;
  const { loop, table, hosts, config } = brain;
  const folder = join(data, 'gateway');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  rememberRemoved(folder, table, log);
  rememberDrains(folder, brain.drains, log);
  const { epochMs } = loop;
  const journal = new Journal({ folder: join(folder, 'journal'), policy, config, epochMs, log });
  const record = new RunRecord({ folder, policy, version, loop });
  brain.onNamed = ({ id, session, meta }) => {
    const { userId, path, name } = meta;
    journal.session({ t: 'session', session, kernel: id, user: userId, path, name });
    record.named(session, id, userId);
  };
  loop.observers.push((event, effects) => journal.append(event, effects));
  loop.observers.push((event, effects) => record.after(event, effects));
  const registry = new Registry();
  const endMetrics = gatewayMetrics({ registry, loop, table, hosts, refused });
  return {
    journal,
    registry,
    writeRun: () =>
      record.write(journal).catch((error) => log.warn({ err: error }, 'no run folder written')),
    close: async () => {
      endMetrics();
      await journal.close();
    },
  };
}

/** The links, which need the parts that need the links. */
class Relay implements Agents {
  links: AgentLinks | undefined;

  request: Agents['request'] = (host, request, timeoutMs) => {
    if (this.links !== undefined) return this.links.request(host, request, timeoutMs);
    return Promise.reject(new NbosError('link-lost', `there is no link to ${host} yet`));
  };

  tell: Agents['tell'] = (host, notice, frames) => this.links?.tell(host, notice, frames) ?? false;
}
