import { createHash } from 'node:crypto';
import type { PartialConfig } from '../../core/config/options.ts';
import { POLICIES } from '../../core/policies/index.ts';
import type { JournalLine } from '../../core/record/journal.ts';
import { Engine } from '../../sim/engine.ts';
import { configFor } from '../../sim/policy-file.ts';
import type { Trace } from '../../traces/trace.ts';

/** Hosts that are there from the start, and no step that is drawn from a model or a data set. */
export const AS_LIVE: PartialConfig = {
  hosts: 4,
  gpusPerHost: 8,
  fixed: true,
  loop: 'open',
  deviceStartMs: 0,
  modelSizesMb: {},
  datasetSizesMb: {},
};

/** The journal of a simulated run, written as a gateway would: stands for a live run. */
export function recordedJournal(trace: Trace, name: string, options: PartialConfig): string {
  const policy = POLICIES[name]!;
  const config = configFor(policy, AS_LIVE, options);
  const start = { t: 'start', v: 1, policy: policy.name, config, epochMs: 1_700_000_000_000 };
  const lines = [start as JournalLine];
  const digest = createHash('sha256');
  let events = 0;
  const observer = {
    before: () => undefined,
    after: (event: never, effects: readonly unknown[]) => {
      events++;
      lines.push({ t: 'event', event: structuredClone(event) });
      digest.update(`${JSON.stringify(effects)}\n`);
      if (events % 50 === 0)
        lines.push({ t: 'effects', events, hash: digest.copy().digest('hex') });
    },
  };
  const engine = new Engine(trace, policy, config, observer as never);
  while (engine.advance(1_000, Number.POSITIVE_INFINITY));
  trace.sessions.ids.forEach((id, session) => {
    const path = `replay/${id}.ipynb`;
    const line = { session, kernel: `k${session}`, user: 'admin', path, name: id };
    lines.push({ t: 'session', ...line });
  });
  lines.push({ t: 'effects', events, hash: digest.digest('hex') });
  return `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`;
}
