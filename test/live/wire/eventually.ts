import type { NbosError } from '../../../core/errors.ts';

/** Waits until `holds` says so; throws after `timeoutMs`. */
export async function eventually(holds: () => boolean, timeoutMs = 30_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** What a promise is rejected with; throws when it is not. */
export async function errorOf(failing: Promise<unknown>): Promise<NbosError> {
  try {
    await failing;
  } catch (error) {
    return error as NbosError;
  }
  throw new Error('it was expected to fail');
}
