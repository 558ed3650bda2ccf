import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { NbosError } from '../../../core/errors.ts';
import type { HostStatus } from '../../../live/admin-types.ts';
import type { AdminService, Health } from '../../../live/gateway/admin-service.ts';
import { type HttpOptions, type HttpServer, serveHttp } from '../../../live/gateway/http/serve.ts';
import type {
  Attachment,
  CreateKernel,
  KernelClient,
  KernelModel,
  KernelService,
  SessionFields,
  User,
} from '../../../live/gateway/kernel-service.ts';
import { openUsers, type Users } from '../../../live/gateway/users.ts';
import type { Channel, JupyterMessage } from '../../../live/jupyter/message.ts';

interface FakeKernel {
  model: KernelModel;
  user: string;
  fields: SessionFields;
  env: Record<string, string>;
  clients: Set<KernelClient>;
}

/** Kernels that exist in memory only, and echo what a client sends on the channel it came by. */
export class FakeKernels implements KernelService {
  readonly kernels = new Map<string, FakeKernel>();
  readonly received: { channel: Channel; message: JupyterMessage }[] = [];
  readonly calls: string[] = [];
  folder = '';
  createMs = 0;
  /** how many are being made */
  creating = 0;

  async specs() {
    const spec = { argv: ['python3'], display_name: 'Python 3', language: 'python', env: {} };
    return {
      default: 'python3',
      specs: { python3: { name: 'python3', spec, folder: this.folder } },
    };
  }

  async create({ spec, user, env, path, name, type, id }: CreateKernel): Promise<KernelModel> {
    if (spec !== 'python3') throw new NbosError('spec-unknown', `no kernelspec ${spec}`);
    this.creating++;
    if (this.createMs > 0) await new Promise((resolve) => setTimeout(resolve, this.createMs));
    this.creating--;
    const model: KernelModel = {
      id: randomUUID(),
      name: spec,
      last_activity: '2026-11-23T13:09:56.416462Z',
      execution_state: 'idle',
      connections: 0,
    };
    const fields = { path, name, type, id };
    this.kernels.set(model.id, { model, user: user.id, fields, env, clients: new Set() });
    return model;
  }

  list(user: User): KernelModel[] {
    const own = [...this.kernels.values()].filter((each) => user.admin || each.user === user.id);
    return own.map(({ model, clients }) => ({ ...model, connections: clients.size }));
  }

  get(kernel: string, user: User): KernelModel | undefined {
    return this.list(user).find(({ id }) => id === kernel);
  }

  async remove(kernel: string): Promise<void> {
    for (const client of this.of(kernel).clients) client.close(1001, 'kernel removed');
    this.kernels.delete(kernel);
  }

  async interrupt(kernel: string): Promise<void> {
    this.calls.push(`interrupt ${kernel}`);
  }

  async restart(kernel: string): Promise<KernelModel> {
    this.calls.push(`restart ${kernel}`);
    return this.of(kernel).model;
  }

  async annotate(kernel: string, session: SessionFields): Promise<void> {
    this.of(kernel).fields = session;
  }

  sessionOf(kernel: string): SessionFields {
    return this.of(kernel).fields;
  }

  attach(kernel: string, client: KernelClient): Attachment {
    const { clients } = this.of(kernel);
    clients.add(client);
    return {
      receive: (channel, message) => {
        this.received.push({ channel, message });
        client.send(channel, message);
      },
      detach: () => clients.delete(client),
    };
  }

  outputsOf(_: string, msgId: string): readonly unknown[] | undefined {
    if (msgId !== 'm1') return undefined;
    return [
      { output_type: 'stream', name: 'stdout', text: ['one\n', 'two\n'] },
      { output_type: 'execute_result', data: { 'text/plain': '3' }, metadata: {} },
    ];
  }

  of(kernel: string): FakeKernel {
    const found = this.kernels.get(kernel);
    if (found === undefined) throw new NbosError('kernel-unknown', `no kernel ${kernel}`);
    return found;
  }
}

const HOST = { pid: 1, up: true, gpus: 2, gpusCommitted: 0, replicas: 1, note: '' };

export class FakeAdmin implements AdminService {
  state: Health = { ready: true, draining: false, reason: '' };
  readonly faults: unknown[] = [];

  health(): Health {
    return this.state;
  }

  status() {
    const gateway = { pid: 1, url: '', version: '0', policy: 'notebookos', startedAt: '' };
    return { gateway, hosts: [], kernels: [] };
  }

  async migrate(): Promise<never> {
    throw new NbosError('migrate-refused', 'there are as many hosts as replicas', 'Add a host.');
  }

  async recover(): Promise<never> {
    throw new NbosError('change-refused', 'nothing is lost', 'See `nbos kernels`.');
  }

  drainHost(host: string): HostStatus {
    return { ...HOST, id: host, state: 'draining' };
  }

  enableHost(host: string): HostStatus {
    if (host !== 'h1') throw new NbosError('request-invalid', `no host is called ${host}`);
    return { ...HOST, id: host, state: 'up' };
  }

  async fault(request: unknown): Promise<void> {
    this.faults.push(request);
  }

  cellsOf() {
    return [{ cell: 0, msgId: 'm1', count: 1, state: 'ok' as const, code: '1', cellId: '' }];
  }

  async workspaceSights(mark: string) {
    return [{ host: mark, sees: 'yes' as const }];
  }

  async drain() {
    return { running: 0 };
  }

  async *journal() {
    const line = { t: 'session', session: 1, kernel: 'k', user: 'u', path: '', name: '' } as const;
    for (let at = 0; at < 1000; at++) yield line;
  }
}

/** A response whose JSON may be anything. */
export type Answer = Omit<Response, 'json'> & { json(): Promise<ReturnType<typeof JSON.parse>> };

export function fetched(url: string, init: RequestInit = {}): Promise<Answer> {
  return fetch(url, init) as Promise<Answer>;
}

export interface Served {
  server: HttpServer;
  service: FakeKernels;
  admin: FakeAdmin;
  users: Users;
  token: string;
  registry: Registry;
  /** lines of the log */
  log: string[];
  folder: string;
  /** fetch of a path with the admin's token */
  ask(path: string, options?: RequestInit & { json?: unknown }): Promise<Answer>;
  stop(): Promise<void>;
}

/** The HTTP side over kernels in memory, on a free port. */
export async function served(options: Partial<HttpOptions> = {}): Promise<Served> {
  const folder = await mkdtemp(join(tmpdir(), 'nbos-http-'));
  const { users, adminToken: token } = await openUsers(join(folder, 'keys'));
  const service = new FakeKernels();
  const admin = new FakeAdmin();
  const registry = new Registry();
  const log: string[] = [];
  const contentsRoot = join(folder, 'work');
  await mkdir(contentsRoot);
  const server = await serveHttp({
    service,
    admin,
    users,
    host: '127.0.0.1',
    port: 0,
    log: pino({ level: 'debug' }, { write: (line: string) => void log.push(line) }),
    metrics: registry,
    contentsRoot,
    enableFaults: false,
    version: '0.1.0',
    ...options,
  });
  const ask = (path: string, { json, ...init }: RequestInit & { json?: unknown } = {}) =>
    fetched(server.url + path, {
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
      ...init,
      headers: { authorization: `token ${token}`, ...init.headers },
    });
  const stop = async (): Promise<void> => {
    await server.close(false);
    await rm(folder, { recursive: true, force: true });
  };
  return { server, service, admin, users, token, registry, log, folder: contentsRoot, ask, stop };
}
