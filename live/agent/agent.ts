import { mkdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { LogEntry } from '../log/entries.ts';
import type { Head } from '../wire/codec.ts';
import { keyProof } from '../wire/key-proof.ts';
import { turnBegins } from '../wire/loop-turns.ts';
import { type AgentHello, type HostAddress, WIRE_FORMAT } from '../wire/messages.ts';
import {
  AGENT_LIMITS,
  type Agent,
  type AgentFigures,
  type AgentLimits,
  type AgentOptions,
  LOOPBACK,
} from './agent-options.ts';
import { PeerBlobs } from './blobs.ts';
import { Dispatcher } from './dispatcher.ts';
import { GatewayLink } from './gateway-link.ts';
import { recallHost, rememberHost } from './host-files.ts';
import { LinkFaults } from './link-faults.ts';
import { PeerLinks, type PeerOptions } from './peers.ts';
import { Processes } from './pool.ts';
import type { ForwardAnswer } from './ports.ts';
import { Replicas } from './replicas.ts';
import { Restarts } from './restarts.ts';
import { Saver } from './saver.ts';
import { LevelStore } from './store.ts';

/**
 * Starts the agent of a host: takes up the kernels that are on it, then greets the gateway as soon
 * as it can be reached. Throws `data-locked`, `log-corrupt`, `port-taken`, `file-unwritable`.
 */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const limits = { ...AGENT_LIMITS, ...options.limits };
  const { folder, log, runtimes } = options;
  const root = join(options.runtimeDir, options.host);
  await mkdir(join(folder, 'blobs'), { recursive: true, mode: 0o700 });
  await mkdir(root, { recursive: true, mode: 0o700 });
  const store = await LevelStore.open(join(folder, 'log'), log);
  const running = new RunningAgent(options, limits, store);
  try {
    const ended = await runtimes.endLeftovers(root);
    if (ended.length > 0) log.warn({ pids: ended }, 'ended processes that were left over');
    await running.start(root);
    return running;
  } catch (error) {
    await running.close();
    throw error;
  }
}

const SLOW_TURN_EVERY_MS = 30_000;

function portOf(endpoint: string): string {
  return endpoint.slice(endpoint.lastIndexOf(':') + 1);
}

function now(): number {
  return performance.now();
}

class RunningAgent implements Agent {
  readonly host: string;
  readonly #options: AgentOptions;
  readonly #limits: AgentLimits;
  readonly #store: LevelStore;
  readonly #faults: LinkFaults;
  #peers: PeerLinks | undefined;
  #blobs: PeerBlobs | undefined;
  #processes: Processes | undefined;
  #replicas: Replicas | undefined;
  #saver: Saver | undefined;
  #link: GatewayLink | undefined;
  #dispatcher: Dispatcher | undefined;
  #timers: NodeJS.Timeout[] = [];
  #hosts: readonly HostAddress[] = [];
  readonly #silent = new Set<string>();
  #remembering: Promise<void> = Promise.resolve();
  #closed = false;
  #isFullByFault = false;
  #restarts: Restarts | undefined;
  #tickedAt = 0;
  /** the latest that a tick has come, ms: what a turn of the loop took before it */
  #latestMs = 0;
  #quietUntil = 0;
  /** hosts have had time to be heard */
  #watchesFrom = 0;

  constructor(options: AgentOptions, limits: AgentLimits, store: LevelStore) {
    this.host = options.host;
    this.#options = options;
    this.#limits = limits;
    this.#store = store;
    this.#faults = new LinkFaults((error) =>
      options.log.warn({ err: error }, 'a late message could not be handled'),
    );
  }

  async start(root: string): Promise<void> {
    const options = this.#options;
    const { folder, host, log, runtimes } = options;
    const memory = await recallHost(folder);
    const peers = await this.#listen(memory.peer);
    this.#peers = peers;
    const blobs = new PeerBlobs(
      host,
      join(folder, 'blobs'),
      (to, message, frames) => peers.send(to, message, frames),
      log,
      {},
      options.store,
    );
    this.#blobs = blobs;
    const saver = options.store && new Saver({ store: options.store, blobs, log, now });
    this.#saver = saver;
    const tell = (...said: Parameters<GatewayLink['tell']>): void => this.#link?.tell(...said);
    const { orphanMs } = this.#limits;
    const processes = new Processes(runtimes, root, orphanMs, tell, log);
    this.#processes = processes;
    const replicas = new Replicas({
      ...{ options, store: this.#store, peers, blobs, processes, saver, tell },
    });
    this.#replicas = replicas;
    this.#restarts = new Restarts(replicas, folder, log);
    this.#setHosts(memory.hosts);
    this.#options.onHosts?.(memory.hosts, 'memory');
    await rememberHost(folder, { v: 1, peer: peers.endpoint, hosts: memory.hosts });
    await replicas.recover();
    await this.#removeStrayBlobs(blobs, replicas);
    this.#greet(replicas, processes);
    for (const [kernel, { code, message }] of replicas.unusable())
      tell({ t: 'replica-failed', kernel, member: 0, code, message });
    this.#tickedAt = performance.now();
    this.#watchesFrom = this.#tickedAt + this.#limits.hostGoneMs;
    this.#timers = [
      setInterval(() => this.#tick(), this.#limits.tickMs),
      setInterval(() => this.#beat(), this.#limits.beatMs),
    ];
  }

  get peer(): string {
    const { advertise, advertisePort } = this.#options.reach ?? LOOPBACK;
    const port = advertisePort || portOf(this.#peers?.endpoint ?? '');
    return `tcp://${advertise}:${port}`;
  }

  greeted(): Promise<void> {
    return this.#link?.greeted() ?? Promise.resolve();
  }

  figures(): AgentFigures {
    const slowestTurnMs = this.#latestMs;
    this.#latestMs = 0;
    const links = this.#peers?.counts ?? { refused: 0, dropped: 0 };
    return {
      refused: links.refused,
      dropped: links.dropped + (this.#link?.dropped ?? 0),
      syncs: this.#store.syncs,
      kernels: this.#replicas?.size ?? 0,
      slowestTurnMs,
    };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#stopClocks();
    await this.#replicas?.close();
    await this.#processes?.close();
    await this.#saver?.close();
    this.#cutLinks();
    await this.#store.close();
    const { runtimeDir } = this.#options;
    await rm(join(runtimeDir, this.host), { recursive: true, force: true });
    // The last host of the system here takes its folder away as well.
    await rmdir(runtimeDir).catch(() => undefined);
  }

  async leave(): Promise<void> {
    if (this.#closed) return;
    this.#stopClocks();
    this.#cutLinks();
    await this.#saver?.close();
    await this.#store.close();
  }

  #stopClocks(): void {
    this.#closed = true;
    this.#dispatcher?.close();
    for (const timer of this.#timers) clearInterval(timer);
  }

  #cutLinks(): void {
    this.#link?.close();
    this.#blobs?.close();
    this.#peers?.close();
    this.#faults.close();
  }

  /** On the endpoint that the others know, if it is still free. */
  async #listen(known: string): Promise<PeerLinks> {
    const { host, keys, allowed, log, nearby, reach = LOOPBACK } = this.#options;
    const on = `tcp://${reach.listen}:`;
    const isKnown = reach.port === 0 && known.startsWith(on);
    const options: PeerOptions = {
      ...{ host, keys, allowed, log, nearby },
      endpoint: isKnown ? known : `${on}${reach.port}`,
      faults: this.#faults,
      beatMs: this.#limits.beatMs,
      forwardMs: this.#limits.forwardMs,
      onRaft: (kernel, messages, from) => this.#replicas?.find(kernel)?.step(messages, from),
      onForward: (kernel, entries) => this.#proposeFor(kernel, entries),
      onBlob: (from, message, frames) => this.#blobs?.take(from, message, frames),
      onDown: (down) => this.#blobs?.linkDown(down),
    };
    try {
      return await PeerLinks.listen(options);
    } catch (error) {
      if (!isKnown) throw error;
      return PeerLinks.listen({ ...options, endpoint: `${on}0` });
    }
  }

  async #proposeFor(kernel: string, entries: readonly LogEntry[]): Promise<ForwardAnswer> {
    const replica = this.#replicas?.find(kernel);
    return replica?.proposeHere(entries) ?? { ok: false, code: 'unknown-kernel', leader: '' };
  }

  #greet(replicas: Replicas, processes: Processes): void {
    const { gateway, keys, log, nearby, workspace } = this.#options;
    const { heldNotices, heldBytes } = this.#limits;
    const dispatcher = new Dispatcher({
      workspace,
      replicas,
      processes,
      log,
      faults: this.#faults,
      answer: (answer) => this.#link?.answer(answer),
      setHosts: (hosts) => this.#learnHosts(hosts),
      setFull: (full) => {
        this.#isFullByFault = full;
        this.#store.setFull(full);
        this.#blobs?.setFull(full);
      },
    });
    this.#dispatcher = dispatcher;
    this.#link = new GatewayLink({
      ...{ gateway, keys, log, nearby, heldNotices, heldBytes },
      faults: this.#faults,
      hello: () => this.#hello(replicas, processes),
      onRefused: this.#options.onRefused,
      onMessage: (head: Head, frames) => dispatcher.take(head, frames),
    });
  }

  #hello(replicas: Replicas, processes: Processes): AgentHello {
    const { host, keys, capacity, gateway, workspace, gpuAccess } = this.#options;
    const unguarded = gpuAccess?.enforced === 'none' ? { unguardedGpus: gpuAccess.reason } : {};
    return {
      t: 'hello',
      v: WIRE_FORMAT,
      host,
      pid: process.pid,
      peer: this.peer,
      key: keys.publicKey,
      proof: keyProof(keys, gateway.key, 'agent'),
      ...(workspace === undefined ? {} : { workspace }),
      ...capacity,
      ...unguarded,
      kernels: replicas.reports(),
      pooled: processes.names(),
    };
  }

  #setHosts(hosts: readonly HostAddress[]): void {
    this.#hosts = hosts;
    this.#peers?.setHosts(hosts);
  }

  #learnHosts(hosts: readonly HostAddress[]): void {
    const { folder, log } = this.#options;
    const changed = JSON.stringify(hosts) !== JSON.stringify(this.#hosts);
    this.#setHosts(hosts);
    this.#options.onHosts?.(hosts, 'gateway');
    if (!changed) return;
    this.#remembering = this.#remembering
      .then(() => rememberHost(folder, { v: 1, peer: this.#peers?.endpoint ?? '', hosts }))
      .catch((error) => log.warn({ err: error }, 'the other hosts could not be remembered'));
  }

  #tick(): void {
    turnBegins();
    const now = performance.now();
    this.#latestMs = Math.max(this.#latestMs, now - this.#tickedAt - this.#limits.tickMs);
    this.#tickedAt = now;
    this.#replicas?.each((replica) => replica.tick());
    this.#saver?.tick();
  }

  #beat(): void {
    const positions = this.#replicas?.positions() ?? [];
    this.#link?.tell({ t: 'agent-beat', at: performance.now(), positions });
    if (!this.#isFullByFault) void this.#restarts?.look();
    this.#watchHosts();
    this.#watchLoop();
  }

  /** Tells of slow turns, at most once in a while: on a busy machine there are many. */
  #watchLoop(): void {
    const now = performance.now();
    if (this.#latestMs <= this.#limits.slowTurnMs || now < this.#quietUntil) return;
    this.#quietUntil = now + SLOW_TURN_EVERY_MS;
    this.#options.log.warn({ ms: Math.round(this.#latestMs) }, 'a slow turn of the loop');
    this.#latestMs = 0;
  }

  /** Groups at rest have no clock of their own: they are told of a host that fell silent. */
  #watchHosts(): void {
    const peers = this.#peers;
    if (peers === undefined || performance.now() < this.#watchesFrom) return;
    const before = performance.now() - this.#limits.hostGoneMs;
    for (const host of peers.hosts()) {
      if (peers.lastContact(host) > before) this.#silent.delete(host);
      else if (!this.#silent.has(host)) {
        this.#silent.add(host);
        this.#replicas?.each((replica) => replica.hostGone(host));
      }
    }
  }

  /** Of kernels that ended while this host was away. */
  async #removeStrayBlobs(blobs: PeerBlobs, replicas: Replicas): Promise<void> {
    const unusable = new Set(Array.from(replicas.unusable(), ([kernel]) => kernel));
    for (const kernel of await blobs.kernels())
      if (replicas.find(kernel) === undefined && !unusable.has(kernel)) await blobs.remove(kernel);
  }
}
