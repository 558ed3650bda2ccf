import { interruption } from '../../traces/command-line.ts';

/** Ctrl-C and SIGTERM: the program hears both. */
export function untilInterrupted(): Promise<void> {
  const { signal } = interruption;
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
    // Nothing else may be left that keeps the program alive, and it must stay.
    const alive = setInterval(() => undefined, 1 << 30);
    signal.addEventListener('abort', () => clearInterval(alive), { once: true });
  });
}
