import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { WebSocket } from 'ws';

/** A message as clients see it; buffers left out. */
export interface Message {
  channel: string;
  header: { msg_id: string; msg_type: string; session: string };
  parent_header: { msg_id?: string };
  metadata: Record<string, unknown>;
  content: Record<string, unknown>;
}

export interface Running {
  readonly msgId: string;
  /** everything on iopub with this request as parent, in order */
  readonly outputs: Message[];
  /** execute_reply's content, once it and `idle` have come */
  readonly done: Promise<Record<string, unknown>>;
}

const V1 = 'v1.kernel.websocket.jupyter.org';
/** ms after which whatever is waited for is given up: much more than a busy machine takes */
export const WAIT_MS = 60_000;
const CHANNELS = ['shell', 'control', 'iopub', 'stdin'];

/**
 * A notebook's connection, written apart from the gateway's code and used against stock servers
 * too. `framing` is 'v1' or 'legacy'.
 */
export class NotebookClient {
  readonly session: string;
  /** every message, in order of arrival */
  readonly received: Message[] = [];
  closed: { code: number } | undefined;
  private readonly socket: WebSocket;
  private readonly framing: 'v1' | 'legacy';
  private readonly waiting = new Set<(message: Message) => void>();

  private constructor(socket: WebSocket, session: string, framing: 'v1' | 'legacy') {
    this.socket = socket;
    this.session = session;
    this.framing = framing;
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      this.take(isBinary ? decodeV1(data) : (JSON.parse(data.toString()) as Message));
    });
    socket.on('close', (code) => {
      this.closed = { code };
    });
    socket.on('error', () => {
      this.closed ??= { code: 1006 };
    });
  }

  static async open(
    url: string,
    token: string,
    kernel: string,
    options: { session?: string; framing?: 'v1' | 'legacy' } = {},
  ): Promise<NotebookClient> {
    const session = options.session ?? randomUUID();
    const framing = options.framing ?? 'v1';
    const address = `${url.replace('http', 'ws')}/api/kernels/${kernel}/channels`;
    const socket = new WebSocket(`${address}?session_id=${session}`, framing === 'v1' ? [V1] : [], {
      headers: { authorization: `token ${token}` },
      perMessageDeflate: false,
    });
    const client = new NotebookClient(socket, session, framing);
    await once(socket, 'open', { signal: AbortSignal.timeout(WAIT_MS) });
    return client;
  }

  /** Runs code; `done` rejects after `limitMs` or when the connection goes. */
  execute(
    code: string,
    options: {
      limitMs?: number;
      silent?: boolean;
      storeHistory?: boolean;
      stopOnError?: boolean;
      allowStdin?: boolean;
      metadata?: Record<string, unknown>;
    } = {},
  ): Running {
    const content = {
      code,
      silent: options.silent ?? false,
      store_history: options.storeHistory ?? true,
      user_expressions: {},
      allow_stdin: options.allowStdin ?? false,
      stop_on_error: options.stopOnError ?? true,
    };
    const msgId = this.send('shell', 'execute_request', content, options.metadata);
    return this.follow(msgId, options.limitMs ?? WAIT_MS);
  }

  /** Waits for reply and idle of a request, also one sent by an earlier connection. */
  follow(msgId: string, limitMs = WAIT_MS): Running {
    const outputs: Message[] = [];
    let reply: Record<string, unknown> | undefined;
    let idle = false;
    const done = new Promise<Record<string, unknown>>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(look);
        reject(new Error(`no ${reply ? 'idle' : 'reply'} to ${msgId} within ${limitMs} ms`));
      }, limitMs);
      const look = (message: Message): void => {
        if (message.parent_header.msg_id !== msgId) return;
        if (message.channel === 'iopub') outputs.push(message);
        if (message.header.msg_type === 'execute_reply') reply = message.content;
        idle ||= message.content['execution_state'] === 'idle';
        if (reply === undefined || !idle) return;
        clearTimeout(timer);
        this.waiting.delete(look);
        resolve(reply);
      };
      for (const message of this.received) look(message);
      this.waiting.add(look);
    });
    // Whoever does not wait for it must not crash the test run.
    done.catch(() => undefined);
    return { msgId, outputs, done };
  }

  /** Runs code to its end: text printed or shown, and the reply. */
  async run(code: string, options: Parameters<NotebookClient['execute']>[1] = {}) {
    const running = this.execute(code, options);
    const reply = await running.done;
    return { reply, text: textOf(running.outputs), outputs: running.outputs };
  }

  /** Sends any request and waits for its answer on the same channel. */
  async ask(
    channel: string,
    type: string,
    content: Record<string, unknown> = {},
    limitMs = WAIT_MS,
  ): Promise<Message> {
    const msgId = this.send(channel, type, content);
    return this.next(
      (message) => message.channel === channel && message.parent_header.msg_id === msgId,
      limitMs,
    );
  }

  /** The first message, received already or yet to come, that is as wanted. */
  next(wanted: (message: Message) => boolean, limitMs = WAIT_MS): Promise<Message> {
    const found = this.received.find(wanted);
    if (found !== undefined) return Promise.resolve(found);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(look);
        reject(new Error(`the message did not come within ${limitMs} ms`));
      }, limitMs);
      const look = (message: Message): void => {
        if (!wanted(message)) return;
        clearTimeout(timer);
        this.waiting.delete(look);
        resolve(message);
      };
      this.waiting.add(look);
    });
  }

  send(
    channel: string,
    type: string,
    content: Record<string, unknown>,
    metadata: Record<string, unknown> = {},
    parent: Record<string, unknown> = {},
  ): string {
    const header = {
      msg_id: randomUUID(),
      msg_type: type,
      session: this.session,
      username: 'tester',
      date: new Date().toISOString(),
      version: '5.3',
    };
    const parts = { header, parent_header: parent, metadata, content };
    this.socket.send(
      this.framing === 'v1'
        ? encodeV1(channel, parts)
        : JSON.stringify({ channel, ...parts, buffers: [] }),
    );
    return header.msg_id;
  }

  /** `hard`: without a closing handshake, as when a laptop is shut. */
  close(hard = false): void {
    if (hard) this.socket.terminate();
    else this.socket.close();
  }

  private take(message: Message): void {
    this.received.push(message);
    for (const look of [...this.waiting]) look(message);
  }
}

/** What a user would read below the cell. */
export function textOf(outputs: readonly Message[]): string {
  return outputs
    .map(({ header, content }) => {
      if (header.msg_type === 'stream') return content['text'] as string;
      if (header.msg_type === 'error') return `${content['ename']}: ${content['evalue']}\n`;
      const data = content['data'] as Record<string, string> | undefined;
      return data?.['text/plain'] ?? '';
    })
    .join('');
}

function encodeV1(channel: string, parts: object): Buffer {
  const sections = [channel, ...Object.values(parts).map((part) => JSON.stringify(part))].map(
    (text) => Buffer.from(text),
  );
  const head = Buffer.alloc(8 * (sections.length + 2));
  head.writeBigUInt64LE(BigInt(sections.length + 1), 0);
  let offset = head.length;
  sections.forEach((section, at) => {
    head.writeBigUInt64LE(BigInt(offset), 8 * (at + 1));
    offset += section.length;
  });
  head.writeBigUInt64LE(BigInt(offset), 8 * (sections.length + 1));
  return Buffer.concat([head, ...sections]);
}

function decodeV1(data: Buffer): Message {
  const count = Number(data.readBigUInt64LE(0));
  const offsets = Array.from({ length: count }, (_, at) =>
    Number(data.readBigUInt64LE(8 * (at + 1))),
  );
  const part = (at: number): string => data.subarray(offsets[at], offsets[at + 1]).toString();
  if (!CHANNELS.includes(part(0))) throw new Error(`no such channel: ${part(0)}`);
  const [header, parent_header, metadata, content] = [1, 2, 3, 4].map((at) => JSON.parse(part(at)));
  return { channel: part(0), header, parent_header, metadata, content };
}
