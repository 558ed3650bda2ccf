import type { Logger } from 'pino';
import { NbosError } from '../../core/errors.ts';
import type { LogEntry } from '../log/entries.ts';
import type { LiveKernel } from './kernel.ts';
import type { Agents } from './links.ts';

export interface ProposalOptions {
  links: Agents;
  isUp: (host: string) => boolean;
  log: Logger;
  /** ms to wait for one agent's answer before another is asked */
  timeoutMs: number;
}

interface Pending {
  entry: LogEntry;
  /** called instead of a commit when the entry can never be one */
  refused: (error: NbosError) => void;
  committed: () => void;
}

interface Queue {
  pending: Pending[];
  sending: boolean;
  /** ends its pause before the next try */
  wake: () => void;
}

/** Refusals that no other agent and no later moment changes. */
const FINAL = new Set(['entry-too-large', 'entry-invalid', 'request-invalid']);
const FIRST_BACKOFF_MS = 20;
const MAX_BACKOFF_MS = 500;
const MAX_BATCH = 256;

/**
 * Entries on their way into the logs of kernels: in order, one batch at a time for each kernel,
 * asked again of another agent until they are committed. Entries are made so that one which is
 * committed twice counts once.
 */
export class Proposals {
  readonly #options: ProposalOptions;
  readonly #queues = new WeakMap<LiveKernel, Queue>();

  constructor(options: ProposalOptions) {
    this.#options = options;
  }

  /** Resolves once committed. Rejects with the refusal, or `kernel-unknown` when it is closed. */
  commit(kernel: LiveKernel, entry: LogEntry): Promise<void> {
    return new Promise((resolve, reject) => {
      this.propose(kernel, entry, reject, resolve);
    });
  }

  /** What is proposed in one turn of the loop is one batch, with one commit. */
  propose(
    kernel: LiveKernel,
    entry: LogEntry,
    refused: (error: NbosError) => void = (error) =>
      this.#options.log.error({ err: error, kernel: kernel.id }, 'an entry was refused'),
    committed: () => void = () => undefined,
  ): void {
    let queue = this.#queues.get(kernel);
    if (queue === undefined) this.#queues.set(kernel, (queue = newQueue()));
    queue.pending.push({ entry, refused, committed });
    if (queue.sending) return;
    queue.sending = true;
    const started = queue;
    queueMicrotask(() => {
      this.#run(kernel, started).catch((error) => {
        this.#options.log.error({ err: error, kernel: kernel.id }, 'proposing stopped');
      });
    });
  }

  /** Its log can be reached now: what waits for that is tried at once. */
  wake(kernel: LiveKernel): void {
    this.#queues.get(kernel)?.wake();
  }

  async #run(kernel: LiveKernel, queue: Queue): Promise<void> {
    let size = MAX_BATCH;
    while (queue.pending.length > 0) {
      const batch = queue.pending.slice(0, size);
      const refusal = await this.#send(kernel, queue, batch);
      if (refusal !== undefined && batch.length > 1) {
        // One of them is bad: alone, each finds out whether it is the one.
        size = 1;
        continue;
      }
      queue.pending.splice(0, batch.length);
      for (const { refused, committed } of batch) {
        if (refusal === undefined) committed();
        else refused(refusal);
      }
      if (queue.pending.length === 0) break;
    }
    queue.sending = false;
  }

  /** The refusal, or nothing once they are committed. */
  async #send(
    kernel: LiveKernel,
    queue: Queue,
    batch: readonly Pending[],
  ): Promise<NbosError | undefined> {
    const entries = batch.map(({ entry }) => entry);
    let backoffMs = FIRST_BACKOFF_MS;
    for (let attempt = 0; ; attempt++) {
      if (kernel.closing) return closed(kernel);
      const host = this.#hostFor(kernel, entries, attempt);
      if (host !== undefined) {
        try {
          const request = { t: 'propose' as const, kernel: kernel.id, entries };
          await this.#options.links.request(host, request, this.#options.timeoutMs);
          return undefined;
        } catch (error) {
          if (error instanceof NbosError && FINAL.has(error.code)) return error;
          const { code } = error as NbosError;
          this.#options.log.debug({ kernel: kernel.id, host, code }, 'not committed, asked again');
        }
      }
      await pause(queue, backoffMs);
      backoffMs = Math.min(MAX_BACKOFF_MS, backoffMs * 2);
    }
  }

  /** First the executor of a START, then the leader, then the others in turn. */
  #hostFor(kernel: LiveKernel, entries: readonly LogEntry[], attempt: number): string | undefined {
    if (kernel.moving) return undefined;
    const start = entries.findLast((entry) => entry.type === 'start');
    const wanted = start === undefined ? kernel.executor : start.executor;
    const members = [...kernel.members.values()].filter(
      ({ host, joined }) => joined && this.#options.isUp(host),
    );
    if (members.length === 0) return undefined;
    const rank = ({ member, position }: (typeof members)[number]): number =>
      member === wanted ? 0 : position?.role === 'leader' ? 1 : 2;
    members.sort((a, b) => rank(a) - rank(b) || a.member - b.member);
    return members[attempt % members.length]!.host;
  }
}

function closed(kernel: LiveKernel): NbosError {
  return new NbosError('kernel-unknown', `kernel ${kernel.id} was shut down`);
}

function newQueue(): Queue {
  return { pending: [], sending: false, wake: () => undefined };
}

function pause(queue: Queue, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    queue.wake = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}
