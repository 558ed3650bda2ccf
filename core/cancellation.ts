import { type Execution, enterStep, STEP } from './books/execution-book.ts';
import type { Session } from './books/session-book.ts';
import { stopContainer } from './containers.ts';
import { finish } from './execution.ts';
import { uncommit } from './ledger.ts';
import { removeFrom, type State } from './state.ts';
import { stopWaiting } from './waiting.ts';

/** Taking back cells that do not run yet. */

/** Answers a waiting cell with `aborted`; one that runs, or is not known, is left alone. */
export function cancel(state: State, sessionId: number, cell: number): void {
  const session = state.sessions[sessionId];
  const execution = session && waitingCell(state, session, cell);
  if (session === undefined || execution === undefined) return;
  if (session.active === execution.slot) withdraw(state, session, execution);
  else removeFrom(session.queue, execution.slot);
  enterStep(execution, STEP.queue, state.now);
  execution.reason = 'aborted-cancelled';
  execution.immediate = false;
  finish(state, execution, 'aborted');
}

function waitingCell(state: State, session: Session, cell: number): Execution | undefined {
  const { slots } = state.executions;
  const slot = [session.active, ...session.queue].find((each) => slots[each]?.cell === cell);
  const execution = slots[slot ?? -1];
  const runs = ['running', 'suspending', 'replying'].includes(execution?.state ?? '');
  return runs ? undefined : execution;
}

/** Gives back what was done so that it could run; a replica that is on its way still arrives. */
function withdraw(state: State, session: Session, execution: Execution): void {
  if (execution.state === 'gpu-wait') stopWaiting(state, execution);
  else if (execution.state === 'new') removeFrom(state.fresh, execution.slot);
  if (execution.state !== 'container-wait') return;
  state.relieved = true;
  uncommit(state, execution);
  const migration = session.migrations.find((each) => each.execution === execution.slot);
  const container = state.containers.get(execution.container);
  if (migration !== undefined) migration.execution = -1;
  else if (container !== undefined) stopContainer(state, container);
}
