import type { Logger } from 'pino';
import type { Head } from './codec.ts';
import type { KeyPair } from './keys.ts';
import { type LinkCounts, LinkServer } from './link-server.ts';
import type {
  AgentHello,
  AgentNotice,
  GatewayNotice,
  GatewayRequest,
  ManyNotices,
} from './messages.ts';
import type { Nearby } from './nearby.ts';
import { type Answer, Requests } from './requests.ts';
import { agentWords } from './shapes.ts';
import type { Gatekeeper } from './zap.ts';

export interface AgentLinksOptions {
  /** tcp endpoint to listen on */
  endpoint: string;
  keys: KeyPair;
  allowed: Gatekeeper;
  log: Logger;
  nearby?: Nearby | undefined;
  /** Why an agent may not be the host that it says it is; '' when it may. */
  refusal?: (hello: AgentHello) => string;
  /** An agent came, or came back: its reports are the truth from here on. */
  onHello(host: string, hello: AgentHello): void;
  /** Anything else an agent says, in its order. */
  onNotice(host: string, notice: AgentNotice, frames: readonly Buffer[]): void;
  /** The link of a host ended. Often this is seen only by its beats staying away. */
  onLost(host: string): void;
}

const REQUEST_TIMEOUT_MS = 10_000;

/** The gateway's links to all agents, by host. */
export class AgentLinks {
  readonly #server: LinkServer;
  readonly #requests: Requests;
  readonly #connections: Map<string, string>;

  private constructor(server: LinkServer, requests: Requests, connections: Map<string, string>) {
    this.#server = server;
    this.#requests = requests;
    this.#connections = connections;
  }

  /** Throws `port-taken`. */
  static async listen(options: AgentLinksOptions): Promise<AgentLinks> {
    const requests = new Requests();
    const connections = new Map<string, string>();
    const hosts = new Map<string, string>();
    const server = await LinkServer.listen({
      endpoint: options.endpoint,
      keys: options.keys,
      allowed: options.allowed,
      words: agentWords,
      log: options.log,
      nearby: options.nearby,
      onHello: (connection, head) => {
        if (head.t !== 'hello') return false;
        const hello = head as unknown as AgentHello;
        const refusal = options.refusal?.(hello) ?? '';
        if (refusal !== '') {
          server.refuse(connection, 'key-invalid', refusal);
          return false;
        }
        const before = connections.get(hello.host);
        if (before !== undefined && before !== connection) {
          hosts.delete(before);
          requests.failAll(hello.host);
          server.forget(before);
        }
        connections.set(hello.host, connection);
        hosts.set(connection, hello.host);
        options.onHello(hello.host, hello);
        return true;
      },
      onMessage: (connection, head, frames) => {
        const host = hosts.get(connection);
        if (host === undefined) return;
        if (head.t === 'answer') requests.settle(host, head as Answer);
        else for (const notice of noticesOf(head)) options.onNotice(host, notice, frames);
      },
      onGone: (connection) => {
        const host = hosts.get(connection);
        hosts.delete(connection);
        if (host === undefined || connections.get(host) !== connection) return;
        connections.delete(host);
        requests.failAll(host);
        options.onLost(host);
      },
    });
    return new AgentLinks(server, requests, connections);
  }

  get endpoint(): string {
    return this.#server.endpoint;
  }

  get counts(): LinkCounts {
    return this.#server.counts;
  }

  /** Hosts that said hello and are not known to be gone. */
  hosts(): string[] {
    return [...this.#connections.keys()];
  }

  connected(host: string): boolean {
    return this.#connections.has(host);
  }

  /**
   * Resolves with the answer's value: KernelReport[] of `report`, nothing of the others. Rejects
   * with what the agent refused it for, `link-timeout` or `link-lost`.
   */
  request(host: string, request: GatewayRequest, timeoutMs = REQUEST_TIMEOUT_MS): Promise<unknown> {
    return this.#requests.ask(host, request, (head) => this.#send(host, head), timeoutMs);
  }

  /** False when there is no link to the host; it is not kept for later. */
  tell(host: string, notice: GatewayNotice, frames: readonly Uint8Array[] = []): boolean {
    return this.#send(host, notice, frames);
  }

  /** Forgets a host whose beats stayed away: its requests fail now, its messages count no more. */
  drop(host: string): void {
    const connection = this.#connections.get(host);
    if (connection === undefined) return;
    this.#connections.delete(host);
    this.#server.forget(connection);
    this.#requests.failAll(host);
  }

  close(): void {
    for (const host of this.#connections.keys()) this.#requests.failAll(host);
    this.#server.close();
  }

  #send(host: string, head: Head, frames: readonly Uint8Array[] = []): boolean {
    const connection = this.#connections.get(host);
    if (connection === undefined) return false;
    this.#server.send(connection, head, frames);
    return true;
  }
}

/** What is no notice, or says hello out of turn, is passed over. */
function noticesOf(head: Head): AgentNotice[] {
  if (head.t !== 'many') return [head as unknown as AgentNotice];
  const { notices } = head as unknown as ManyNotices;
  return notices.filter(
    (each) => !['many', 'hello', 'answer'].includes(agentWords.check(each)?.t ?? 'many'),
  );
}
