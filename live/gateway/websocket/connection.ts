import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import type { WebSocket } from 'ws';
import { NbosError } from '../../../core/errors.ts';
import type { Channel, JupyterMessage } from '../../jupyter/message.ts';
import { turnBegins } from '../../wire/loop-turns.ts';
import type { HttpLimits } from '../http/limits.ts';
import type { HttpMetrics } from '../http/metrics.ts';
import type { Attachment, KernelClient, User } from '../kernel-service.ts';
import type { Framing } from './framing.ts';

/** Longest reason of a close frame, in bytes. */
const REASON_BYTES = 123;

export interface ConnectionParts {
  ws: WebSocket;
  socket: Duplex;
  user: User;
  kernel: string;
  session: string;
  framing: Framing;
  limits: HttpLimits;
  metrics: HttpMetrics;
  log: Logger;
}

/**
 * One client's WebSocket. What it does not read piles up in its socket; above the limit it is
 * dropped, so that the kernel never waits, and it may connect again for what it missed.
 */
export class Connection implements KernelClient {
  readonly user: User;
  readonly kernel: string;
  readonly session: string;
  /** ms of the last sign of life, and of the last ping */
  heardAt = performance.now();
  pingedAt = performance.now();
  readonly #parts: ConnectionParts;
  readonly #uncork: () => void;
  #corked = false;
  #attachment: Attachment | undefined;
  #leaving = false;

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
    this.user = parts.user;
    this.kernel = parts.kernel;
    this.session = parts.session;
    this.#uncork = () => {
      this.#corked = false;
      parts.socket.uncork();
    };
    const { ws } = parts;
    ws.on('message', (data: Buffer, binary: boolean) => {
      turnBegins();
      this.#receive(data, binary);
    });
    ws.on('pong', () => this.#heard());
    ws.on('ping', () => this.#heard());
    ws.on('error', (error) => this.#failed(error));
    ws.on('close', () => this.#detach());
  }

  /** From now on the client's messages go there; detached when the connection ends. */
  attach(attachment: Attachment): void {
    if (this.#leaving || this.#parts.ws.readyState !== this.#parts.ws.OPEN) attachment.detach();
    else this.#attachment = attachment;
  }

  send(channel: Channel, message: JupyterMessage): boolean {
    const { ws, framing, limits, metrics, log } = this.#parts;
    if (this.#leaving || ws.readyState !== ws.OPEN) return false;
    if (ws.bufferedAmount > limits.backlogBytes) {
      this.drop('slow', 'this client does not read fast enough: connect again');
      return false;
    }
    try {
      const frames = framing.encode(channel, message);
      this.#cork();
      for (const { data, binary } of frames) ws.send(data, { binary, compress: false });
      metrics.messages.inc({ direction: 'out' }, frames.length);
    } catch (error) {
      log.warn({ err: error, kernel: this.kernel }, 'a message of the kernel cannot be framed');
    }
    return true;
  }

  /** All that is sent in one turn of the loop leaves in one write. */
  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#parts.socket.cork();
    process.nextTick(this.#uncork);
  }

  get backlog(): number {
    return this.#parts.ws.bufferedAmount;
  }

  close(code: 1001 | 1011 | 1012, reason: string): void {
    this.#detach();
    this.#parts.ws.close(code, shortened(reason));
  }

  /** Given up; code 1011 has it connect again. */
  drop(why: 'slow' | 'silent' | 'user', reason: string): void {
    if (this.#leaving) return;
    const { log, metrics } = this.#parts;
    log.info({ kernel: this.kernel, why, backlog: this.backlog }, 'client dropped');
    metrics.dropped.inc({ why });
    this.close(1011, reason);
  }

  ping(now: number): void {
    this.pingedAt = now;
    if (this.#parts.ws.readyState === this.#parts.ws.OPEN) this.#parts.ws.ping();
  }

  terminate(): void {
    this.#detach();
    this.#parts.ws.terminate();
  }

  #heard(): void {
    this.heardAt = performance.now();
  }

  #receive(data: Buffer, binary: boolean): void {
    this.#heard();
    const { framing, log, metrics } = this.#parts;
    try {
      const { channel, message } = framing.decode(data, binary);
      if (channel === 'iopub')
        throw new NbosError('message-invalid', 'a client sends nothing on iopub');
      this.#attachment?.receive(channel, message);
      metrics.messages.inc({ direction: 'in' });
    } catch (error) {
      metrics.invalid.inc({ framing: framing.name });
      const known = error instanceof NbosError;
      log[known ? 'debug' : 'error']({ err: error, kernel: this.kernel }, 'message dropped');
    }
  }

  #failed(error: Error): void {
    // Too large, masked wrongly, no UTF-8: ws closes the connection itself.
    this.#parts.metrics.invalid.inc({ framing: this.#parts.framing.name });
    this.#parts.log.debug({ err: error, kernel: this.kernel }, 'WebSocket failed');
  }

  #detach(): void {
    this.#leaving = true;
    const attachment = this.#attachment;
    this.#attachment = undefined;
    attachment?.detach();
  }
}

function shortened(reason: string): string {
  const bytes = Buffer.from(reason);
  if (bytes.length <= REASON_BYTES) return reason;
  return bytes.subarray(0, REASON_BYTES).toString().replace(/�+$/, '');
}
