import { NbosError } from '../../core/errors.ts';

/** A store that does not answer, or not as it should, at the moment. */
export function unreachable(store: string, reason: string): NbosError {
  return new NbosError(
    'store-unreachable',
    `${store}: ${reason}`,
    'Kernels go on without it, and it is tried again; see that it runs and can be reached.',
  );
}

export function denied(store: string, reason: string): NbosError {
  return new NbosError(
    'store-denied',
    `${store}: ${reason}`,
    'Give this process valid credentials that may read, write, list and delete there.',
  );
}

export function storeFull(store: string, reason: string): NbosError {
  return new NbosError('disk-full', `${store}: ${reason}`, 'Make room in the store.');
}

export function corrupt(store: string, key: string, reason: string): NbosError {
  return new NbosError(
    'store-corrupt',
    `${store}: object ${key}: ${reason}`,
    'It was damaged or changed from outside; it is not used.',
  );
}

/** The innermost reason of an error, in one line. */
export function reasonIn(error: unknown): string {
  let inner = error as { message?: string; cause?: unknown; errors?: unknown[]; code?: string };
  while (inner?.cause instanceof Error) inner = inner.cause as typeof inner;
  // Of tries at several addresses the first one tells enough.
  if (inner?.errors?.[0] instanceof Error) inner = inner.errors[0] as typeof inner;
  const text = inner?.message || inner?.code || String(error);
  return text.split('\n')[0]!.slice(0, 300);
}
