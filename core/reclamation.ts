import type { Session } from './books/session-book.ts';
import { stopKernel } from './kernels.ts';
import type { State } from './state.ts';

/** Idle reclamation: stops the containers of sessions that nobody uses and keeps their state. */

const ADOBE_MS = 1_800_000;
const COLAB_MS = 5_400_000;
/** A session in which nothing was ever executed is given this much longer. */
const NEVER_EXECUTED_FACTOR = 1.5;

function idleLimit(state: State, session: Session): number {
  const { reclamation, reclaimAfterMs } = state.config;
  const limit =
    reclamation === 'adobe' ? ADOBE_MS : reclamation === 'colab' ? COLAB_MS : reclaimAfterMs;
  return session.executed === 0 ? limit * NEVER_EXECUTED_FACTOR : limit;
}

/** Sets the clock of a session that has nothing to do. */
export function armReclamation(state: State, session: Session): void {
  if (state.config.reclamation === 'none' || state.policy.container !== 'session') return;
  state.effects.push({
    kind: 'set-timer',
    timer: 'reclaim',
    key: session.id,
    at: session.lastActiveAt + idleLimit(state, session),
  });
}

/** The clock of a session has run out; it may have been used since. */
export function reclaim(state: State, id: number): void {
  const session = state.sessions[id];
  if (session === undefined || session.state !== 'open' || session.active !== -1) return;
  if (session.kernel === 'idle') return;
  if (session.lastActiveAt + idleLimit(state, session) > state.now) return;
  if (session.executed > 0 && state.policy.stateWrite !== 'none') {
    state.effects.push({ kind: 'write-checkpoint', session: id });
  }
  session.checkpointed = session.executed > 0;
  stopKernel(state, session);
}
