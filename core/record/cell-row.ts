import { delayOf, type Execution, STEPS } from '../books/execution-book.ts';

/** What a row of cells.csv needs besides the execution's own record. */
export interface CellFacts {
  readonly sessionId: string;
  readonly durationMs: number;
  readonly cpuMillis: number;
  readonly memoryMb: number;
  readonly gpuMillis: number;
  readonly vramMb: number;
  readonly status: 'completed' | 'aborted' | 'rejected' | 'unfinished';
  readonly warmup: boolean;
}

export type Field = string | number | null;

/** Time from submission to reply, ms, of an execution that is closed. */
export function tctOf(execution: Readonly<Execution>): number {
  let sum = 0;
  for (let step = 0; step < STEPS.length; step++) sum += execution.steps[step]!;
  return sum;
}

/** Fills `row` with the columns of cells.csv; the array is used again and again. */
export function cellRow(row: Field[], execution: Readonly<Execution>, facts: CellFacts): Field[] {
  const done = facts.status === 'completed';
  const tct = tctOf(execution);
  let at = 0;
  row[at++] = facts.sessionId;
  row[at++] = execution.cell;
  row[at++] = execution.submittedAt;
  row[at++] = facts.durationMs;
  row[at++] = facts.cpuMillis;
  row[at++] = facts.memoryMb;
  row[at++] = facts.gpuMillis / 1000;
  row[at++] = facts.vramMb;
  row[at++] = facts.status;
  row[at++] = execution.reason;
  row[at++] = facts.warmup ? 1 : 0;
  row[at++] = execution.immediate ? 1 : 0;
  row[at++] = execution.reused ? 1 : 0;
  row[at++] = execution.attempt;
  row[at++] = execution.migrations;
  row[at++] = execution.ranOn;
  row[at++] = execution.replica;
  row[at++] = delayOf(execution);
  row[at++] = tct;
  for (let step = 0; step < STEPS.length; step++) row[at++] = execution.steps[step]!;
  row[at++] = done && facts.durationMs > 0 ? tct / facts.durationMs : null;
  return row;
}
