import type { Logger } from 'pino';
import type { Message } from '../../core/raft/index.ts';
import type { LogEntry } from '../log/entries.ts';
import type { Head } from '../wire/codec.ts';
import { type Claim, keyProof, refusalOf } from '../wire/key-proof.ts';
import type { KeyPair } from '../wire/keys.ts';
import { LinkClient } from '../wire/link-client.ts';
import { type LinkCounts, LinkServer } from '../wire/link-server.ts';
import { type HostAddress, type PeerMessage, WIRE_FORMAT } from '../wire/messages.ts';
import type { Nearby } from '../wire/nearby.ts';
import { packGroups, unpackGroups } from '../wire/raft-frames.ts';
import { peerWords } from '../wire/shapes.ts';
import type { Gatekeeper } from '../wire/zap.ts';
import { unreachable } from './blob-sender.ts';
import type { BlobMessage } from './blobs.ts';
import type { LinkFaults } from './link-faults.ts';
import type { ForwardAnswer, Peers } from './ports.ts';

export interface PeerOptions {
  host: string;
  /** tcp endpoint to listen on */
  endpoint: string;
  keys: KeyPair;
  allowed: Gatekeeper;
  log: Logger;
  nearby?: Nearby | undefined;
  faults: LinkFaults;
  /** ms between beats */
  beatMs: number;
  /** ms for a forwarded proposal to be answered */
  forwardMs: number;
  onRaft(kernel: string, messages: readonly Message[], from: string): void;
  /** Proposes here, if this host leads the group. */
  onForward(kernel: string, entries: readonly LogEntry[]): Promise<ForwardAnswer>;
  onBlob(from: string, message: BlobMessage, frames: readonly Uint8Array[]): void;
  /** The link to a host ended; another is being tried. */
  onDown(host: string): void;
}

interface Peer {
  address: HostAddress;
  /** for what must be quick */
  talk: LinkClient;
  /** for chunks of blobs */
  bulk: LinkClient;
  /** messages of this turn of the loop, by group */
  raft: Map<string, Message[]>;
  lastContact: number;
  /** `at` of its last beat, told back to it */
  lastBeat: number;
}

interface Forwarding {
  host: string;
  resolve(answer: ForwardAnswer): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

/** The links to all other agents: each side connects to the other, and speaks over its own. */
export class PeerLinks implements Peers {
  readonly host: string;
  readonly #options: PeerOptions;
  readonly #server: LinkServer;
  readonly #speakers: Map<string, string>;
  readonly #peers = new Map<string, Peer>();
  readonly #forwarding = new Map<number, Forwarding>();
  readonly #beats: NodeJS.Timeout;
  #forwarded = 0;
  #flushing = false;

  private constructor(options: PeerOptions, server: LinkServer, speakers: Map<string, string>) {
    this.host = options.host;
    this.#options = options;
    this.#server = server;
    this.#speakers = speakers;
    this.#beats = setInterval(() => this.#beat(), options.beatMs);
  }

  /** Throws `port-taken`. */
  static async listen(options: PeerOptions): Promise<PeerLinks> {
    const speakers = new Map<string, string>();
    let links: PeerLinks | undefined;
    const server = await LinkServer.listen({
      endpoint: options.endpoint,
      keys: options.keys,
      allowed: options.allowed,
      words: peerWords,
      log: options.log,
      nearby: options.nearby,
      onHello: (connection, head) => {
        if (head.t !== 'peer-hello') return false;
        const claim = head as unknown as Claim;
        const refusal = refusalOf(claim, options.keys, options.allowed, 'peer');
        if (refusal === '') speakers.set(connection, claim.host);
        else server.refuse(connection, 'key-invalid', refusal);
        return refusal === '';
      },
      onMessage: (connection, head, frames) => {
        const from = speakers.get(connection);
        if (from !== undefined) links?.hear(from, head, frames);
      },
      onGone: (connection) => void speakers.delete(connection),
    });
    links = new PeerLinks(options, server, speakers);
    return links;
  }

  get endpoint(): string {
    return this.#server.endpoint;
  }

  get counts(): LinkCounts {
    return this.#server.counts;
  }

  hosts(): string[] {
    return [...this.#peers.keys()];
  }

  /** All hosts there are; connects to new ones, lets go of those that are not named. */
  setHosts(hosts: readonly HostAddress[]): void {
    const named = new Map(hosts.map((each) => [each.host, each]));
    for (const [host, peer] of this.#peers) {
      const now = named.get(host);
      if (now?.peer === peer.address.peer && now.key === peer.address.key) continue;
      this.#peers.delete(host);
      peer.talk.close();
      peer.bulk.close();
      this.#options.onDown(host);
    }
    for (const [host, address] of named) {
      if (host === this.host || this.#peers.has(host)) continue;
      const peer: Peer = {
        address,
        talk: this.#connect(address),
        bulk: this.#connect(address),
        raft: new Map(),
        lastContact: Number.NEGATIVE_INFINITY,
        lastBeat: 0,
      };
      this.#peers.set(host, peer);
    }
  }

  sendRaft(to: string, kernel: string, messages: readonly Message[]): void {
    const peer = this.#peers.get(to);
    if (peer === undefined || messages.length === 0) return;
    const held = peer.raft.get(kernel);
    if (held === undefined) peer.raft.set(kernel, [...messages]);
    else held.push(...messages);
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => this.#flush());
  }

  forward(to: string, kernel: string, entries: readonly LogEntry[]): Promise<ForwardAnswer> {
    const id = ++this.#forwarded;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#forwarding.delete(id);
        reject(unreachable(to, `silent for ${this.#options.forwardMs} ms`));
      }, this.#options.forwardMs);
      this.#forwarding.set(id, { host: to, resolve, reject, timer });
      if (this.send(to, { t: 'forward', id, kernel, entries })) return;
      this.#failForwards(to, 'there is no link');
    });
  }

  lastContact(host: string): number {
    return this.#peers.get(host)?.lastContact ?? Number.NEGATIVE_INFINITY;
  }

  /** False when there is no link. Chunks of blobs have a link of their own. */
  send(to: string, message: PeerMessage, frames: readonly Uint8Array[] = []): boolean {
    const peer = this.#peers.get(to);
    if (peer === undefined || !peer.talk.up) return false;
    const { faults } = this.#options;
    if (!faults.none) faults.pass(() => void this.#carry(peer, message, frames));
    else return this.#carry(peer, message, frames);
    return true;
  }

  /** A message that came from another host; a wrong field throws, which the link counts. */
  hear(from: string, head: Head, frames: readonly Buffer[]): void {
    const { faults } = this.#options;
    if (faults.none) this.#take(from, head as unknown as PeerMessage, frames);
    else faults.pass(() => this.#take(from, head as unknown as PeerMessage, frames));
  }

  close(): void {
    clearInterval(this.#beats);
    for (const peer of this.#peers.values()) {
      peer.talk.close();
      peer.bulk.close();
      this.#failForwards(peer.address.host, 'this agent ends');
    }
    this.#peers.clear();
    this.#speakers.clear();
    this.#server.close();
  }

  #connect(address: HostAddress): LinkClient {
    const { host, keys, log, nearby } = this.#options;
    const proof = keyProof(keys, address.key, 'peer');
    return new LinkClient({
      nearby,
      endpoint: address.peer,
      serverKey: address.key,
      keys,
      words: peerWords,
      log,
      hello: () => ({ t: 'peer-hello', v: WIRE_FORMAT, host, key: keys.publicKey, proof }),
      onUp: () => log.debug({ to: address.host }, 'linked'),
      onDown: () => {
        this.#failForwards(address.host, 'the link was lost');
        this.#options.onDown(address.host);
      },
      // Each side speaks over the link that it made: only refusals come back on it.
      onMessage: () => undefined,
    });
  }

  #carry(peer: Peer, message: PeerMessage, frames: readonly Uint8Array[]): boolean {
    return (message.t === 'blob' ? peer.bulk : peer.talk).send(message, frames);
  }

  #flush(): void {
    this.#flushing = false;
    for (const [host, peer] of this.#peers) {
      if (peer.raft.size === 0) continue;
      const held = Array.from(peer.raft, ([kernel, messages]) => ({ kernel, messages }));
      peer.raft = new Map();
      const { groups, frames } = packGroups(held);
      this.send(host, { t: 'raft', groups: groups as never }, frames);
    }
  }

  #beat(): void {
    const at = performance.now();
    for (const [host, peer] of this.#peers)
      this.send(host, { t: 'peer-beat', at, echo: peer.lastBeat, resting: [] });
  }

  #take(from: string, message: PeerMessage, frames: readonly Buffer[]): void {
    const peer = this.#peers.get(from);
    if (peer !== undefined) peer.lastContact = performance.now();
    switch (message.t) {
      case 'peer-beat':
        if (peer === undefined) return;
        peer.lastBeat = message.at;
        return;
      case 'raft':
        for (const { kernel, messages } of unpackGroups(message.groups, frames))
          this.#options.onRaft(kernel, messages, from);
        return;
      case 'forward':
        void this.#propose(from, message.id, message.kernel, message.entries);
        return;
      case 'forwarded': {
        const forwarding = this.#forwarding.get(message.id);
        if (forwarding?.host !== from) return;
        clearTimeout(forwarding.timer);
        this.#forwarding.delete(message.id);
        const { ok, code, leader } = message;
        forwarding.resolve({ ok, code, leader });
        return;
      }
      case 'peer-hello':
        return;
      default:
        this.#options.onBlob(from, message, frames);
    }
  }

  async #propose(
    from: string,
    id: number,
    kernel: string,
    entries: readonly LogEntry[],
  ): Promise<void> {
    let answer: ForwardAnswer;
    try {
      answer = await this.#options.onForward(kernel, entries);
    } catch (error) {
      this.#options.log.warn({ err: error, kernel }, 'a forwarded proposal failed');
      answer = { ok: false, code: 'failed', leader: '' };
    }
    this.send(from, { t: 'forwarded', id, ...answer });
  }

  #failForwards(host: string, why: string): void {
    for (const [id, forwarding] of this.#forwarding) {
      if (forwarding.host !== host) continue;
      clearTimeout(forwarding.timer);
      this.#forwarding.delete(id);
      forwarding.reject(unreachable(host, why));
    }
  }
}
