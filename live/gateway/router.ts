import type { Logger } from 'pino';
import { NbosError } from '../../core/errors.ts';
import { readField } from '../jupyter/fields.ts';
import { messageOf, newHeader } from '../jupyter/headers.ts';
import type { Channel, JupyterMessage } from '../jupyter/message.ts';
import { framesOf } from '../wire/codec.ts';
import { answerOf, statusMessage } from './answers.ts';
import type { Cells } from './cells.ts';
import type { Delivery } from './delivery.ts';
import type { ClientLink, LiveKernel, Member } from './kernel.ts';
import type { Agents } from './links.ts';
import type { WithoutProcess } from './without-process.ts';

type ToKernel = 'shell' | 'control' | 'stdin';

export interface RouterOptions {
  links: Agents;
  cells: Cells;
  delivery: Delivery;
  withoutProcess: WithoutProcess;
  log: Logger;
  /** the client ends or restarts the kernel by a message */
  onShutdown: (kernel: LiveKernel, restart: boolean) => Promise<void>;
  onInterrupt: (kernel: LiveKernel) => boolean;
}

const HELD_MOST = 1000;
const ASKED_MOST = 4096;
const decoder = new TextDecoder();

/** Carries messages between clients and the process that speaks for a kernel. */
export class Router {
  readonly #options: RouterOptions;

  constructor(options: RouterOptions) {
    this.#options = options;
  }

  /** A client's message. @throws NbosError message-invalid */
  receive(kernel: LiveKernel, link: ClientLink, channel: Channel, message: JupyterMessage): void {
    const type = readField(message.header, 'msg_type');
    const id = readField(message.header, 'msg_id');
    if (type === undefined || id === undefined || channel === 'iopub') {
      throw new NbosError(
        'message-invalid',
        `a message on ${channel} without msg_type and msg_id, or on a channel that takes none`,
      );
    }
    kernel.lastActivityMs = Date.now();
    const isAlone = kernel.visits && kernel.front() === undefined;
    if (channel === 'stdin') {
      kernel.pendingInput = undefined;
      if (!isAlone) this.#forward(kernel, channel, message);
    } else if (channel === 'shell' && type === 'execute_request') {
      this.#options.cells.submit(kernel, link, message);
    } else if (
      type === 'kernel_info_request' &&
      this.#answersInfo(kernel, link, channel, message)
    ) {
      return;
    } else if (type === 'shutdown_request') {
      this.#shutdown(kernel, link, channel, message);
    } else if (type === 'interrupt_request' && this.#options.onInterrupt(kernel)) {
      const reply = answerOf('interrupt_reply', kernel.id, message.header, '{"status":"ok"}');
      this.#options.delivery.answer(kernel, { link, session: link.session }, channel, reply);
    } else if (isAlone) {
      this.#options.withoutProcess.take(kernel, link, channel, type, message);
    } else {
      this.#ask(kernel, link, channel, id, message);
    }
  }

  /** A busy kernel could not answer before its cell has ended; what it is does not change. */
  #answersInfo(
    kernel: LiveKernel,
    link: ClientLink,
    channel: 'shell' | 'control',
    { header }: JupyterMessage,
  ): boolean {
    const isFree = kernel.running === undefined && kernel.front() !== undefined;
    if (kernel.info === undefined || isFree) return false;
    const { content, metadata } = kernel.info;
    const reply = answerOf('kernel_info_reply', kernel.id, header, '{}');
    const { delivery } = this.#options;
    link.client.send('iopub', statusMessage(kernel.id, 'busy', header));
    const asker = { link, session: link.session };
    delivery.answer(kernel, asker, channel, { ...reply, content, metadata });
    if (kernel.state === 'idle')
      link.client.send('iopub', statusMessage(kernel.id, 'idle', header));
    return true;
  }

  #shutdown(
    kernel: LiveKernel,
    link: ClientLink,
    channel: Channel,
    { header, content }: JupyterMessage,
  ): void {
    let restart = false;
    try {
      const asked = JSON.parse(decoder.decode(content)) as { restart?: unknown };
      restart = asked.restart === true;
    } catch {
      // Without readable content it is the plain request.
    }
    const said = JSON.stringify({ status: 'ok', restart });
    const reply = answerOf('shutdown_reply', kernel.id, header, said);
    this.#options.delivery.answer(kernel, { link, session: link.session }, channel, reply);
    this.#options.onShutdown(kernel, restart).catch((error) => {
      this.#options.log.warn({ err: error, kernel: kernel.id }, 'shutdown by a client failed');
    });
  }

  #ask(
    kernel: LiveKernel,
    link: ClientLink,
    channel: 'shell' | 'control',
    id: string,
    message: JupyterMessage,
  ): void {
    kernel.asked.set(id, { link, channel });
    if (kernel.asked.size > ASKED_MOST) kernel.asked.delete(kernel.asked.keys().next().value!);
    this.#forward(kernel, channel, message);
  }

  #forward(kernel: LiveKernel, channel: ToKernel, message: JupyterMessage): void {
    const member = kernel.front();
    if (member !== undefined) {
      this.#send(kernel, member, channel, message);
      return;
    }
    kernel.held.push({ channel, message });
    if (kernel.held.length > HELD_MOST) kernel.held.shift();
  }

  #send(kernel: LiveKernel, member: Member, channel: ToKernel, message: JupyterMessage): void {
    const head = { t: 'to-kernel' as const, kernel: kernel.id, member: member.member, channel };
    this.#options.links.tell(member.host, head, framesOf(message));
  }

  /** A replica can be spoken to: what waited for that is sent. */
  ready(kernel: LiveKernel, member: Member): void {
    for (const { channel, message } of kernel.held.splice(0))
      this.#send(kernel, member, channel, message);
    if (kernel.info !== undefined) return;
    const header = newHeader('kernel_info_request', kernel.id);
    this.#send(kernel, member, 'shell', messageOf({ header }));
  }

  /** A process's answer, or its question to the user. */
  fromKernel(kernel: LiveKernel, member: number, channel: ToKernel, message: JupyterMessage): void {
    if (channel === 'stdin') {
      this.#question(kernel, member, message);
      return;
    }
    if (readField(message.header, 'msg_type') === 'kernel_info_reply') {
      kernel.info = message;
      this.#options.withoutProcess.learn(kernel, message);
    }
    const id = readField(message.parent, 'msg_id') ?? '';
    const asked = kernel.asked.get(id);
    if (asked === undefined) return;
    kernel.asked.delete(id);
    const { link } = asked;
    this.#options.delivery.answer(kernel, { link, session: link.session }, channel, message);
  }

  #question(kernel: LiveKernel, member: number, message: JupyterMessage): void {
    const cell = kernel.running;
    if (cell === undefined || member !== kernel.executor) return;
    kernel.pendingInput = { member, message };
    const asker = { link: cell.link, session: cell.submit.session };
    this.#options.delivery.answer(kernel, asker, 'stdin', message, cell.cell);
  }
}
