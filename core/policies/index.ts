import { batchFcfs } from './batch-fcfs.ts';
import { gandiva } from './gandiva.ts';
import { lcp } from './lcp.ts';
import { notebookos } from './notebookos.ts';
import type { Policy } from './policy.ts';
import { reservation } from './reservation.ts';

/** Every built-in policy by name; a new one is its file and a line here. */
export const POLICIES: Readonly<Record<string, Policy>> = {
  [reservation.name]: reservation,
  [batchFcfs.name]: batchFcfs,
  [notebookos.name]: notebookos,
  [lcp.name]: lcp,
  [gandiva.name]: gandiva,
};
