import { type ErrorCode, NbosError } from '../core/errors.ts';
import type { PlannedRun } from './plan.ts';
import type { Summary } from './store.ts';

/** What one run gives; its reports are in the folder it was handed. */
export interface RunOutcome {
  readonly summary: Summary;
  readonly timings: Readonly<Record<string, number>>;
}

/** Performs a run and writes its reports into `folder`, which does not exist yet. */
export type RunOne = (
  run: PlannedRun,
  folder: string,
  onProgress: (done: number, total: number) => void,
) => Promise<RunOutcome>;

export type ToWorker = { readonly run: PlannedRun; readonly folder: string };

export type FromWorker =
  | { readonly kind: 'progress'; readonly done: number; readonly total: number }
  | { readonly kind: 'done'; readonly outcome: RunOutcome }
  | { readonly kind: 'failed'; readonly error: PlainError };

export interface PlainError {
  readonly code: ErrorCode | '';
  readonly message: string;
  readonly hint: string;
  /** '' for an error that is the user's to mend */
  readonly stack: string;
}

const PROGRESS_MS = 200;

/** Serves runs from the parent process, one at a time, until the parent goes away. */
export function serveRuns(runOne: RunOne): void {
  // The parent hears Ctrl-C and ends its workers; a second reaction here would look like a crash.
  process.on('SIGINT', () => undefined);
  process.on('disconnect', () => process.exit(0));
  process.on('message', async ({ run, folder }: ToWorker) => {
    let sentAt = 0;
    try {
      const outcome = await runOne(run, folder, (done, total) => {
        const now = performance.now();
        if (now - sentAt < PROGRESS_MS) return;
        sentAt = now;
        send({ kind: 'progress', done, total });
      });
      const { summary, timings } = outcome;
      send({ kind: 'done', outcome: { summary, timings } });
    } catch (error) {
      send({ kind: 'failed', error: plainError(error) });
    }
  });
}

function send(message: FromWorker): void {
  // The parent may be gone already; `disconnect` ends this process then.
  process.send?.(message, undefined, {}, () => undefined);
}

export function plainError(error: unknown): PlainError {
  if (error instanceof NbosError) {
    const isBug = error.code === 'invariant-violated';
    const stack = isBug ? (error.stack ?? '') : '';
    return { code: error.code, message: error.message, hint: error.hint, stack };
  }
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return { code: '', message, hint: '', stack: stack ?? '' };
}
