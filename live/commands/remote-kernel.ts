import { randomUUID } from 'node:crypto';
import { WebSocket } from 'ws';
import { NbosError } from '../../core/errors.ts';
import { parseHeader } from '../jupyter/fields.ts';
import type { Channel, JupyterMessage, MessageHeader } from '../jupyter/message.ts';
import { decodeV1, encodeV1, V1_SUBPROTOCOL } from '../jupyter/websocket-v1.ts';
import type { AdminClient } from './admin-client.ts';

/** A start may have to wait for hosts; the gateway answers within a minute or refuses. */
const CREATE_MS = 90_000;
const HANDSHAKE_MS = 10_000;
const RETRY_MS = 200;
/** How long a gateway may be away, as after a restart, before its kernels are given up. */
const AWAY_MS = 60_000;
/** Messages kept while there is no connection. */
const MOST_WAITING = 10_000;

export interface CreateRemote {
  /** kernelspec, '' for the gateway's own choice */
  spec: string;
  /** KERNEL_* variables */
  env: Record<string, string>;
  /** notebook that the kernel belongs to; '' for none */
  path: string;
}

/**
 * A kernel of a gateway as an ordinary client has it: made over REST, spoken to over a WebSocket in
 * the framing v1, which is opened again when it closes.
 */
export class RemoteKernel {
  readonly id: string;
  /** of our connection; messages may carry other sessions */
  readonly session = randomUUID();
  onMessage: (channel: Channel, message: JupyterMessage, header: MessageHeader) => void = () =>
    undefined;
  /** The kernel or the gateway is gone for good. */
  onLost: (error: NbosError) => void = () => undefined;
  readonly #client: AdminClient;
  /** id of its Jupyter session, '' for a kernel without one */
  readonly #jupyterSession: string;
  #socket: WebSocket | undefined;
  #waiting: Buffer[] = [];
  #awaySince = 0;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor(client: AdminClient, id: string, jupyterSession: string) {
    this.#client = client;
    this.id = id;
    this.#jupyterSession = jupyterSession;
  }

  /** Makes a kernel and connects to it. @throws what the gateway refuses with */
  static async create(client: AdminClient, wanted: CreateRemote): Promise<RemoteKernel> {
    const { id, jupyterSession } = await made(client, wanted);
    const kernel = new RemoteKernel(client, id, jupyterSession);
    try {
      await kernel.#connect();
    } catch (error) {
      await kernel.close().catch(() => undefined);
      throw error;
    }
    return kernel;
  }

  send(channel: Channel, message: JupyterMessage): void {
    const frame = encodeV1(channel, message);
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(frame);
    else if (this.#waiting.length < MOST_WAITING) this.#waiting.push(frame);
  }

  async interrupt(): Promise<void> {
    await this.#client.send(`/api/kernels/${this.id}/interrupt`, { method: 'POST' });
  }

  /** Ends the kernel; one that is gone already is no error. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#socket?.terminate();
    const path =
      this.#jupyterSession === ''
        ? `/api/kernels/${this.id}`
        : `/api/sessions/${this.#jupyterSession}`;
    await this.#client.send(path, { method: 'DELETE' }).catch((error: unknown) => {
      if (!(error instanceof NbosError) || error.code !== 'kernel-unknown') throw error;
    });
  }

  #connect(): Promise<void> {
    const { url, token } = this.#client;
    const at = `${url.replace(/^http/, 'ws')}/api/kernels/${this.id}/channels`;
    const socket = new WebSocket(`${at}?session_id=${this.session}`, [V1_SUBPROTOCOL], {
      headers: token === '' ? {} : { authorization: `token ${token}` },
      perMessageDeflate: false,
      handshakeTimeout: HANDSHAKE_MS,
      maxPayload: 0,
    });
    this.#socket = socket;
    socket.on('message', (data: Buffer) => this.#receive(data));
    socket.on('close', () => this.#away(socket));
    return new Promise((resolve, reject) => {
      socket.once('open', () => {
        this.#awaySince = 0;
        for (const frame of this.#waiting.splice(0)) socket.send(frame);
        resolve();
      });
      socket.on('error', (error) =>
        reject(new NbosError('gateway-unreachable', `${url}: ${error.message}`, 'Try again.')),
      );
      socket.once('unexpected-response', (_request, response) => {
        response.resume();
        const gone = response.statusCode === 404;
        const message = `${url} answered ${response.statusCode} for kernel ${this.id}`;
        const error = new NbosError(gone ? 'kernel-unknown' : 'request-refused', message);
        if (gone) this.#giveUp(error);
        reject(error);
        socket.terminate();
      });
    });
  }

  #receive(data: Buffer): void {
    try {
      const { channel, message } = decodeV1(data);
      const header = parseHeader(message.header);
      if (header !== undefined) this.onMessage(channel, message, header);
    } catch (error) {
      // One bad frame is the gateway's fault; what follows it may be whole.
      if (!(error instanceof NbosError)) throw error;
    }
  }

  #away(socket: WebSocket): void {
    if (this.#closed || socket !== this.#socket) return;
    const now = performance.now();
    this.#awaySince ||= now;
    if (now - this.#awaySince > AWAY_MS) {
      const message = `${this.#client.url} was away for ${AWAY_MS / 1000} s`;
      this.#giveUp(new NbosError('gateway-unreachable', message, 'Start it again.'));
      return;
    }
    this.#retry = setTimeout(() => void this.#connect().catch(() => undefined), RETRY_MS);
  }

  #giveUp(error: NbosError): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#retry);
    this.onLost(error);
  }
}

/** A kernel by itself first: only that request carries variables; then a session by its path. */
async function made(
  client: AdminClient,
  { spec, env, path }: CreateRemote,
): Promise<{ id: string; jupyterSession: string }> {
  const post = { method: 'POST', timeoutMs: CREATE_MS };
  const body = { ...(spec === '' ? {} : { name: spec }), env };
  const { id } = await client.json<{ id: string }>('/api/kernels', { ...post, body });
  if (path === '') return { id, jupyterSession: '' };
  const named = { path, name: path.split('/').at(-1)!, type: 'notebook', kernel: { id } };
  const session = await client.json<{ id: string }>('/api/sessions', { ...post, body: named });
  return { id, jupyterSession: session.id };
}
