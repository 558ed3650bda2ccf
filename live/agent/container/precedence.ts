import { readdirSync } from 'node:fs';
import { setPriority } from 'node:os';

/** As `nice` counts: about nine times the share of a process that has not asked for any. */
const NICE = -10;

/**
 * Puts this process before the work of kernels, where it may: an agent needs little of a processor,
 * but one that cannot say so in time is taken for lost, and replacing what it has costs much more.
 * For those only whose kernels are no children of theirs, which would have the same precedence.
 */
export function takePrecedence(): void {
  for (const thread of readdirSync('/proc/self/task').map(Number))
    try {
      setPriority(thread, NICE);
    } catch {
      // It takes a right that most users do not have.
    }
}
