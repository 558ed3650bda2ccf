import { messageOf, newHeader } from '../jupyter/headers.ts';
import type { JupyterMessage } from '../jupyter/message.ts';
import type { AbortEntry } from '../log/entries.ts';

/** Messages that the gateway itself says in a kernel's name. `session` is the kernel's id. */

export type ExecutionState = 'starting' | 'busy' | 'idle' | 'restarting' | 'dead';

export function statusMessage(
  session: string,
  state: ExecutionState,
  parent?: Uint8Array,
): JupyterMessage {
  return messageOf({
    header: newHeader('status', session),
    ...(parent === undefined ? {} : { parent }),
    content: { execution_state: state },
  });
}

/** Answer of type `type` with its content and metadata as JSON text. */
export function answerOf(
  type: string,
  session: string,
  parent: Uint8Array,
  content: string,
  metadata = '{}',
): JupyterMessage {
  return {
    ...messageOf({ header: newHeader(type, session), parent }),
    content: Buffer.from(content),
    metadata: Buffer.from(metadata),
  };
}

export interface AbortAnswer {
  /** content of the execute_reply */
  reply: Record<string, unknown>;
  /** content of an iopub `error`, so that it stands under the cell; null when it was asked for */
  error: Record<string, unknown> | null;
}

/** What a client is told of a cell that ended by an ABORT. */
export function abortAnswer(entry: AbortEntry, count: number): AbortAnswer {
  const { reason, message } = entry;
  if (reason === 'stop-on-error' || reason === 'kernel-restarted' || reason === 'kernel-closed') {
    return { reply: { status: 'aborted', execution_count: count }, error: null };
  }
  const ename = NAMES[reason] ?? 'CellAborted';
  const error = { ename, evalue: message, traceback: [`${ename}: ${message}`] };
  const reply = { status: 'error', execution_count: count, ...error };
  return { reply: { ...reply, user_expressions: {}, payload: [] }, error };
}

const NAMES: Partial<Record<AbortEntry['reason'], string>> = {
  interrupted: 'KeyboardInterrupt',
  'executor-died': 'ExecutorDied',
  'host-lost': 'ExecutorLost',
  fenced: 'ExecutorLost',
  rejected: 'CellRejected',
  drained: 'CellRejected',
};

/** A display that later ones with the same id replace. */
export function notice(
  session: string,
  parent: Uint8Array,
  id: string,
  text: string,
  isUpdate: boolean,
): JupyterMessage {
  return messageOf({
    header: newHeader(isUpdate ? 'update_display_data' : 'display_data', session),
    parent,
    content: {
      data: { 'text/plain': text },
      metadata: {},
      transient: { display_id: id },
    },
  });
}
