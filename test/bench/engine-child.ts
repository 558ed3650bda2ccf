/**
 * One fresh process of the engine benches: replays a trace a few times and prints the engine's
 * times as JSON. Arguments: trace path, policy, runs, configuration as JSON.
 */
import { resolveConfig } from '../../core/config/config.ts';
import type { PartialConfig } from '../../core/config/options.ts';
import { POLICIES } from '../../core/policies/index.ts';
import { simulate } from '../../sim/simulate.ts';
import { loadTrace } from '../../traces/load.ts';

/** What the process prints, the last line of its standard output. */
export interface EngineTimes {
  readonly cells: number;
  readonly loadMs: number;
  /** of each run, in order: the first one starts cold */
  readonly engineMs: readonly number[];
  readonly events: number;
  readonly effects: number;
  readonly summary: Record<string, string | number>;
}

const [path, policyName, runs, settings] = process.argv.slice(2);
const started = performance.now();
const { trace } = await loadTrace(path!);
const loadMs = performance.now() - started;
const policy = POLICIES[policyName!]!;
const config = resolveConfig(policy.defaults, JSON.parse(settings!) as PartialConfig);
const engineMs: number[] = [];
let last: Awaited<ReturnType<typeof simulate>> | undefined;
for (let run = 0; run < Number(runs); run++) {
  last = await simulate({ trace, policy, config });
  engineMs.push(last.timings.engineMs);
}
const times: EngineTimes = {
  cells: trace.cells.count,
  loadMs,
  engineMs,
  events: last!.events,
  effects: last!.effects,
  summary: last!.summary,
};
console.log(JSON.stringify(times));
