import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { STEP } from '../../core/books/execution-book.ts';
import type { Effect } from '../../core/effects.ts';
import { batchFcfs } from '../../core/policies/batch-fcfs.ts';
import { exponential, STREAMS, uniform } from '../../sim/draws.ts';
import { Engine } from '../../sim/engine.ts';
import { configFor } from '../../sim/policy-file.ts';
import { INSTANT } from './instant.ts';
import { jobs } from './run-cells.ts';

const SERVERS = 8;
const LOAD = 0.7;
const JOBS = 30_000;
const WARMUP_JOBS = 2_000;
const REPLICATIONS = 10;
/** Student's t for 99 %, both sides, 9 degrees of freedom. */
const T_99 = 3.25;
/** Large against the ms to which times are rounded. */
const SERVICE_MS = 100_000;

/** Mean wait, in service times, of jobs of one GPU on one host of 8, through the scheduler. */
function meanWait(seed: number): number {
  let at = 0;
  const list = Array.from({ length: JOBS }, (_, job) => {
    const gap = uniform(seed, STREAMS.arrival, job, 0, 0);
    at += Math.round(exponential(gap, SERVICE_MS / SERVERS / LOAD));
    const service = uniform(seed, STREAMS.service, job, 0, 0);
    const durationMs = Math.round(exponential(service, SERVICE_MS));
    return [String(job).padStart(6, '0'), at, durationMs, 1] as const;
  });
  const config = configFor(batchFcfs, INSTANT, { hosts: 1, gpusPerHost: SERVERS, fixed: true });
  let waited = 0;
  const after = (_event: unknown, effects: readonly Effect[]): void => {
    for (const effect of effects) {
      if (effect.kind !== 'reply' || effect.session < WARMUP_JOBS) continue;
      waited += effect.execution.steps[STEP.queue]!;
    }
  };
  const observer = { before: () => undefined, after };
  const engine = new Engine(jobs(...list), batchFcfs, config, observer);
  while (engine.advance(10_000, Number.POSITIVE_INFINITY));
  return waited / (JOBS - WARMUP_JOBS) / SERVICE_MS;
}

/** Erlang C by way of Erlang B's recursion (Kleinrock, Queueing Systems I, section 3.5). */
function erlangC(servers: number, load: number): number {
  const offered = servers * load;
  let blocked = 1;
  for (let k = 1; k <= servers; k++) blocked = (offered * blocked) / (k + offered * blocked);
  return blocked / (1 - load * (1 - blocked)) / (servers - offered);
}

test(`M/M/${SERVERS} at load ${LOAD} through the scheduler: the mean wait is Erlang's`, () => {
  const means = Array.from({ length: REPLICATIONS }, (_, index) => meanWait(index + 1));
  const mean = means.reduce((sum, x) => sum + x, 0) / REPLICATIONS;
  const squares = means.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  const half = T_99 * Math.sqrt(squares / (REPLICATIONS - 1) / REPLICATIONS);
  const expected = erlangC(SERVERS, LOAD);
  assert.ok(half < 0.15 * expected, `the interval ${mean} ± ${half} shows nothing`);
  assert.ok(Math.abs(mean - expected) < half, `${mean} ± ${half}, Erlang C ${expected}`);
});

test.run();
