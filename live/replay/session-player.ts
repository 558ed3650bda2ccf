import { setTimeout as sleep } from 'node:timers/promises';
import type { NbosError } from '../../core/errors.ts';
import { parseHeader, parseObject } from '../jupyter/fields.ts';
import { messageOf, newHeader } from '../jupyter/headers.ts';
import type { Channel, JupyterMessage, MessageHeader } from '../jupyter/message.ts';

/** One cell to play, in ms of real time. */
export interface PlayedCell {
  /** number in its session, from 0 */
  readonly index: number;
  /** from the session's opening, or from the reply before, until it is submitted */
  readonly thinkMs: number;
  readonly durationMs: number;
  readonly gpus: number;
}

export interface PlayedSession {
  readonly id: string;
  readonly openAtMs: number;
  readonly cells: readonly PlayedCell[];
  /** from the last reply until the session closes */
  readonly closeAfterMs: number;
  /** most that a cell asks for */
  readonly gpus: number;
}

/** The kernel of a session, as `RemoteKernel` is one. */
export interface PlayedKernel {
  readonly session: string;
  send(channel: Channel, message: JupyterMessage): void;
  onMessage: (channel: Channel, message: JupyterMessage, header: MessageHeader) => void;
  onLost: (error: NbosError) => void;
  close(): Promise<void>;
}

export interface Player {
  /** Opens a session, with a kernel that subscribes to so many GPUs. */
  open(session: PlayedSession): Promise<PlayedKernel>;
  /** ends everything: Ctrl-C or the limit of time */
  readonly signal: AbortSignal;
  /** extra time that a reply may take beyond the cell's own, ms */
  readonly patienceMs: number;
  onCell(outcome: 'ok' | 'error' | 'lost'): void;
  onNote(text: string): void;
}

/** Lives one user's session: opens it, thinks, runs cells one after the other, closes it. */
export async function playSession(session: PlayedSession, player: Player): Promise<void> {
  const { signal } = player;
  if (!(await waited(session.openAtMs, signal))) return;
  let kernel: PlayedKernel;
  try {
    kernel = await player.open(session);
  } catch (error) {
    player.onNote(`session ${session.id} was not opened: ${(error as Error).message}`);
    for (const _cell of session.cells) player.onCell('lost');
    return;
  }
  try {
    for (const cell of session.cells) {
      if (!(await waited(cell.thinkMs, signal))) return;
      player.onCell(await runCell(kernel, cell, player));
    }
    await waited(session.closeAfterMs, signal);
  } catch (error) {
    player.onNote(`session ${session.id}: ${(error as Error).message}`);
  } finally {
    await kernel.close().catch((error: Error) => {
      player.onNote(`session ${session.id} was not closed: ${error.message}`);
    });
  }
}

/** Waits, and says whether to go on. */
async function waited(ms: number, signal: AbortSignal): Promise<boolean> {
  if (ms > 0) await sleep(ms, undefined, { signal }).catch(() => undefined);
  return !signal.aborted;
}

/** What a cell does: it holds its GPUs for its time and leaves a little state behind. */
export function cellCode({ index, durationMs }: PlayedCell): string {
  const seconds = (durationMs / 1000).toFixed(3);
  return `import time\ntime.sleep(${seconds})\ncells_run = ${index + 1}\n`;
}

async function runCell(
  kernel: PlayedKernel,
  cell: PlayedCell,
  { signal, patienceMs }: Player,
): Promise<'ok' | 'error' | 'lost'> {
  const header = newHeader('execute_request', kernel.session);
  const content = {
    code: cellCode(cell),
    silent: false,
    store_history: true,
    user_expressions: {},
    allow_stdin: false,
    stop_on_error: false,
  };
  const metadata = { nbos: { gpus: cell.gpus } };
  const reply = new Promise<'ok' | 'error' | 'lost'>((resolve, reject) => {
    const late = setTimeout(() => end('lost'), cell.durationMs + patienceMs);
    const abandon = (): void => end('lost');
    const end = (outcome: 'ok' | 'error' | 'lost'): void => {
      clearTimeout(late);
      signal.removeEventListener('abort', abandon);
      resolve(outcome);
    };
    kernel.onMessage = (channel, message, { msg_type }) => {
      if (channel !== 'shell' || msg_type !== 'execute_reply') return;
      if (parseHeader(message.parent)?.msg_id !== header.msg_id) return;
      end(parseObject(message.content)?.['status'] === 'ok' ? 'ok' : 'error');
    };
    kernel.onLost = (error) => {
      reject(error);
      end('lost');
    };
    signal.addEventListener('abort', abandon);
  });
  kernel.send('shell', messageOf({ header, metadata, content }));
  return reply;
}
