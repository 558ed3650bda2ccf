import type { Logger } from 'pino';
import type { AgentHello, KernelPosition, KernelReport } from '../wire/messages.ts';
import type { CoreLoop } from './core-loop.ts';
import type { Agents } from './links.ts';

/** A host that is lost again within so long gets work later and later, ms. */
const CALM_MS = 60_000;
const FIRST_WAIT_MS = 2_000;
const MOST_WAIT_MS = 16_000;

export interface HostsOptions {
  loop: CoreLoop;
  links: Agents;
  log: Logger;
  /** ids of the hosts that belong to the system, in order: core's first numbers */
  expected: readonly string[];
  /** ms without a beat after which a host is lost */
  leaseMs: number;
  beatMs: number;
  /** ms on a clock that never jumps */
  monotone: () => number;
}

/** A host with its agent. `number` is core's; -1 while it is not in core's books. */
export interface LiveHost {
  readonly id: string;
  number: number;
  linked: boolean;
  lastBeatAt: number;
  /** when it was lost last, and how often of late */
  lostAt: number;
  losses: number;
  hello: AgentHello | undefined;
  /** what its hello said may be wrong by now: it was lost, or given back */
  stale: boolean;
  note: string;
}

export interface HostEvents {
  /** Its agent said hello and the host is in core's books. */
  reported(host: LiveHost, hello: AgentHello): void;
  positions(host: LiveHost, positions: readonly KernelPosition[]): void;
  /** Its agent said hello, and core has no use for it now. */
  idle(host: LiveHost, hello: AgentHello): void;
  /** Its lease is over; core knows. */
  lost(host: LiveHost): void;
}

/**
 * Hosts as core numbers them and as agents name them; failure detection by beats. A host that comes
 * back after its lease is a new one to core.
 */
export class Hosts {
  readonly #options: HostsOptions;
  readonly #hosts = new Map<string, LiveHost>();
  readonly #byNumber = new Map<number, LiveHost>();
  /** numbers that core has asked for, without a host yet */
  readonly #wanted: number[] = [];
  /** hosts that are asked for a report */
  readonly #asked = new Set<string>();
  events: HostEvents | undefined;
  /** whether the host may have work */
  accepts: (host: LiveHost) => boolean = () => true;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #checkedAt: number;

  constructor(options: HostsOptions) {
    this.#options = options;
    this.#checkedAt = options.monotone();
    for (const id of options.expected) this.#add(id);
  }

  #add(id: string): LiveHost {
    const host: LiveHost = {
      id,
      number: -1,
      linked: false,
      lastBeatAt: Number.NEGATIVE_INFINITY,
      lostAt: Number.NEGATIVE_INFINITY,
      losses: 0,
      hello: undefined,
      stale: false,
      note: 'its agent has not reported yet',
    };
    this.#hosts.set(id, host);
    return host;
  }

  start(): void {
    this.#timer = setInterval(() => this.#check(), this.#options.beatMs);
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
  }

  all(): LiveHost[] {
    return [...this.#hosts.values()];
  }

  get(id: string): LiveHost | undefined {
    return this.#hosts.get(id);
  }

  byNumber(number: number): LiveHost | undefined {
    return this.#byNumber.get(number);
  }

  /** In core's books: its agent is heard. */
  isUp(id: string): boolean {
    return (this.#hosts.get(id)?.number ?? -1) !== -1;
  }

  isHeard(id: string): boolean {
    const host = this.#hosts.get(id);
    return host !== undefined && this.#isHeard(host);
  }

  /** Core asks for a host: the next that is heard and has no number. */
  wanted(number: number): void {
    this.#wanted.push(number);
    // Core is in the middle of a step, and what a host reports is to be taken in between steps.
    queueMicrotask(() => this.match());
  }

  isWanted(number: number): boolean {
    return this.#wanted.includes(number);
  }

  /** Nobody will get the number; false when somebody has it. */
  withdraw(number: number): boolean {
    const at = this.#wanted.indexOf(number);
    if (at === -1) return false;
    this.#wanted.splice(at, 1);
    return true;
  }

  /** Core has given the host back, and nothing of ours is on it. */
  unbind(host: LiveHost): void {
    this.#byNumber.delete(host.number);
    host.number = -1;
    host.note = 'given back';
    host.stale = true;
    host.hello = { ...host.hello!, kernels: [], pooled: [] };
  }

  /**
   * Why a hello may not be the host that it names: that one is there and heard at another address.
   * '' when it may be.
   */
  rivalOf({ host: id, peer }: AgentHello): string {
    const host = this.#hosts.get(id);
    if (host?.hello === undefined || host.hello.peer === peer || !this.#isHeard(host)) return '';
    return `host ${id} is there already, at ${host.hello.peer}: give each host an id of its own`;
  }

  hello(hello: AgentHello): void {
    const host = this.#hosts.get(hello.host) ?? this.#add(hello.host);
    host.hello = hello;
    host.stale = false;
    host.linked = true;
    host.lastBeatAt = this.#options.monotone();
    if (host.number === -1) host.note = 'waits for a place in the cluster';
    this.#tellAddresses();
    if (host.number !== -1) {
      this.events?.reported(host, hello);
      return;
    }
    this.match();
    if (host.number === -1) this.events?.idle(host, hello);
  }

  beat(id: string, positions: readonly KernelPosition[]): void {
    const host = this.#hosts.get(id);
    if (host === undefined || host.hello === undefined) return;
    host.lastBeatAt = this.#options.monotone();
    host.linked = true;
    if (host.number !== -1) this.events?.positions(host, positions);
    else if (host.stale || host.hello.kernels.length > 0 || this.#wanted.length > 0)
      this.#askReport(host);
  }

  /** It was given up and is heard again: what its hello said is old. */
  #askReport(host: LiveHost): void {
    if (this.#asked.has(host.id)) return;
    this.#asked.add(host.id);
    this.#options.links
      .request(host.id, { t: 'report' })
      .then((kernels) => this.hello({ ...host.hello!, kernels: kernels as KernelReport[] }))
      .catch((error) => this.#options.log.warn({ err: error, host: host.id }, 'no report'))
      .finally(() => this.#asked.delete(host.id));
  }

  /** Its connection ended; the lease decides what that means. */
  gone(id: string): void {
    const host = this.#hosts.get(id);
    if (host !== undefined) host.linked = false;
  }

  /**
   * Hosts that may have work and have none, of which it is known what they hold. Those with
   * kernels come first: they lose no copies.
   */
  free(): LiveHost[] {
    const free = this.all().filter(
      (host) =>
        host.number === -1 &&
        !host.stale &&
        this.#isHeard(host) &&
        this.#isSteady(host) &&
        this.accepts(host),
    );
    const isEmpty = ({ hello }: LiveHost): number => Number(hello!.kernels.length === 0);
    return free.sort((a, b) => isEmpty(a) - isEmpty(b));
  }

  /** Gives hosts that are heard the numbers that core has asked for. */
  match(): void {
    if (this.#closed) return;
    for (const host of this.free()) {
      if (this.#wanted.length === 0) return;
      // What follows from a host that is up may have asked for this one.
      if (host.number !== -1) continue;
      const own = this.#options.expected.indexOf(host.id);
      const at = Math.max(0, this.#wanted.indexOf(own));
      const number = this.#wanted.splice(at, 1)[0]!;
      host.number = number;
      host.note = '';
      this.#byNumber.set(number, host);
      this.#options.loop.post({ kind: 'host-up', host: number });
      this.#excludeMissing(host, host.hello!);
      this.events?.reported(host, host.hello!);
    }
  }

  /** Core counts with the same GPUs on all hosts; those that one lacks are never given out. */
  #excludeMissing(host: LiveHost, { gpus }: AgentHello): void {
    const { loop, log } = this.#options;
    const { number: at, id } = host;
    const counted = (loop.core.state.hosts[at]?.spec.gpuMillis ?? 0) / 1000;
    for (let device = gpus; device < counted; device++)
      loop.post({ kind: 'device-excluded', host: at, device, reason: 'operator' });
    if (gpus <= counted) return;
    host.note = `${counted} of its ${gpus} GPUs are used: start the gateway with --gpus-per-host ${gpus}`;
    log.warn({ host: id }, host.note);
  }

  /**
   * Replacing what a host had is work for all others: one that comes and goes has to stay for a
   * while, longer each time, or a load that has made it late would make all of them late.
   */
  #isSteady({ lostAt, losses }: LiveHost): boolean {
    const waitMs = losses < 2 ? 0 : Math.min(MOST_WAIT_MS, FIRST_WAIT_MS * 2 ** (losses - 2));
    return this.#options.monotone() - lostAt >= waitMs;
  }

  #isHeard(host: LiveHost): boolean {
    const age = this.#options.monotone() - host.lastBeatAt;
    return host.linked && host.hello !== undefined && age < this.#options.leaseMs;
  }

  #check(): void {
    const { leaseMs, beatMs, monotone, links, loop, log } = this.#options;
    const now = monotone();
    const late = now - this.#checkedAt - beatMs;
    this.#checkedAt = now;
    for (const host of this.#hosts.values()) {
      if (host.hello === undefined) continue;
      // While this process itself stood still, nobody could be heard.
      if (late > beatMs) host.lastBeatAt = Math.min(now, host.lastBeatAt + late);
      if (host.linked) links.tell(host.id, { t: 'gateway-beat', at: Date.now() });
      if (host.number === -1 || now - host.lastBeatAt <= leaseMs) continue;
      log.warn({ host: host.id }, 'host lost: no beat within its lease');
      const { number } = host;
      this.#byNumber.delete(number);
      host.number = -1;
      host.linked = false;
      host.stale = true;
      host.losses = now - host.lostAt < CALM_MS ? host.losses + 1 : 1;
      host.lostAt = now;
      host.note = 'no beats: the host, its agent or the network is down';
      loop.post({ kind: 'host-lost', host: number });
      this.events?.lost(host);
    }
    if (this.#wanted.length > 0) this.match();
  }

  #tellAddresses(): void {
    const hosts = this.all().flatMap(({ id, hello }) =>
      hello === undefined ? [] : [{ host: id, peer: hello.peer, key: hello.key }],
    );
    for (const { id, linked } of this.#hosts.values())
      if (linked) this.#options.links.tell(id, { t: 'hosts', hosts });
  }
}
