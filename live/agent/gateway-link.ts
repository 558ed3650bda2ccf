import type { Logger } from 'pino';
import type { Head } from '../wire/codec.ts';
import type { KeyPair } from '../wire/keys.ts';
import { LinkClient } from '../wire/link-client.ts';
import type { AgentHello, AgentNotice, ManyNotices } from '../wire/messages.ts';
import type { Nearby } from '../wire/nearby.ts';
import { gatewayWords } from '../wire/shapes.ts';
import type { LinkFaults } from './link-faults.ts';

export interface GatewayLinkOptions {
  gateway: { endpoint: string; key: string };
  keys: KeyPair;
  log: Logger;
  nearby?: Nearby | undefined;
  faults: LinkFaults;
  /** most notices, and bytes of their frames, that wait for a link */
  heldNotices: number;
  heldBytes: number;
  hello(): AgentHello;
  onRefused?: ((why: string) => void) | undefined;
  onMessage(head: Head, frames: readonly Buffer[]): void;
}

interface Held {
  notice: AgentNotice;
  frames: readonly Uint8Array[];
  bytes: number;
}

/**
 * The agent's link to its gateway. What is told while there is none is kept in order and follows
 * the next hello, but for beats, and for outputs, which the gateway asks for again by number.
 */
export class GatewayLink {
  readonly #options: GatewayLinkOptions;
  readonly #client: LinkClient;
  /** said in this turn of the loop */
  #turn: AgentNotice[] = [];
  #held: Held[] = [];
  #heldBytes = 0;
  #greeted = false;
  readonly #onGreeted: (() => void)[] = [];

  constructor(options: GatewayLinkOptions) {
    this.#options = options;
    const { gateway, keys, log } = options;
    this.#client = new LinkClient({
      endpoint: gateway.endpoint,
      serverKey: gateway.key,
      keys,
      words: gatewayWords,
      log,
      nearby: options.nearby,
      hello: () => options.hello(),
      onUp: () => this.#up(),
      onDown: () => log.warn('the link to the gateway is lost'),
      onRefused: options.onRefused,
      onMessage: (head, frames) => this.#hear(head, frames),
    });
  }

  get up(): boolean {
    return this.#client.up;
  }

  get dropped(): number {
    return this.#client.dropped;
  }

  /** Resolves when hello has been said for the first time. */
  greeted(): Promise<void> {
    if (this.#greeted) return Promise.resolve();
    return new Promise((resolve) => void this.#onGreeted.push(resolve));
  }

  /** Never waits; see Tell. What has no frames leaves with all else of this turn. */
  tell(notice: AgentNotice, frames: readonly Uint8Array[] = []): void {
    if (frames.length === 0) {
      if (this.#turn.push(notice) === 1) queueMicrotask(() => this.#endTurn());
      return;
    }
    this.#endTurn();
    this.#say(notice, frames);
  }

  #endTurn(): void {
    const notices = this.#turn;
    if (notices.length === 0) return;
    this.#turn = [];
    this.#say(notices.length === 1 ? notices[0]! : { t: 'many', notices }, []);
  }

  #say(notice: AgentNotice | ManyNotices, frames: readonly Uint8Array[]): void {
    const { faults } = this.#options;
    if (faults.none) {
      if (!this.#client.send(notice, frames)) this.#hold(notice, frames);
    } else if (faults.isCut) this.#hold(notice, frames);
    else faults.pass(() => void this.#client.send(notice, frames));
  }

  /** An answer is worth nothing once its link is gone. */
  answer(answer: Head): void {
    this.#endTurn();
    const { faults } = this.#options;
    if (faults.none) this.#client.send(answer);
    else faults.pass(() => void this.#client.send(answer));
  }

  /** Says hello anew, as after a time without contact. */
  reconnect(): void {
    this.#client.reconnect();
  }

  close(): void {
    this.#held = [];
    this.#client.close();
  }

  #up(): void {
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    for (const { notice, frames } of held) this.#client.send(notice, frames);
    this.#options.log.info({ held: held.length }, 'linked to the gateway');
    this.#greeted = true;
    for (const resolve of this.#onGreeted.splice(0)) resolve();
  }

  #hold(notice: AgentNotice | ManyNotices, frames: readonly Uint8Array[]): void {
    if (notice.t === 'many') {
      for (const each of notice.notices) this.#hold(each, frames);
      return;
    }
    if (notice.t === 'output' || notice.t === 'agent-beat') return;
    const bytes = frames.reduce((sum, frame) => sum + frame.byteLength, 0);
    this.#held.push({ notice, frames, bytes });
    this.#heldBytes += bytes;
    const { heldNotices, heldBytes } = this.#options;
    while (this.#held.length > heldNotices || this.#heldBytes > heldBytes) {
      // Reports after the next hello say what the oldest said; only its answers to clients go.
      this.#heldBytes -= this.#held.shift()!.bytes;
    }
  }

  #hear(head: Head, frames: readonly Buffer[]): void {
    const { faults } = this.#options;
    if (faults.none) this.#options.onMessage(head, frames);
    else faults.pass(() => this.#options.onMessage(head, frames));
  }
}
