import { hostTypesOf } from '../core/config/config.ts';
import type { Config, HostType } from '../core/config/options.ts';
import { NbosError } from '../core/errors.ts';
import type { Policy } from '../core/policies/policy.ts';
import type { ReportName } from '../core/record/columns.ts';
import type { State } from '../core/state.ts';
import { checkConfig } from '../traces/config-file.ts';
import { NoteList } from '../traces/notes.ts';
import { oracleOf } from '../traces/oracle.ts';
import { fitToHosts } from '../traces/oversize.ts';
import type { ImportNote, Trace } from '../traces/trace.ts';
import { Engine } from './engine.ts';
import { Output } from './output.ts';
import { everyoneWaits, overloadWarnings } from './overload.ts';
import { type Explained, Recorder } from './recorder.ts';
import { type Summary, summarize } from './summary.ts';

/** Events between two looks at the clock, the signal and the terminal. */
const SLICE = 20_000;

export interface SimulateOptions {
  readonly trace: Trace;
  readonly policy: Policy;
  /** complete: the policy's defaults are layered in by the caller (`resolveConfig`) */
  readonly config: Config;
  /** folder that becomes the run folder; without it nothing is written */
  readonly out?: string | undefined;
  readonly reports?: readonly ReportName[] | undefined;
  /** take the place of a finished run in `out` */
  readonly replace?: boolean;
  /** check the invariants after every step (slow) */
  readonly check?: boolean;
  /** collect why this cell waited and which hosts were refused; stops once it is answered */
  readonly explain?: { readonly session: number; readonly cell: number };
  /** cells of which sessions the measures of cells count; default: all */
  readonly counts?: ((session: number) => boolean) | undefined;
  /** members to add to run.json: how to repeat the run */
  readonly provenance?: Readonly<Record<string, unknown>>;
  readonly onProgress?: ((doneCells: number, totalCells: number) => void) | undefined;
  readonly onWarning?: (warning: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Wall times, ms; outside of everything that is compared byte by byte. */
export interface RunTimings extends Readonly<Record<string, number>> {
  readonly prepareMs: number;
  readonly engineMs: number;
  readonly outputMs: number;
}

export interface RunResult {
  /** the row of summary.csv by column name */
  readonly summary: Summary;
  readonly warnings: readonly string[];
  /** cells dropped or clipped because no host could hold them */
  readonly notes: readonly ImportNote[];
  readonly timings: RunTimings;
  readonly events: number;
  readonly effects: number;
  readonly explanation: readonly Explained[];
}

/**
 * Replays a trace against a simulated cluster under a policy. The same trace, policy, configuration
 * and seed give the same reports, byte for byte.
 * @throws NbosError config-bad-value, trace-oversize, file-exists, file-unwritable, interrupted,
 *   policy-failed
 */
export async function simulate(options: SimulateOptions): Promise<RunResult> {
  const started = performance.now();
  const { policy, config } = options;
  checkRunnable(policy, config, options.trace);
  const notes = new NoteList();
  const trace = fitToHosts(options.trace, hostTypesOf(config), config.oversize, notes);
  const warnings = overloadWarnings(trace, policy, config, hostTypesOf(config));
  for (const warning of warnings) options.onWarning?.(warning);
  const horizonMs = config.untilMs > 0 ? Math.min(config.untilMs, trace.endMs) : trace.endMs;
  const oracle = oracleOf(trace);
  const output = new Output(options);
  try {
    const targets = output.open(config, oracle, horizonMs);
    const { counts } = options;
    const recorder = new Recorder(trace, config, horizonMs, { ...targets, counts });
    const engine = new Engine(trace, policy, config, recorder, {
      facts: targets.events !== undefined || options.explain !== undefined,
      explain: options.explain ?? null,
      check: options.check ?? false,
    });
    const prepared = performance.now();
    await drive(engine, recorder, config, options, trace.cells.count);
    const driven = performance.now();
    const { state } = engine.core;
    const endMs = endOf(state, trace, config);
    const late = closeRun(engine, recorder, config, endMs);
    for (const warning of late) options.onWarning?.(warning);
    warnings.push(...late);
    const submitted = engine.workload.submitted;
    const basis = { trace, policy, config, oracle, recorder, horizonMs, submitted };
    const summary = summarize({ ...basis, state, endMs });
    output.close({ trace, recorder, state, endMs }, summary);
    const done = { events: engine.events, effects: engine.effects };
    const timings: RunTimings = {
      prepareMs: prepared - started,
      engineMs: driven - prepared,
      outputMs: performance.now() - driven,
    };
    output.finish({ warnings, notes: notes.list(), ...done, timings });
    const explanation = recorder.explained;
    return { summary, warnings, notes: notes.list(), timings, ...done, explanation };
  } catch (error) {
    output.abort();
    throw error;
  }
}

function checkRunnable(policy: Policy, config: Config, trace: Trace): void {
  checkConfig(config);
  if (trace.sessions.count === 0) {
    throw new NbosError('trace-empty', `trace ${trace.name} has no session`, 'Check its source.');
  }
  if (policy.container === 'session' && config.replicas > config.hosts) {
    throw new NbosError(
      'config-bad-value',
      `${config.replicas} replicas of a kernel need as many hosts, and hosts is ${config.hosts}`,
      'Raise --hosts or set replicas=1.',
    );
  }
  if (policy.commit === 'placement' && config.replicas !== 1) {
    throw new NbosError(
      'config-bad-value',
      `${policy.name} commits GPUs with a placement and has one replica, not ${config.replicas}`,
      'Set replicas=1.',
    );
  }
  const types: readonly HostType[] = hostTypesOf(config);
  if (new Set(types.map((type) => type.name)).size !== types.length) {
    throw new NbosError(
      'config-bad-value',
      'two entries of hostTypes have the same name',
      'Name each type once.',
    );
  }
}

async function drive(
  engine: Engine,
  recorder: Recorder,
  config: Config,
  options: SimulateOptions,
  total: number,
): Promise<void> {
  recorder.watch(engine.core.state);
  const until = config.untilMs > 0 ? config.untilMs : Number.POSITIVE_INFINITY;
  const { explain } = options;
  let moved = -1;
  while (engine.advance(SLICE, until)) {
    options.onProgress?.(engine.replies, total);
    const movedBefore = moved;
    moved = engine.replies + engine.workload.submitted;
    if (moved === movedBefore && until === Number.POSITIVE_INFINITY && isStuck(engine)) return;
    if (explain !== undefined && isAnswered(engine, recorder, explain)) return;
    // A turn of the event loop, so that signals are seen.
    await new Promise((resolve) => setImmediate(resolve));
    if (options.signal?.aborted) {
      throw new NbosError('interrupted', 'the run was interrupted', 'Start it again.');
    }
  }
  options.onProgress?.(engine.replies, total);
}

/**
 * Whether nothing is left but work that waits, while hosts that never come up are asked for again
 * and again: looked at when a whole slice brought no cell and no reply.
 */
function isStuck({ workload, core }: Engine): boolean {
  return workload.isExhausted && everyoneWaits(core.state);
}

function isAnswered(
  engine: Engine,
  recorder: Recorder,
  explain: { readonly session: number; readonly cell: number },
): boolean {
  if (recorder.submittedCells[explain.session]! <= explain.cell) return false;
  return engine.core.state.executions.slots.every(
    (execution) =>
      execution.state === 'done' ||
      execution.session !== explain.session ||
      execution.cell !== explain.cell,
  );
}

/** When the run ended: with its last event, or at the cut where sessions were still to go on. */
function endOf(state: State, trace: Trace, config: Config): number {
  let closed = 0;
  for (const session of state.sessions) if (session?.state === 'closed') closed++;
  return closed < trace.sessions.count ? Math.max(state.now, config.untilMs) : state.now;
}

/** Counts what is left at the end; returns warnings about what could not drain. */
function closeRun(engine: Engine, recorder: Recorder, config: Config, cutAt: number): string[] {
  const { state } = engine.core;
  recorder.finish();
  const before = recorder.unfinished;
  recorder.cut(cutAt, (execution) => {
    const run = engine.cluster.runs[execution.slot];
    if (run === undefined || run.ticket !== execution.ticket) return 0;
    return Math.min(cutAt, run.endAt) - Math.min(cutAt, run.startAt);
  });
  const stuck = recorder.unfinished - before;
  if (stuck === 0 || config.untilMs > 0) return [];
  return [
    `the run cannot drain: ${stuck} cells wait for something that will never come ` +
      `(${state.queue.size} for GPUs, ${state.placementQueue.length} kernels for hosts)`,
  ];
}
