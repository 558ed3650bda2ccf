import { setTimeout as sleep } from 'node:timers/promises';
import type { Delivery } from './delivery.ts';
import type { LiveKernel } from './kernel.ts';
import { late } from './not-started.ts';
import type { Outcomes } from './outcomes.ts';
import type { Proposals } from './proposals.ts';

const LOOK_MS = 5;

export interface RestartParts {
  proposals: Proposals;
  delivery: Delivery;
  outcomes: Outcomes;
  isUp: (host: string) => boolean;
  /** ms that its log may take */
  startMs: number;
}

/**
 * The user's restart of a kernel that need not have a process, before or after: its state is empty
 * from now on, and what was open ends.
 */
export async function restartVisiting(parts: RestartParts, kernel: LiveKernel): Promise<void> {
  const { proposals, delivery, outcomes, isUp, startMs } = parts;
  delivery.status(kernel, 'restarting');
  if (!kernel.moving && !kernel.hasLog(isUp)) {
    // There is no log to say it in, and nothing of it is to come back any more.
    Object.assign(kernel, { beginsEmpty: kernel.created, count: 0, lastFailure: '' });
    for (const cell of kernel.waiting())
      outcomes.abortWaiting(kernel, cell, 'kernel-restarted', 'the kernel was restarted');
  } else {
    const entry = { v: 1, type: 'reset', epoch: ++kernel.epoch } as const;
    kernel.resetDue = true;
    await inTime(proposals.commit(kernel, entry), kernel, startMs);
    // What is sent from now on is to be counted from 1.
    const until = performance.now() + startMs;
    while (kernel.resetDue && !kernel.closing && performance.now() < until) await sleep(LOOK_MS);
  }
  delivery.status(kernel, kernel.state);
}

/** Rejects when it takes too long. */
async function inTime(work: Promise<void>, kernel: LiveKernel, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late(kernel, ms)), ms).unref();
  });
  await Promise.race([work, limit]).finally(() => clearTimeout(timer));
}
