import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import type { CellRecord, KernelStatus, SystemStatus } from '../../../live/admin-types.ts';
import { parseHeader, parseObject } from '../../../live/jupyter/fields.ts';
import { messageOf, newHeader } from '../../../live/jupyter/headers.ts';
import type { Channel, JupyterMessage } from '../../../live/jupyter/message.ts';
import { decodeV1, encodeV1, V1_SUBPROTOCOL } from '../../../live/jupyter/websocket-v1.ts';

export const TOKEN = 'fake-token-1';

export interface Asked {
  method: string;
  path: string;
  body: unknown;
}

/** A kernel that takes no time: what arrives and what goes back is data. */
export type Respond = (
  channel: Channel,
  message: JupyterMessage,
  send: (channel: Channel, message: JupyterMessage) => void,
) => void;

export function kernelStatus(id: string, more: Partial<KernelStatus> = {}): KernelStatus {
  return {
    id,
    user: 'admin',
    spec: 'python3',
    path: '',
    state: 'idle',
    executor: '',
    replicas: [],
    unreplicated: [],
    pinned: [],
    stateBytes: 0,
    savedMs: 0,
    queue: [],
    ...more,
  };
}

/** The routes of a gateway that the commands use, answering from what a test puts in. */
export class FakeGateway {
  readonly asked: Asked[] = [];
  status: SystemStatus = {
    gateway: { pid: 1, url: '', version: '0', policy: 'notebookos', startedAt: '2026-01-01' },
    hosts: [
      {
        id: 'h1',
        pid: 11,
        up: true,
        state: 'up',
        gpus: 2,
        gpusCommitted: 1,
        replicas: 1,
        note: '',
      },
      {
        id: 'h2',
        pid: 0,
        up: false,
        state: 'down',
        gpus: 2,
        gpusCommitted: 0,
        replicas: 0,
        note: 'lost',
        unguardedGpus: 'cgroup v2',
      },
    ],
    kernels: [],
  };
  cells: CellRecord[] = [];
  outputs: Record<string, unknown[]> = {};
  journal = '';
  /** answers by 'METHOD path' that replace the usual ones */
  readonly special = new Map<string, { status: number; body: unknown }>();
  respond: Respond = echo;
  interrupts = 0;
  readonly kernels = new Set<string>();
  readonly sockets = new Set<WebSocket>();
  #server: Server;
  #next = 1;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<FakeGateway> {
    const server = createServer();
    const gateway = new FakeGateway(server);
    server.on('request', (request, response) => void gateway.#answer(request, response));
    const sockets = new WebSocketServer({
      noServer: true,
      handleProtocols: (offered) => offered.has(V1_SUBPROTOCOL) && V1_SUBPROTOCOL,
    });
    server.on('upgrade', (request, socket, head) =>
      sockets.handleUpgrade(request, socket, head, (client) => gateway.#attach(client)),
    );
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    gateway.status.gateway.url = gateway.url;
    return gateway;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get env(): NodeJS.ProcessEnv {
    return { ...process.env, NBOS_URL: this.url, NBOS_TOKEN: TOKEN };
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.terminate();
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  #attach(client: WebSocket): void {
    this.sockets.add(client);
    client.on('close', () => this.sockets.delete(client));
    client.on('message', (data: Buffer) => {
      const { channel, message } = decodeV1(data);
      this.respond(channel, message, (to, answer) => client.send(encodeV1(to, answer)));
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = '';
    for await (const piece of request) text += piece;
    const { method = '', url = '' } = request;
    const body: unknown = text === '' ? undefined : JSON.parse(text);
    this.asked.push({ method, path: url, body });
    const send = (status: number, value?: unknown): void => {
      response.statusCode = status;
      response.end(typeof value === 'string' ? value : JSON.stringify(value));
    };
    if (request.headers.authorization !== `token ${TOKEN}`)
      return send(403, { message: 'Forbidden' });
    const special = this.special.get(`${method} ${url}`);
    if (special !== undefined) return send(special.status, special.body);
    const { status, value } = this.#usual(method, url, body);
    send(status, value);
  }

  #usual(method: string, path: string, body: unknown): { status: number; value?: unknown } {
    if (path === '/nbos/status') return { status: 200, value: this.status };
    if (path === '/nbos/faults') return { status: 204 };
    if (path === '/nbos/journal') return { status: 200, value: this.journal };
    if (path === '/nbos/tokens' && method === 'POST')
      return { status: 201, value: { ...(body as object), createdAt: 'now', token: 'secret-1' } };
    if (path === '/nbos/tokens')
      return { status: 200, value: [{ name: 'admin', admin: true, createdAt: 'then' }] };
    const cells = /^\/nbos\/kernels\/([^/]+)\/cells(?:\/(.+))?$/.exec(path);
    if (cells !== null)
      return cells[2] === undefined
        ? { status: 200, value: this.cells }
        : { status: 200, value: { outputs: this.outputs[cells[2]] ?? [] } };
    if (path === '/api/kernels' && method === 'POST') return { status: 201, value: this.#made() };
    if (path === '/api/sessions' && method === 'POST')
      return { status: 201, value: { id: `s${(body as { kernel: { id: string } }).kernel.id}` } };
    if (method === 'DELETE') {
      this.kernels.delete(path.split('/').at(-1)!.replace(/^s/, ''));
      return { status: 204 };
    }
    if (path.endsWith('/interrupt')) {
      this.interrupts++;
      return { status: 204 };
    }
    if (path === '/api/kernelspecs') {
      const spec = { display_name: 'Python 3', language: 'python' };
      return { status: 200, value: { default: 'python3', kernelspecs: { python3: { spec } } } };
    }
    return { status: 404, value: { message: 'no such route' } };
  }

  #made(): { id: string } {
    const id = `k${this.#next++}`;
    this.kernels.add(id);
    return { id };
  }
}

/** Answers execute_request and kernel_info_request as the smallest kernel would. */
export const echo: Respond = (channel, message, send) => {
  const header = parseHeader(message.header)!;
  const parent = message.header;
  const answer = (to: Channel, type: string, content: object): void =>
    send(to, messageOf({ header: newHeader(type, 'fake'), parent, content }));
  if (channel !== 'shell') return;
  if (header.msg_type === 'kernel_info_request') {
    const info = { status: 'ok', protocol_version: '5.4', implementation: 'fake' };
    const language = { name: 'python', version: '3', mimetype: 'text/x-python' };
    answer('iopub', 'status', { execution_state: 'busy' });
    const more = { language_info: language, implementation_version: '0', banner: '' };
    answer('shell', 'kernel_info_reply', { ...info, ...more });
    answer('iopub', 'status', { execution_state: 'idle' });
  } else if (header.msg_type === 'execute_request') {
    const code = String(parseObject(message.content)?.['code']);
    answer('iopub', 'status', { execution_state: 'busy' });
    answer('iopub', 'execute_input', { code, execution_count: 1 });
    answer('iopub', 'stream', { name: 'stdout', text: `ran ${code}` });
    answer('shell', 'execute_reply', { status: 'ok', execution_count: 1, user_expressions: {} });
    answer('iopub', 'status', { execution_state: 'idle' });
  } else answer('shell', header.msg_type.replace('_request', '_reply'), { status: 'ok' });
};
