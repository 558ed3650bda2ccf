import { ERROR_CODES, type ErrorCode, NbosError } from '../../core/errors.ts';
import type { Head } from './codec.ts';

/** What a request is answered by; `value` is what the kind promises beside ok. */
export interface Answer extends Head {
  t: 'answer';
  rq: number;
  ok: boolean;
  code?: string;
  message?: string;
  hint?: string;
  value?: unknown;
}

interface Waiting {
  link: string;
  resolve(value: unknown): void;
  reject(error: NbosError): void;
  timer: NodeJS.Timeout;
}

/** Requests under way over any number of links: numbered, limited in time, failed with their link. */
export class Requests {
  readonly #waiting = new Map<number, Waiting>();
  #next = 0;

  /**
   * Sends `head` with a number through `send` (false: there is no link) and waits for the answer.
   * Rejects with the error that was answered, `link-timeout` or `link-lost`.
   */
  ask(
    link: string,
    head: Head,
    send: (head: Head) => boolean,
    timeoutMs: number,
  ): Promise<unknown> {
    const rq = ++this.#next;
    return new Promise((resolve, reject) => {
      if (!send({ ...head, rq })) {
        reject(lost(link, head.t));
        return;
      }
      const timer = setTimeout(() => {
        this.#waiting.delete(rq);
        reject(
          new NbosError(
            'link-timeout',
            `${link} did not answer '${head.t}' within ${timeoutMs} ms`,
            'The host may be overloaded or cut off; `nbos status` shows which hosts are up.',
          ),
        );
      }, timeoutMs);
      this.#waiting.set(rq, { link, resolve, reject, timer });
    });
  }

  /** Takes an answer that came over `link`. Late, doubled and strangers' answers are ignored. */
  settle(link: string, answer: Answer): void {
    const waiting = this.#waiting.get(answer.rq);
    if (waiting === undefined || waiting.link !== link) return;
    this.#waiting.delete(answer.rq);
    clearTimeout(waiting.timer);
    if (answer.ok) waiting.resolve(answer.value);
    else waiting.reject(errorIn(answer));
  }

  /** Fails everything asked over a link that is no more. */
  failAll(link: string): void {
    for (const [rq, waiting] of this.#waiting) {
      if (waiting.link !== link) continue;
      this.#waiting.delete(rq);
      clearTimeout(waiting.timer);
      waiting.reject(lost(link, 'request'));
    }
  }

  get pending(): number {
    return this.#waiting.size;
  }
}

export function answerOk(rq: number, value?: unknown): Answer {
  return value === undefined ? { t: 'answer', rq, ok: true } : { t: 'answer', rq, ok: true, value };
}

export function answerError(rq: number, error: unknown): Answer {
  if (error instanceof NbosError) {
    const { code, message, hint } = error;
    return { t: 'answer', rq, ok: false, code, message, hint };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { t: 'answer', rq, ok: false, code: 'agent-failed', message };
}

function errorIn({ code, message, hint }: Answer): NbosError {
  const known = code !== undefined && Object.hasOwn(ERROR_CODES, code);
  return new NbosError(known ? (code as ErrorCode) : 'agent-failed', message ?? '', hint ?? '');
}

function lost(link: string, what: string): NbosError {
  return new NbosError(
    'link-lost',
    `there is no link to ${link} for '${what}'`,
    'It is tried again by itself; `nbos status` shows which hosts are up.',
  );
}
