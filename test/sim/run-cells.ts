import { delayOf, type Execution, STEPS } from '../../core/books/execution-book.ts';
import type { Config } from '../../core/config/options.ts';
import type { Effect } from '../../core/effects.ts';
import type { Event } from '../../core/events.ts';
import type { Policy } from '../../core/policies/policy.ts';
import { tctOf } from '../../core/record/cell-row.ts';
import { type ResourceVector, vectorForGpus } from '../../core/resources.ts';
import { Engine } from '../../sim/engine.ts';
import { TraceBuilder } from '../../traces/build.ts';
import type { Trace } from '../../traces/trace.ts';

export interface Answer {
  readonly status: string;
  readonly reason: string;
  readonly host: number;
  readonly delayMs: number;
  readonly tctMs: number;
  /** ms of each step, by its name */
  readonly steps: Readonly<Record<string, number>>;
}

function answerOf(execution: Readonly<Execution>, status: string): Answer {
  return {
    status,
    reason: execution.reason,
    host: execution.ranOn,
    delayMs: delayOf(execution),
    tctMs: tctOf(execution),
    steps: Object.fromEntries(STEPS.map((step, index) => [step, execution.steps[index]!])),
  };
}

/** Replays a trace with checked books; the answers by `session id/cell`. */
export function runCells(trace: Trace, policy: Policy, config: Config): Map<string, Answer> {
  const answers = new Map<string, Answer>();
  const after = (_event: Event, effects: readonly Effect[]): void => {
    for (const effect of effects) {
      if (effect.kind !== 'reply') continue;
      const name = `${trace.sessions.ids[effect.session]}/${effect.cell}`;
      answers.set(name, answerOf(effect.execution, effect.status));
    }
  };
  const observer = { before: () => undefined, after };
  const engine = new Engine(trace, policy, config, observer, { check: true });
  while (engine.advance(1_000, Number.POSITIVE_INFINITY));
  return answers;
}

/** One session per job, `[id, submitMs, durationMs, gpus]`, open from its submission to its end. */
export function jobs(
  ...list: readonly (readonly [id: string, submitMs: number, durationMs: number, gpus: number])[]
): Trace {
  const builder = new TraceBuilder();
  for (const [id, submitMs, durationMs, gpus] of list) {
    const endMs = submitMs + durationMs;
    const session = builder.addSession({ id, startMs: submitMs, endMs });
    const shape: ResourceVector = vectorForGpus(1000 * gpus);
    builder.addCell({ session, submitMs, durationMs, shape });
  }
  return builder.build({ name: 'jobs', source: 'written for a test' });
}
