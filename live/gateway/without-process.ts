import type { JupyterMessage } from '../jupyter/message.ts';
import { answerOf, statusMessage } from './answers.ts';
import type { Delivery } from './delivery.ts';
import type { ClientLink, LiveKernel } from './kernel.ts';

type Contents = Record<string, (request: Record<string, unknown>, kernel: LiveKernel) => object>;

/** Answers of a kernel that has nothing to look at, by what is asked. */
const ANSWERS: Contents = {
  kernel_info_request: (_, { meta }) => infoOf(meta.language),
  complete_request: ({ cursor_pos: at }) => ({
    ...{ status: 'ok', matches: [], metadata: {} },
    ...{ cursor_start: numberOf(at), cursor_end: numberOf(at) },
  }),
  inspect_request: () => ({ status: 'ok', found: false, data: {}, metadata: {} }),
  is_complete_request: () => ({ status: 'unknown' }),
  history_request: () => ({ status: 'ok', history: [] }),
  comm_info_request: () => ({ status: 'ok', comms: {} }),
  interrupt_request: () => ({ status: 'ok' }),
};

const REQUEST = '_request';
const EVALUE = 'the kernel has a process while a cell runs only';
const REFUSAL = { status: 'error', ename: 'NoProcess', evalue: EVALUE, traceback: [] };

/**
 * Speaks for kernels that have a process for their cells only, while there is none: says what can
 * be said instead of waiting for a cell. What is no request, input and comm messages, is dropped.
 */
export class WithoutProcess {
  readonly #delivery: Delivery;
  /** what processes have said that they are, by kernelspec */
  readonly #infos = new Map<string, JupyterMessage>();

  constructor(delivery: Delivery) {
    this.#delivery = delivery;
  }

  /** A process of the kernel has answered a kernel_info_request. */
  learn({ meta }: LiveKernel, info: JupyterMessage): void {
    this.#infos.set(meta.spec, info);
  }

  take(
    kernel: LiveKernel,
    link: ClientLink,
    channel: 'shell' | 'control',
    type: string,
    { header, content: asked }: JupyterMessage,
  ): void {
    if (!type.endsWith(REQUEST)) return;
    const { id } = kernel;
    const known = type === 'kernel_info_request' ? this.#infos.get(kernel.meta.spec) : undefined;
    const content = ANSWERS[type]?.(parsed(asked), kernel) ?? REFUSAL;
    const name = `${type.slice(0, -REQUEST.length)}_reply`;
    const reply = answerOf(name, id, header, JSON.stringify(content));
    link.client.send('iopub', statusMessage(id, 'busy', header));
    const asker = { link, session: link.session };
    this.#delivery.answer(kernel, asker, channel, {
      ...reply,
      ...(known === undefined ? {} : { content: known.content }),
    });
    link.client.send('iopub', statusMessage(id, 'idle', header));
    // A cell waits: the page is to show that again.
    const [first] = kernel.cells.values();
    if (first !== undefined) link.client.send('iopub', statusMessage(id, 'busy', first.header));
  }
}

function parsed(bytes: Uint8Array): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

/** Content of a kernel_info_reply, as far as the kernelspec tells. */
function infoOf(language: string): object {
  const isPython = language === 'python';
  const python = {
    mimetype: 'text/x-python',
    file_extension: '.py',
    pygments_lexer: 'ipython3',
    codemirror_mode: { name: 'ipython', version: 3 },
    nbconvert_exporter: 'python',
  };
  const other = { mimetype: 'text/plain', file_extension: '.txt' };
  return {
    status: 'ok',
    protocol_version: '5.3',
    implementation: isPython ? 'ipython' : language,
    implementation_version: '',
    language_info: { name: language, version: isPython ? '3' : '', ...(isPython ? python : other) },
    banner: 'NotebookOS: a process is started for each cell.',
    help_links: [],
    debugger: false,
  };
}
