import type { Channel, JupyterMessage } from '../jupyter/message.ts';

/** What the Jupyter API asks of the rest of the gateway. Users see their own kernels only. */
export interface KernelService {
  /** Answer of GET /api/kernelspecs, and the folder of each spec's resource files. */
  specs(): Promise<KernelSpecs>;
  /** Resolves once the kernel answers. NbosError `spec-unknown`, `quota`, `kernel-failed`. */
  create(request: CreateKernel): Promise<KernelModel>;
  list(user: User): KernelModel[];
  /** undefined for an unknown one and for another user's */
  get(kernel: string, user: User): KernelModel | undefined;
  remove(kernel: string): Promise<void>;
  interrupt(kernel: string): Promise<void>;
  restart(kernel: string): Promise<KernelModel>;
  /** Notebook path, name, type of the Jupyter session that the kernel belongs to. */
  annotate(kernel: string, session: SessionFields): Promise<void>;
  /** What `annotate` or `create` stored, so that sessions live as long as their kernels. */
  sessionOf(kernel: string): SessionFields;
  /** Joins a client: it is told the state at once, and gets what others get from here on. */
  attach(kernel: string, client: KernelClient): Attachment;
  /** Outputs of a cell so far in nbformat, with clears and updates folded; undefined when unknown. */
  outputsOf(kernel: string, msgId: string): readonly unknown[] | undefined;
}

export interface User {
  id: string;
  admin: boolean;
}

export interface KernelSpecs {
  default: string;
  specs: Record<string, { name: string; spec: Record<string, unknown>; folder: string }>;
}

export interface CreateKernel extends SessionFields {
  spec: string;
  user: User;
  /** KERNEL_* as sent */
  env: Record<string, string>;
}

export interface SessionFields {
  path: string;
  name: string;
  type: string;
  /** id of the Jupyter session, '' for none */
  id: string;
}

export interface KernelModel {
  id: string;
  name: string;
  /** 2026-11-23T13:09:56.416462Z */
  last_activity: string;
  execution_state: 'starting' | 'idle' | 'busy' | 'restarting' | 'dead';
  connections: number;
  reason?: string;
}

/** One connection, in whatever framing. */
export interface KernelClient {
  readonly user: User;
  /** of the URL; '' when it sent none */
  readonly session: string;
  /** Hands over a message; false when the client does not read and is being dropped. */
  send(channel: Channel, message: JupyterMessage): boolean;
  /** bytes accepted and not yet on the wire */
  readonly backlog: number;
  close(code: 1001 | 1011 | 1012, reason: string): void;
}

export interface Attachment {
  /** A message of the client; malformed ones throw NbosError `message-invalid`. */
  receive(channel: Channel, message: JupyterMessage): void;
  detach(): void;
}
