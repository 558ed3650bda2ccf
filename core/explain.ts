import { refusalOf } from './admission.ts';
import type { Execution } from './books/execution-book.ts';
import { fact, type State } from './state.ts';

/** Records why each host cannot serve the execution that is being explained, and no other. */
export function explainRefusals(state: State, execution: Execution): void {
  const { explain } = state;
  if (explain === null || explain.session !== execution.session) return;
  if (explain.cell !== execution.cell) return;
  const session = state.sessions[execution.session]!;
  const replicated = state.policy.container === 'session';
  for (const host of state.hosts) {
    if (host.state === 'gone') continue;
    const holds = session.replicas.some((replica) => replica.host === host.id);
    const asMigration = replicated && !holds;
    if (asMigration && !state.policy.migrates) continue;
    const refusal = refusalOf(state, host, session, execution, asMigration);
    const detail = `${holds ? 'replica' : 'host'}: ${refusal ?? 'could serve it'}`;
    fact(state, 'refuse', host.id, session.id, execution.cell, host.idle.gpuMillis, detail);
  }
}
