import { pino } from 'pino';
import { resolveConfig } from '../../../core/config/config.ts';
import type { PartialConfig } from '../../../core/config/options.ts';
import { notebookos } from '../../../core/policies/notebookos.ts';
import type { Policy } from '../../../core/policies/policy.ts';
import { Brain, type BrainOptions } from '../../../live/gateway/brain.ts';
import { liveConfig } from '../../../live/gateway/gateway.ts';
import type { Attachment, KernelClient } from '../../../live/gateway/kernel-service.ts';
import { GATEWAY_LIMITS, type GatewayLimits } from '../../../live/gateway/limits.ts';
import { messageOf, newHeader } from '../../../live/jupyter/headers.ts';
import type { Channel, JupyterMessage } from '../../../live/jupyter/message.ts';
import { FakeAgents } from './fake-agents.ts';

export const USER = { id: 'ann', admin: false };
const SPECS = {
  default: 'python3',
  specs: {
    python3: {
      name: 'python3',
      spec: { argv: ['python3', '{connection_file}'], env: {}, language: 'python', metadata: {} },
      folder: '',
    },
  },
};
const WAIT_MS = 30_000;

export interface Kit {
  agents: FakeAgents;
  brain: Brain;
}

export interface KitOptions {
  hosts?: number;
  config?: PartialConfig;
  limits?: Partial<GatewayLimits>;
  /** before it starts */
  prepare?: (brain: Brain) => void;
  provisioner?: BrainOptions['provisioner'];
  policy?: Policy;
  /** those whose agents are there from the start; all when left out */
  connected?: readonly string[];
}

/** A gateway's inside with agents in memory. */
export function startKit(options: KitOptions = {}): Kit {
  const { hosts = 4, config = {}, limits = {}, prepare, provisioner, policy } = options;
  const agents = new FakeAgents(hosts);
  const brain = newBrain(agents, config, limits, prepare, provisioner, policy);
  agents.connect(brain, options.connected);
  return { agents, brain };
}

/** Another gateway over the same agents; the one before must have been closed. */
export function newBrain(
  agents: FakeAgents,
  config: PartialConfig = {},
  limits: Partial<GatewayLimits> = {},
  prepare: (brain: Brain) => void = () => undefined,
  provisioner?: BrainOptions['provisioner'],
  policy: Policy = notebookos,
): Brain {
  const layers: PartialConfig[] = [
    policy.defaults,
    policy === notebookos ? { prewarmPool: 'none' } : {},
    { gpusPerHost: 2, hosts: agents.hosts.length },
    config,
  ];
  const brain = new Brain({
    policy,
    config: liveConfig(resolveConfig(...layers), agents.hosts.length, provisioner !== undefined),
    provisioner,
    links: agents,
    log: pino({ level: process.env['NBOS_LOG'] ?? 'silent' }),
    limits: { ...GATEWAY_LIMITS, beatMs: 20, hostLeaseMs: 200, recoveryMs: 200, ...limits },
    hosts: agents.hosts,
    specs: () => Promise.resolve(SPECS),
    workspace: '/',
    defaultGpus: 1,
    clock: Date.now,
  });
  prepare(brain);
  brain.start();
  return brain;
}

export function stopKit({ agents, brain }: Kit): void {
  brain.close();
  agents.close();
}

export async function create({ brain }: Kit, env: Record<string, string> = {}): Promise<string> {
  const session = { path: 'a.ipynb', name: 'a', type: 'notebook', id: 's' };
  const model = await brain.kernels.create({ spec: 'python3', user: USER, env, ...session });
  return model.id;
}

interface Received {
  channel: Channel;
  type: string;
  parent: string;
  content: Record<string, unknown>;
}

let nextId = 0;

/** A notebook: keeps what it gets. */
export class Client implements KernelClient {
  readonly user = USER;
  readonly session: string;
  readonly backlog = 0;
  readonly received: Received[] = [];
  closed = 0;
  attachment: Attachment | undefined;

  constructor(session: string) {
    this.session = session;
  }

  attach(brain: Brain, kernel: string): this {
    this.attachment = brain.kernels.attach(kernel, this);
    return this;
  }

  send(channel: Channel, message: JupyterMessage): boolean {
    const header = parsed(message.header);
    const type = header['msg_type'] as string;
    const parent = (parsed(message.parent)['msg_id'] ?? '') as string;
    this.received.push({ channel, type, parent, content: parsed(message.content) });
    return true;
  }

  close(code: number): void {
    this.closed = code;
  }

  /** Sends a request and returns its msg_id. */
  ask(type: string, content: object, metadata: object = {}, channel: Channel = 'shell'): string {
    const header = newHeader(type, this.session);
    header.msg_id = `${this.session}-${nextId++}`;
    this.again(header, content, metadata, channel);
    return header.msg_id;
  }

  again(
    header: ReturnType<typeof newHeader>,
    content: object,
    metadata: object,
    channel: Channel,
  ): void {
    this.attachment!.receive(channel, messageOf({ header, content, metadata }));
  }

  run(code: string, metadata: object = {}, more: object = {}): string {
    return this.ask('execute_request', { code, silent: false, ...more }, metadata);
  }

  of(parent: string, type: string): Record<string, unknown>[] {
    return this.received
      .filter((each) => each.parent === parent && each.type === type)
      .map(({ content }) => content);
  }

  async reply(parent: string, type = 'execute_reply'): Promise<Record<string, unknown>> {
    await until(() => this.of(parent, type).length > 0, `${type} of ${parent}`);
    return this.of(parent, type)[0]!;
  }

  text(parent: string): string {
    return this.of(parent, 'stream')
      .map(({ text }) => text)
      .join('');
  }
}

function parsed(bytes: Uint8Array): Record<string, unknown> {
  return JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>;
}

export async function until(holds: () => boolean, what: string, ms = WAIT_MS): Promise<void> {
  const end = Date.now() + ms;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
