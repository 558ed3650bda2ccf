import { assert } from '../errors.ts';
import type { Reason } from '../reasons.ts';
import { DELAY_STEPS, RUN_STEPS } from '../record/columns.ts';
import { type ResourceVector, ZERO } from '../resources.ts';
import type { Lease } from './host-book.ts';

/** Indexes into `Execution.steps`, in the order of the columns of cells.csv. */
export const STEPS = [...DELAY_STEPS, ...RUN_STEPS] as const;
export const STEP = Object.fromEntries(STEPS.map((step, index) => [step, index])) as {
  readonly [K in (typeof STEPS)[number]]: number;
};

/**
 * Where an execution stands: arrived in a moment that has not ended; waiting for its kernel, for
 * GPUs, for a container or a moved replica;
 * running (from `execute` to release); unbinding (its reply is under way); suspending; done.
 */
export type ExecutionState =
  | 'new'
  | 'kernel-wait'
  | 'gpu-wait'
  | 'container-wait'
  | 'running'
  | 'suspending'
  | 'replying'
  | 'done';

/** One execution of a cell. Plain data; records are reused once replied. */
export interface Execution extends Lease {
  /** place in the book; what effects and events call `execution` */
  readonly slot: number;
  /** grows with arrival; the tie-break of queue orders */
  id: number;
  session: number;
  cell: number;
  state: ExecutionState;
  /** changes with every `execute`; outcomes of older ones are ignored */
  ticket: number;
  need: Readonly<ResourceVector>;
  gpuType: string;
  submittedAt: number;
  expectedMs: number;
  /** ms charged to each step so far */
  readonly steps: number[];
  /** step that time is charged to since `stepSince` */
  step: number;
  stepSince: number;
  attempt: number;
  migrations: number;
  /** GPUs are committed on this host; -1 when none are */
  host: number;
  /** host of the latest run; -1 when it never ran */
  ranOn: number;
  replica: number;
  container: number;
  reason: Reason;
  immediate: boolean;
  reused: boolean;
  /** whether user code has run: from then on waiting is charged to `suspended` */
  started: boolean;
  executedAt: number;
  servedMs: number;
  /** not on the last executor, if another replica can */
  moves: boolean;
  /** replicas that yielded this attempt, as a bit set */
  yielded: number;
  /** pending host whose GPUs are promised to it; -1 for none */
  promised: number;
  /** since when it waits for GPUs; -1 when it does not */
  waitingSince: number;
  rate: number;
  /** host kept free for it after a long wait; -1 for none */
  reservation: number;
}

function newExecution(slot: number): Execution {
  return {
    slot,
    id: -1,
    session: -1,
    cell: -1,
    state: 'done',
    ticket: 0,
    need: ZERO,
    gpuType: '',
    submittedAt: 0,
    expectedMs: -1,
    steps: STEPS.map(() => 0),
    step: STEP.queue,
    stepSince: 0,
    attempt: 0,
    migrations: 0,
    host: -1,
    ranOn: -1,
    replica: -1,
    container: -1,
    reason: 'immediate',
    immediate: false,
    reused: false,
    started: false,
    executedAt: 0,
    servedMs: 0,
    moves: false,
    yielded: 0,
    promised: -1,
    waitingSince: -1,
    rate: 1,
    reservation: -1,
    devices: 0,
    sharedDevice: -1,
  };
}

/** All executions under way, by slot. */
export interface ExecutionBook {
  readonly slots: Execution[];
  readonly free: number[];
  nextId: number;
  nextTicket: number;
}

export function newExecutionBook(): ExecutionBook {
  return { slots: [], free: [], nextId: 0, nextTicket: 1 };
}

/** A fresh record; the caller sets need, session and cell. */
export function allocateExecution(book: ExecutionBook): Execution {
  const slot = book.free.pop();
  let execution: Execution;
  if (slot === undefined) {
    execution = newExecution(book.slots.length);
    book.slots.push(execution);
  } else {
    execution = book.slots[slot]!;
    execution.steps.fill(0);
  }
  execution.id = book.nextId++;
  execution.state = 'new';
  execution.attempt = 1;
  execution.migrations = 0;
  execution.host = -1;
  execution.ranOn = -1;
  execution.replica = -1;
  execution.container = -1;
  execution.reason = 'immediate';
  execution.immediate = true;
  execution.reused = false;
  execution.started = false;
  execution.servedMs = 0;
  execution.moves = false;
  execution.yielded = 0;
  execution.promised = -1;
  execution.waitingSince = -1;
  execution.reservation = -1;
  execution.rate = 1;
  return execution;
}

export function freeExecution(book: ExecutionBook, execution: Execution): void {
  assert(execution.host === -1 && execution.devices === 0, 'an execution ended with GPUs bound');
  execution.state = 'done';
  execution.ticket = 0;
  book.free.push(execution.slot);
}

/** Closes the current step at `at` and charges what follows to `step`. */
export function enterStep(execution: Execution, step: number, at: number): void {
  execution.steps[execution.step]! += at - execution.stepSince;
  execution.stepSince = at;
  // Once user code has run, whatever it waits for is part of its suspension.
  execution.step = execution.started ? STEP.suspended : step;
}

export function delayOf(execution: Readonly<Execution>): number {
  let sum = 0;
  for (let step = 0; step < DELAY_STEPS.length; step++) sum += execution.steps[step]!;
  return sum;
}
