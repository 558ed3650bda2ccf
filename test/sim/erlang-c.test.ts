import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { exponential, STREAMS, uniform } from '../../sim/draws.ts';
import { EventHeap } from '../../sim/heap.ts';

const ARRIVAL = 0;
const DEPARTURE = 1;
const REPLICATIONS = 12;
/** Student's t for 99 %, both sides, REPLICATIONS - 1 degrees of freedom. */
const T_99 = 3.106;

interface Case {
  readonly servers: number;
  readonly load: number;
  /** Cut: several relaxation times 1 / (1 - sqrt(load))^2, counted in jobs. */
  readonly warmupJobs: number;
  readonly jobs: number;
  /** The interval's half may be this share of the mean at most, or it would show nothing. */
  readonly widestShare: number;
}

const CASES: readonly Case[] = [
  { servers: 1, load: 0.5, warmupJobs: 1_000, jobs: 60_000, widestShare: 0.03 },
  { servers: 8, load: 0.5, warmupJobs: 1_000, jobs: 150_000, widestShare: 0.05 },
  { servers: 1, load: 0.9, warmupJobs: 10_000, jobs: 250_000, widestShare: 0.1 },
  { servers: 8, load: 0.9, warmupJobs: 10_000, jobs: 250_000, widestShare: 0.1 },
  { servers: 64, load: 0.9, warmupJobs: 10_000, jobs: 250_000, widestShare: 0.1 },
  { servers: 1, load: 0.99, warmupJobs: 200_000, jobs: 900_000, widestShare: 0.25 },
  { servers: 8, load: 0.99, warmupJobs: 200_000, jobs: 900_000, widestShare: 0.25 },
  { servers: 64, load: 0.99, warmupJobs: 200_000, jobs: 900_000, widestShare: 0.25 },
];

for (const queue of CASES) {
  const { servers, load } = queue;
  test(`M/M/${servers} at load ${load}: the mean wait is Erlang's`, () => {
    const means = Array.from({ length: REPLICATIONS }, (_, i) => meanWait(queue, i + 1));
    const mean = means.reduce((sum, x) => sum + x, 0) / REPLICATIONS;
    const squares = means.reduce((sum, x) => sum + (x - mean) ** 2, 0);
    const half = T_99 * Math.sqrt(squares / (REPLICATIONS - 1) / REPLICATIONS);
    const expected = erlangC(servers, load);
    assert.ok(half < queue.widestShare * expected, `interval ${mean} ± ${half}`);
    assert.ok(Math.abs(mean - expected) < half, `${mean} ± ${half}, Erlang C ${expected}`);
  });
}

test('Erlang C itself: one server, and a published value', () => {
  assert.ok(Math.abs(erlangC(1, 0.9) - 9) < 1e-12);
  // Two servers: the wait is load^2 / (1 - load^2) service times.
  assert.ok(Math.abs(erlangC(2, 0.5) - 1 / 3) < 1e-12);
});

/**
 * Mean wait of an M/M/c queue in service times: C(c, a) / (c - a), a = c · load, by way of Erlang
 * B's recursion. Source: L. Kleinrock, Queueing Systems I (1975), section 3.5.
 */
function erlangC(servers: number, load: number): number {
  const offered = servers * load;
  let blocked = 1;
  for (let k = 1; k <= servers; k++) blocked = (offered * blocked) / (k + offered * blocked);
  const waits = blocked / (1 - load * (1 - blocked));
  return waits / (servers - offered);
}

/** One replication on the event heap: the mean wait of the jobs after the warm-up. */
function meanWait({ servers, load, warmupJobs, jobs }: Case, seed: number): number {
  const meanGap = 1 / (servers * load);
  const gap = (job: number) => exponential(uniform(seed, STREAMS.arrival, job, 0, 0), meanGap);
  const service = (job: number) => exponential(uniform(seed, STREAMS.service, job, 0, 0), 1);
  const heap = new EventHeap();
  const arrivedAt = new Float64Array(jobs);
  let idle = servers;
  /** Jobs start in the order in which they arrive: those from here on wait. */
  let next = 0;
  let waited = 0;
  heap.push(gap(0), 1, ARRIVAL, 0, 0);
  while (next < jobs && heap.pop()) {
    const now = heap.atMs;
    if (heap.kind === ARRIVAL) {
      const job = heap.a;
      arrivedAt[job] = now;
      if (job + 1 < jobs) heap.push(now + gap(job + 1), 1, ARRIVAL, job + 1, 0);
      if (idle === 0) continue;
      idle--;
      heap.push(now + service(job), 0, DEPARTURE, job, 0);
      next = job + 1;
    } else if (next < jobs && arrivedAt[next]! > 0) {
      if (next >= warmupJobs) waited += now - arrivedAt[next]!;
      heap.push(now + service(next), 0, DEPARTURE, next, 0);
      next++;
    } else {
      idle++;
    }
  }
  return waited / (jobs - warmupJobs);
}

test.run();
